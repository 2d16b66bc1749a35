// SockJS, sessions over HTTP: who receives, what waits, how they end; and the limits of all transports (sockjs.md 7 and 8).
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { Draft } from './support/draft.mjs';
import { RawSocket } from './support/raw_socket.mjs';
import { newApp } from './support/server.mjs';
import { ALL, RECEIVERS, Receiver, assertNotCached, fresh, opened, poll, send, sent, startTrial } from './support/sockjs.mjs';
import { Wire, ask } from './support/wire.mjs';

const ANOTHER = 'c[2010,"Another connection still open"]';
const INTERRUPTED = 'c[1002,"Connection interrupted"]';
const SLOW = 'c[3001,"Slow consumer"]';
const server = await startTrial({ after });

/** Begins a session and has a response wait for what comes; for those that poll it is the second. */
async function waiting(name, to = server, service = '/echo') {
  const url = fresh(service);
  let receiver = await Receiver.open(to, url, name);
  await receiver.frame('o');
  if (receiver.kind.polls) {
    await receiver.over();
    receiver.end();
    receiver = await Receiver.open(to, url, name);
  }
  return { url, receiver };
}

describe('receivers', () => {
  test('S-13: the sample exchange', async () => {
    const url = fresh();
    assert.equal(await poll(server, url), 'o\n');
    await sent(server, url, ['a']);
    assert.equal(await poll(server, url), 'a["a"]\n');
    const first = await Receiver.open(server, url, 'xhr');
    assert.equal(await poll(server, url), `${ANOTHER}\n`);
    await sent(server, url, ['b']);
    await first.frame('a["b"]');
    await first.over();
    first.end();
  });

  for (const [name] of ALL) {
    test(`S-7.2 S-7.3: while ${name} receives, nobody else does`, async () => {
      const { url, receiver } = await waiting(name);
      for (const [other] of ALL) {
        const second = await Receiver.open(server, url, other);
        await second.frame(ANOTHER);
        await second.over();
        second.end();
      }
      await sent(server, url, ['still mine']);
      await receiver.frame('a["still mine"]');
      receiver.end();
    });

    test(`S-7.6: ${name} is broken off`, async () => {
      const { url, receiver } = await waiting(name);
      receiver.end();
      for (const [other] of ALL) {
        const next = await Receiver.open(server, url, other);
        await next.frame(INTERRUPTED);
        await next.over();
        next.end();
      }
      assert.equal((await send(server, url, ['lost'])).status, 404);
    });

    test(`S-7.4 S-7.11: what waited comes in one frame by ${name}`, async () => {
      const url = await opened(server);
      await sent(server, url, ['a', 'b']);
      await sent(server, url, ['c%']);
      const receiver = await Receiver.open(server, url, name);
      await receiver.frame('a["a","b","c%"]');
      receiver.end();
    });
  }

  test('S-7.6: the second receiver may go, the first is untouched', async () => {
    const { url, receiver } = await waiting('xhr_streaming');
    const second = await Receiver.open(server, url, 'xhr_streaming');
    second.end();
    await sent(server, url, ['x']);
    await receiver.frame('a["x"]');
    receiver.end();
  });

  test('S-7.6: who hangs up behind requests that came together has heard the first answers', async () => {
    const url = fresh();
    const wire = await Wire.open(server);
    wire.request('POST', `${url}/xhr`, { body: '' }).request('POST', `${url}/xhr_send`, { body: '["a"]' });
    wire.request('POST', `${url}/xhr`, { body: '' }).request('POST', `${url}/xhr`, { body: '' });
    wire.socket.end();
    assert.equal((await wire.answer()).body, 'o\n');
    assert.equal((await wire.answer()).status, 204);
    assert.equal((await wire.answer()).body, 'a["a"]\n');
    // It would have waited.
    assert.equal((await wire.head()).status, 200);
    await wire.gone();
    assert.equal(await poll(server, url), `${INTERRUPTED}\n`);
  });

  test('S-7.6: a response that is reset', async () => {
    const { url, receiver } = await waiting('xhr_streaming');
    receiver.wire.socket.resetAndDestroy();
    assert.equal(await poll(server, url), `${INTERRUPTED}\n`);
  });

  test('S-7.2: the same transport may change with every request', async () => {
    const url = fresh();
    for (const [at, [name]] of ALL.entries()) {
      const receiver = await Receiver.open(server, url, name);
      await receiver.frame(at === 0 ? 'o' : `a["${at}"]`);
      // A poll is over by itself; a stream is filled.
      if (!receiver.kind.polls) {
        await sent(server, url, ['x'.repeat(4096)]);
        await receiver.frame(`a["${'x'.repeat(4096)}"]`);
      }
      await receiver.over();
      receiver.end();
      await sent(server, url, [String(at + 1)]);
    }
  });
});

