// A bad network: a proxy that breaks connections off after a random number of bytes, in the middle of whatever comes.
import { connect, createServer } from 'node:net';
import { cleanup } from './cleanup.mjs';
import { HOST } from './server.mjs';

/**
 * Starts one in front of `server`. It cuts `cuts` times, each after `mean` bytes or so, but not before `least`, and then no more; `count` says
 * how often it has.
 */
export async function cutter(t, server, { cuts, mean, least = 0, seed = 1 }) {
  const proxy = { host: HOST, count: 0 };
  // The same places each time, as far as the bytes are the same.
  let state = seed;
  const random = (max) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % max;
  };
  const sockets = new Set();
  const listening = createServer((socket) => {
    const back = connect(server.port, HOST);
    let left = proxy.count < cuts ? least + random(2 * mean) : Infinity;
    for (const [one, other] of [[socket, back], [back, socket]]) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        sockets.delete(one);
        other.destroySoon();
      });
    }
    socket.pipe(back);
    back.on('data', (bytes) => {
      if (bytes.length < left) {
        left -= bytes.length;
        socket.write(bytes);
        return;
      }
      back.removeAllListeners('data').destroy();
      socket.write(bytes.subarray(0, left));
      proxy.count += 1;
      if (random(2)) socket.destroySoon();
      else socket.resetAndDestroy();
    });
  });
  await new Promise((resolve) => listening.listen(0, HOST, resolve));
  proxy.port = listening.address().port;
  proxy.url = `http://${HOST}:${proxy.port}`;
  cleanup(t, () => {
    listening.close();
    for (const socket of sockets) socket.destroy();
  });
  return proxy;
}
