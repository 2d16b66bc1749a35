// The fallback of pusher-js where scripts may not ask other hosts: SockJS as it is, whose first message names the path (P-19.9).

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import SockJS from 'sockjs-client';
import { startServer } from './support/server.mjs';

const server = await startServer({ after });

/** A session over one transport, with its messages in order. */
function connect(transport) {
  const socket = new SockJS(`${server.url}/pusher`, null, { transports: [transport] });
  const waiting = [];
  const came = [];
  const push = (message) => (waiting.length > 0 ? waiting.shift()(message) : came.push(message));
  socket.onmessage = (event) => push(JSON.parse(event.data));
  socket.onclose = (event) => push({ closed: event.code, reason: event.reason });
  const next = () => (came.length > 0 ? Promise.resolve(came.shift()) : new Promise((resolve) => waiting.push(resolve)));
  const opened = new Promise((resolve) => (socket.onopen = resolve));
  return { socket, next, opened };
}

for (const transport of ['xhr-streaming', 'xhr-polling']) {
  test(`P-19.9: a session begins with the path, by ${transport}`, async () => {
    const { socket, next, opened } = connect(transport);
    await opened;
    socket.send(JSON.stringify({ path: `/app/${server.app.key}?protocol=7&client=js&version=8.4.0` }));
    const established = await next();
    assert.equal(established.event, 'pusher:connection_established');
    assert.match(JSON.parse(established.data).socket_id, /^\d+\.\d+$/);
    socket.send(JSON.stringify({ event: 'pusher:subscribe', data: { channel: 'news' } }));
    assert.equal((await next()).event, 'pusher_internal:subscription_succeeded');
    socket.send(JSON.stringify({ event: 'pusher:ping', data: {} }));
    assert.equal((await next()).event, 'pusher:pong');
    socket.close();
  });

  test(`P-19.9 P-2.3: who names no path, or an unknown key, is told by its code, by ${transport}`, async () => {
    for (const [message, code] of [
      [JSON.stringify({ path: '/app/nobody?protocol=7' }), 4001],
      [JSON.stringify({ path: '/else' }), 4005],
      [JSON.stringify({ path: 5 }), 4005],
      ['no json', 4005],
      [JSON.stringify({ event: 'pusher:ping' }), 4005],
    ]) {
      const { socket, next, opened } = connect(transport);
      await opened;
      socket.send(message);
      const error = await next();
      assert.deepEqual([error.event, error.data.code], ['pusher:error', code], message);
      assert.equal((await next()).closed, code, message);
    }
  });
}

test('P-19.9: WebSocket is not among its transports', async () => {
  const info = await (await fetch(`${server.url}/pusher/info`)).json();
  assert.deepEqual([info.websocket, info.cookie_needed], [false, false]);
  assert.equal((await fetch(`${server.url}/pusher/000/abc/websocket`)).status, 404);
});
