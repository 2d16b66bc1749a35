// SockJS, what happens when nothing happens, by the clock of the wall: heartbeats, clients that are gone, sessions that nobody asks for any more.
// All of it waits at the same time.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { Draft } from './support/draft.mjs';
import { PING, RawSocket } from './support/raw_socket.mjs';
import { ALL, Receiver, fresh, opened, poll, send, sent, startTrial } from './support/sockjs.mjs';

const HEARTBEAT = 25_000;
const PATIENCE = 40_000;
const server = await startTrial({ after });

/** Whether `begun` is as long ago as it should be, give or take what a busy machine needs. */
function assertPassed(begun, expected) {
  const passed = Date.now() - begun;
  assert.ok(passed > expected - 200 && passed < expected + 4_000, `${passed} ms instead of ${expected}`);
}

/** Resolves once there is no such session to send to. */
async function forgotten(url) {
  while ((await send(server, url, [])).status !== 404) await new Promise((resolve) => setTimeout(resolve, 50));
}

async function framed(path) {
  const socket = await RawSocket.connect(server, path, { json: false });
  if (path !== '/echo/websocket') assert.equal(await socket.text(), 'o');
  return socket;
}

describe('timers', { concurrency: true }, () => {
  for (const [name, { polls }] of ALL) {
    test(`S-7.7 S-10.2: a heartbeat by ${name}`, async () => {
      const url = polls ? await opened(server) : fresh();
      const receiver = await Receiver.open(server, url, name);
      receiver.wire.patience = PATIENCE;
      const begun = Date.now();
      if (!polls) await receiver.frame('o');
      await receiver.frame('h');
      assertPassed(begun, HEARTBEAT);
      if (polls) {
        await receiver.over();
        receiver.end();
        await sent(server, url, ['x']);
        assert.equal(await poll(server, url), 'a["x"]\n');
        return;
      }
      await sent(server, url, ['x']);
      await receiver.frame('a["x"]');
      receiver.end();
    });
  }

  for (const [name, path, says] of [['with frames', `${fresh()}/websocket`, true], ['without frames', '/echo/websocket', false]]) {
    test(`S-6.8 S-6.9: a WebSocket ${name} that is there stays`, async () => {
      const socket = await framed(path);
      const begun = Date.now();
      await socket.control(PING, PATIENCE);
      assertPassed(begun, HEARTBEAT);
      // It has answered. Ten seconds after a ping without answer it would be closed, and before the next.
      await socket.control(PING, PATIENCE);
      assertPassed(begun, 2 * HEARTBEAT);
      socket.send('["x"]');
      const texts = says ? ['h', 'h', 'a["x"]'] : ['["x"]'];
      for (const text of texts) assert.equal(await socket.text(), text);
      socket.end();
    });

    test(`S-6.8 S-7.8: a WebSocket ${name} whose client is gone`, async () => {
      const socket = await framed(path);
      socket.answerPings = false;
      const begun = Date.now();
      const close = await socket.close(PATIENCE);
      assertPassed(begun, HEARTBEAT + 10_000);
      if (says) {
        assert.equal(await socket.text(), 'h');
        assert.equal(await socket.text(), 'c[3000,"No response from heartbeat"]');
      }
      assert.deepEqual(close, says ? { code: 1000, reason: 'Normal closure' } : { code: 3000, reason: 'No response from heartbeat' });
    });

    test(`S-6.8: any message of a WebSocket ${name} is a sign of life`, async () => {
      const socket = await framed(path);
      socket.answerPings = false;
      await socket.control(PING, PATIENCE);
      socket.send('["x"]');
      await socket.control(PING, PATIENCE);
      socket.send('["y"]');
      for (const text of says ? ['h', 'a["x"]', 'h', 'a["y"]'] : ['["x"]', '["y"]']) assert.equal(await socket.text(), text);
      socket.end();
    });
  }

  test('S-6.10: the draft of 2010 has heartbeats, and nobody has to answer them', async () => {
    const draft = await Draft.open(server, `${fresh()}/websocket`);
    draft.wire.patience = PATIENCE;
    const begun = Date.now();
    assert.equal(await draft.text(), 'o');
    assert.equal(await draft.text(), 'h');
    assertPassed(begun, HEARTBEAT);
    assert.equal(await draft.text(), 'h');
    assertPassed(begun, 2 * HEARTBEAT);
    draft.wire.end();
  });

  test('S-6.10 S-8.4: who begins the handshake of the draft and does not end it', async () => {
    const draft = await Draft.ask(server, `${fresh()}/websocket`);
    const begun = Date.now();
    draft.wire.write('1234567');
    await draft.wire.gone();
    assertPassed(begun, 10_000);
  });

  test('S-7.5: a session without receiver', async () => {
    const url = await opened(server);
    const begun = Date.now();
    await sent(server, url, ['lost']);
    await forgotten(url);
    assertPassed(begun, 5_000);
    assert.equal(await poll(server, url), 'o\n');
  });

  test('S-7.5: each poll that is told of the close restarts the time', async () => {
    const url = await opened(server, '/close');
    const begun = Date.now();
    for (let at = 0; at < 3; at += 1) {
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      assert.equal(await poll(server, url), 'c[3000,"Go away!"]\n');
    }
    assertPassed(begun, 9_000);
    await forgotten(url);
    assertPassed(begun, 14_000);
    assert.equal(await poll(server, url), 'o\n');
  });

  test('S-7.6: what was broken off is remembered, and forgotten', async () => {
    const url = fresh();
    const receiver = await Receiver.open(server, url, 'xhr_streaming');
    await receiver.frame('o');
    receiver.end();
    assert.equal(await poll(server, url), 'c[1002,"Connection interrupted"]\n');
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    assert.equal(await poll(server, url), 'o\n');
  });

  test('S-7.2 S-7.7: while a receiver waits the session lasts', async () => {
    const url = await opened(server);
    const receiver = await Receiver.open(server, url, 'xhr');
    const begun = Date.now();
    await new Promise((resolve) => setTimeout(resolve, 12_000));
    await sent(server, url, ['still there']);
    await receiver.frame('a["still there"]');
    assertPassed(begun, 12_000);
    receiver.end();
  });
});