describe('closing', () => {
  test('S-7.5: every poll gets the same close frame', async () => {
    const url = await opened(server, '/close');
    for (let at = 0; at < 4; at += 1) assert.equal(await poll(server, url), 'c[3000,"Go away!"]\n');
  });

  for (const [name] of ALL) {
    test(`S-7.9 S-7.5: once the close frame was sent, ${name} gets it too`, async () => {
      const url = fresh('/close');
      const receiver = await Receiver.open(server, url, 'xhr_streaming');
      await receiver.frame('o');
      await receiver.frame('c[3000,"Go away!"]');
      const next = await Receiver.open(server, url, name);
      await next.frame('c[3000,"Go away!"]');
      await receiver.over();
      await next.over();
      receiver.end();
      next.end();
    });
  }

  test('S-5.8 S-7.2: what is sent to a closing session is dropped', async () => {
    const url = await opened(server, '/close');
    await sent(server, url, ['a']);
    assert.equal(await poll(server, url), 'c[3000,"Go away!"]\n');
  });
});

describe('limits', () => {
  test('S-8.1: messages of one request', async () => {
    const url = await opened(server);
    const list = (count) => Array.from({ length: count }, (_, at) => String(at));
    assert.equal((await send(server, url, list(1001))).status, 413);
    await sent(server, url, list(1000));
    assert.equal(await poll(server, url), `a${JSON.stringify(list(1000))}\n`);
  });

  test('S-8.1: bytes of one message', async () => {
    const url = await opened(server);
    const text = (bytes) => `${'é'.repeat(32_767)}${'x'.repeat(bytes - 65_534)}`;
    const refused = await send(server, url, ['a', text(65_537)]);
    assert.equal(refused.status, 413);
    assert.equal(refused.headers['content-type'], 'text/plain; charset=UTF-8');
    assertNotCached(refused);
    await sent(server, url, [text(65_536)]);
    assert.equal(await poll(server, url), `a["${text(65_536)}"]\n`, 'nothing of what is refused is taken');
    assert.equal((await ask(server, 'POST', `${url}/jsonp_send`, { body: JSON.stringify([text(65_537)]) })).status, 413);
  });

  test('S-8.1: bytes of one request', async () => {
    const url = await opened(server);
    const body = (bytes) => `["a"${' '.repeat(bytes - 5)}]`;
    await sent(server, url, body(2 ** 20));
    assert.equal(await poll(server, url), 'a["a"]\n');
    for (const path of ['/xhr_send', '/jsonp_send', '/xhr']) {
      const wire = await Wire.open(server);
      const answer = await wire.request('POST', url + path, { body: body(2 ** 20 + 1) }).answer();
      assert.equal(answer.status, 413, path);
      await wire.gone();
    }
    const chunk = `8000\r\n${' '.repeat(0x8000)}\r\n`;
    const wire = await Wire.open(server);
    wire.request('POST', `${url}/xhr_send`, { headers: { 'Transfer-Encoding': 'chunked' } });
    for (let at = 0; at <= 32; at += 1) wire.write(chunk);
    assert.equal((await wire.answer()).status, 413);
    await sent(server, url, ['b']);
    assert.equal(await poll(server, url), 'a["b"]\n');
  });

  for (const [name, headers] of [['two lengths', 'Content-Length: 5\r\nContent-Length: 6\r\n'], ['a length and chunks', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n'], ['no number', 'Content-Length: +5\r\n'], ['another coding', 'Transfer-Encoding: gzip\r\n'], ['a huge number', 'Content-Length: 99999999999999999999999\r\n']]) {
    test(`a body that two readers could understand differently: ${name}`, async () => {
      const url = await opened(server);
      const wire = await Wire.open(server);
      wire.write(`POST ${url}/xhr_send HTTP/1.1\r\nHost: a\r\n${headers}\r\n["a"]`);
      const { status } = await wire.answer();
      assert.ok(status >= 400 && status < 500, String(status));
      await wire.gone();
      await sent(server, url, ['b']);
      assert.equal(await poll(server, url), 'a["b"]\n');
    });
  }

  test('S-8.4: the head of a request', async () => {
    const answer = await ask(server, 'POST', `${fresh()}/xhr`, { headers: { Cookie: 'x'.repeat(17_000) }, body: '' });
    assert.equal(answer.status, 431);
    assert.equal((await ask(server, 'GET', `/echo/info?${'x'.repeat(8_000)}`)).status, 200);
  });

  test('S-8.3: messages that wait', async () => {
    const url = await opened(server);
    const list = (count) => Array.from({ length: count }, () => '');
    await sent(server, url, list(1000));
    await sent(server, url, list(24));
    assert.equal(await poll(server, url), `a[${list(1024).map(() => '""').join()}]\n`);
    await sent(server, url, list(1000));
    await sent(server, url, list(25));
    assert.equal(await poll(server, url), `${SLOW}\n`);
    assert.equal(await poll(server, url), `${SLOW}\n`);
  });

  test('S-8.3: bytes that wait', async () => {
    const url = await opened(server);
    const text = 'x'.repeat(65_534);
    for (let at = 0; at < 64; at += 1) await sent(server, url, [text]);
    assert.equal((await poll(server, url)).length, 64 * 65_537 + 3, 'four MiB with their quotes');
    for (let at = 0; at < 65; at += 1) await sent(server, url, [text]);
    assert.equal(await poll(server, url), `${SLOW}\n`);
  });

  test('S-8.3: a slow receiver does not keep the session from what others send', async () => {
    const { url, receiver } = await waiting('xhr_streaming');
    receiver.wire.socket.pause();
    const text = 'x'.repeat(65_536);
    await sent(server, url, [text]);
    for (let at = 0; at < 70; at += 1) assert.ok([204, 404].includes((await send(server, url, [text])).status));
    // The response is full and owed; what came after it did not fit.
    receiver.wire.socket.resume();
    await receiver.frame(`a["${text}"]`);
    await receiver.over();
    assert.equal(await poll(server, url), `${SLOW}\n`);
    receiver.end();
  });

  for (const [name, path, last] of [['with frames', `${fresh()}/websocket`, { code: 1000, reason: 'Normal closure' }], ['without frames', '/echo/websocket', { code: 3001, reason: 'Slow consumer' }]]) {
    test(`S-8.3: a WebSocket ${name} that is not read`, async () => {
      const small = await startTrial({ after }, { app: newApp({ limits: { outbox_bytes: '256 KiB' } }) });
      const socket = await RawSocket.connect(small, path, { json: false });
      socket.socket.pause();
      const [text, total] = ['x'.repeat(60_000), 400];
      for (let at = 0; at < total; at += 1) socket.send(name === 'with frames' ? [text] : text);
      // The server has given up once it says so, behind what it had begun to write.
      socket.socket.resume();
      assert.deepEqual(await socket.close(), last);
      if (name === 'with frames') assert.equal(socket.frames.all.at(-1).text, SLOW);
      assert.ok(socket.frames.all.length < total, String(socket.frames.all.length));
      socket.end();
    });
  }
});

test('S-8.5: the server stops, and tells everybody', async () => {
  const stopping = await startTrial({ after }, { settings: { drain: { drain: '0 s' } } });
  const word = 'c[3002,"Server shutting down"]';
  const receivers = await Promise.all(Object.keys(RECEIVERS).map((name) => waiting(name, stopping)));
  const framed = await RawSocket.connect(stopping, `${fresh()}/websocket`, { json: false });
  assert.equal(await framed.text(), 'o');
  const raw = await RawSocket.connect(stopping, '/echo/websocket', { json: false });
  const draft = await Draft.open(stopping, `${fresh()}/websocket`);
  assert.equal(await draft.text(), 'o');
  const stopped = stopping.stop();
  for (const { receiver } of receivers) {
    await receiver.frame(word);
    await receiver.over();
  }
  assert.equal(await framed.text(), word);
  assert.deepEqual(await framed.close(), { code: 1000, reason: 'Normal closure' });
  assert.deepEqual(await raw.close(), { code: 1001, reason: 'Server shutting down' });
  assert.equal(await draft.text(), word);
  await draft.closed();
  assert.deepEqual(await stopped, { code: 0, signal: null });
});
