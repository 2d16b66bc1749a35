// A load balancer of the smallest kind: passes connections on to the server that is its target at the time.
import { connect, createServer } from 'node:net';
import { cleanup } from './cleanup.mjs';
import { HOST } from './server.mjs';

/**
 * Starts one in front of `target`; what it returns has `port`, and `target` may be set to another server; `cut` breaks off all connections
 * that there are. `tap` is called with each socket of a client.
 */
export async function balancer(t, target, tap = () => {}) {
  const front = { target, host: HOST, app: target.app };
  const sockets = new Set();
  const listening = createServer((socket) => {
    const back = connect(front.target.port, HOST);
    tap(socket);
    for (const [one, other] of [[socket, back], [back, socket]]) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => sockets.delete(one));
      one.pipe(other);
    }
  });
  await new Promise((resolve) => listening.listen(0, HOST, resolve));
  front.port = listening.address().port;
  front.client = (options) => ({ ...front.target.client(options), wsPort: front.port });
  front.cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  cleanup(t, () => {
    listening.close();
    front.cut();
  });
  return front;
}
