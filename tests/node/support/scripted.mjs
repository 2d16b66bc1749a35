// A server that says what a test tells it to, through the library `ws`: for what the real one never says.
import { WebSocketServer } from 'ws';
import { cleanup } from './cleanup.mjs';
import { HOST, newApp } from './server.mjs';
import { Inbox } from './wait.mjs';

/** Starts one. `peers` holds the connections, each with `said`, what the client said. With `confirm` each is confirmed as it comes. */
export async function scripted(t, { app = newApp(), confirm = true, port = 0, activityTimeout = 120 } = {}) {
  const listening = new WebSocketServer({ host: HOST, port });
  const server = { host: HOST, app, peers: new Inbox('connections') };
  let count = 0;
  listening.on('connection', (socket) => {
    count += 1;
    const peer = {
      socket,
      said: new Inbox('what a client said'),
      socketId: `${count}.${count}`,
      say: (event, data, channel) => socket.send(JSON.stringify({ event, channel, data })),
      text: (text) => socket.send(text),
      confirm: () => peer.say('pusher:connection_established', JSON.stringify({ socket_id: peer.socketId, activity_timeout: activityTimeout })),
    };
    socket.on('error', () => {}); // a reset ends in `close` too
    socket.on('message', (text) => peer.said.push(JSON.parse(text)));
    socket.on('ping', () => peer.said.push('a ping frame'));
    peer.closed = new Promise((resolve) => socket.on('close', (code) => resolve(code)));
    if (confirm) peer.confirm();
    server.peers.push(peer);
  });
  await new Promise((resolve) => listening.on('listening', resolve));
  server.port = listening.address().port;
  server.stop = () => {
    for (const socket of listening.clients) socket.terminate();
    return new Promise((resolve) => listening.close(resolve));
  };
  cleanup(t, server.stop);
  return server;
}
