// sockjs-client in Node, over each transport that it has there.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import SockJS from 'sockjs-client';
import { cleanup } from './support/cleanup.mjs';
import { TRICKY, startTrial } from './support/sockjs.mjs';
import { Inbox, within } from './support/wait.mjs';

const server = await startTrial({ after });

/** A client that is open. `close` resolves with how it ended. */
async function connect(t, service, transport) {
  const socket = new SockJS(server.url + service, null, { transports: transport, timeout: 20_000 });
  const messages = new Inbox(`messages over ${transport}`);
  socket.onmessage = ({ data }) => messages.push(data);
  const closed = new Promise((resolve) => (socket.onclose = ({ code, reason, wasClean }) => resolve({ code, reason, wasClean })));
  cleanup(t, () => socket.close());
  // It forgets its transport when it closes.
  const opened = new Promise((resolve) => (socket.onopen = () => resolve(socket.transport)));
  const spoken = await within(Promise.race([opened, closed.then((how) => Promise.reject(new Error(JSON.stringify(how))))]), `a connection over ${transport}`);
  assert.equal(spoken, transport);
  return { socket, messages, close: () => within(closed, 'the close') };
}

for (const transport of ['websocket', 'xhr-streaming', 'eventsource', 'xhr-polling']) {
  describe(`over ${transport}`, () => {
    test('S-3.4 S-3.5: text of every kind comes back as it was, in order', async (t) => {
      const { socket, messages } = await connect(t, '/echo', transport);
      for (const text of TRICKY) socket.send(text);
      for (const text of TRICKY) assert.equal(await messages.next(() => true, JSON.stringify(text)), text);
    });

    test('S-3.4 S-3.6: every character comes back', async (t) => {
      const { socket, messages } = await connect(t, '/echo', transport);
      for (let from = 0; from < 0x1_0000; from += 0x2000) {
        const text = String.fromCharCode(...Array.from({ length: 0x2000 }, (_, at) => from + at));
        socket.send(text);
        const surrogates = /[\ud800-\udfff]/;
        const expected = [...text].map((one) => (one.length === 1 && surrogates.test(one) ? '\ufffd' : one)).join('');
        assert.equal(await messages.next(), expected, `from ${from.toString(16)}`);
      }
    });

    test('S-5.10 S-8.1: large messages, one after the other, over many responses', async (t) => {
      const { socket, messages } = await connect(t, '/echo', transport);
      const text = (at) => `${at}:`.padEnd(65_536, '%x');
      for (let at = 0; at < 20; at += 1) {
        socket.send(text(at));
        assert.equal(await messages.next(), text(at));
      }
    });

    test('S-7.4: many small messages keep their order', async (t) => {
      const { socket, messages } = await connect(t, '/echo', transport);
      for (let at = 0; at < 500; at += 1) socket.send(String(at));
      for (let at = 0; at < 500; at += 1) assert.equal(await messages.next(), String(at));
    });

    test('S-7.8: the server closes, with code and reason', async (t) => {
      const { close } = await connect(t, '/close', transport);
      assert.deepEqual(await close(), { code: 3000, reason: 'Go away!', wasClean: true });
    });

    test('the client closes', async (t) => {
      const { socket, close } = await connect(t, '/echo', transport);
      socket.close(3456, 'enough');
      assert.deepEqual(await close(), { code: 3456, reason: 'enough', wasClean: true });
    });
  });
}

test('S-4.1: a client asks for the info, and passes WebSocket over where it is not offered', async () => {
  const socket = new SockJS(`${server.url}/disabled_websocket_echo`, null, { transports: ['websocket', 'xhr-polling'] });
  await within(new Promise((resolve) => (socket.onopen = resolve)), 'a connection');
  assert.equal(socket.transport, 'xhr-polling');
  socket.close();
});

test('S-2.6: what is no service closes with 1002', async () => {
  const socket = new SockJS(`${server.url}/nothing`, null, { transports: 'xhr-polling' });
  const { code } = await within(new Promise((resolve) => (socket.onclose = resolve)), 'the close');
  assert.equal(code, 1002);
});
