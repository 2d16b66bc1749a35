// The clients of the field at a relay: npm's `ws` and `eventsource`, Chromium's own `EventSource` and `WebSocket`, curl; published by redis-cli too.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import WebSocket from 'ws';
import { launch } from './support/chromium.mjs';
import { cleanup } from './support/cleanup.mjs';
import { startRedis } from './support/redis.mjs';
import { site, visitor } from './support/site.mjs';
import { opened, source } from './support/sse.mjs';
import { Inbox, within } from './support/wait.mjs';
import { Frames, KEY, KEY_FLAG, PREFIX, signed, startRelay, stream, tokenQuery, websocket } from './support/wspush.mjs';

const redis = await startRedis({ after });
const publisher = await redis.client({ after });
const relay = await startRelay({ after }, redis);
const browser = await launch({ after });
const elsewhere = await site({ after });

const address = (server, token, scheme = 'http', path = '/sse') => `${server.url.replace('http', scheme)}${scheme === 'ws' ? '/' : path}?${tokenQuery(token)}`;
const publish = (token, data) => publisher.publish(PREFIX + token, data);

/** What is published, and what a reader of server-sent events is given of it if that is not the same; `null` is nothing. */
const MESSAGES = [
  ['hello'],
  ['line1\nline2\n\nline4'],
  ['trail\n'],
  ['\n'],
  [' one'],
  ['   three\n two\nnone'],
  ['a\r\nb\rc\nd', 'a\nb\nc\nd'],
  ['x\rid:1\revent:y\rdata:z\r\rdata:two', 'x\nid:1\nevent:y\ndata:z\n\ndata:two'],
  ['', null],
  [':comment\nretry:1\ndata: x'],
  ['é ü ß € 😀 \u{10ffff} \u2028\u2029\u200b\ufeff'],
  ['\ufeffmark'],
  ['nul\0and \u0001\u007f'],
  ['{"json": [1, 2, "x"]}'],
  ['x'.repeat(200_000)],
  ['last'],
].map(([text, data = text]) => [text, data]);
const BINARY = Buffer.from([0xff, 0xfe, 0, 0x80, 13, 10]);

/** A client of the library `ws`; `inbox` holds what came. */
async function npm(t, server, token, options) {
  const socket = new WebSocket(address(server, token, 'ws'), options);
  socket.inbox = new Inbox('messages of a WebSocket');
  socket.on('message', (data, isBinary) => socket.inbox.push(isBinary ? data : String(data)));
  socket.on('pong', () => socket.inbox.push({ pong: true }));
  socket.over = new Promise((resolve) => socket.on('close', (code, reason) => resolve({ code, reason: String(reason) })));
  cleanup(t, () => socket.terminate());
  await within(new Promise((resolve, refuse) => socket.once('open', resolve).once('error', refuse)), 'a WebSocket to open');
  return socket;
}

/** Runs `curl -N`; `block` resolves with the next block that it shows. */
function curl(t, ...parts) {
  const process = spawn('curl', ['--silent', '--show-error', '-N', ...parts], { stdio: ['ignore', 'pipe', 'inherit'] });
  cleanup(t, () => process.kill());
  const shown = new Inbox('what curl shows');
  let rest = '';
  process.stdout.setEncoding('utf8').on('data', (text) => {
    const blocks = (rest + text).split('\n\n');
    rest = blocks.pop();
    for (const block of blocks) shown.push(block);
  });
  return { block: () => shown.next(() => true, 'a block') };
}

describe('every kind of message', () => {
  test('W-6.1 W-6.3: npm ws', async (t) => {
    const socket = await npm(t, relay, 'npm');
    for (const [text] of MESSAGES) {
      assert.equal(await publish('npm', text), 1);
      assert.equal(await socket.inbox.next(), text);
    }
    await publish('npm', BINARY);
    assert.deepEqual(await socket.inbox.next(), BINARY);
  });

  test('W-6.6 W-6.7 W-6.8 W-6.9 W-6.10: npm eventsource', async (t) => {
    const events = source(t, address(relay, 'npm'), ['message', 'y']);
    await opened(events);
    await publish('npm', BINARY);
    for (const [text, data] of MESSAGES) {
      await publish('npm', text);
      if (data !== null) assert.deepEqual(await events.inbox.next(), { type: 'message', data, id: '' });
    }
    assert.deepEqual(events.errors.all, []);
  });

  test('W-5.2 W-6.1 W-6.3 W-6.8 W-6.9: Chromium, on a page of another origin', async (t) => {
    const page = await visitor(t, browser, elsewhere);
    await page.events('events', address(relay, 'page'), ['message', 'y']);
    await page.socket('socket', address(relay, 'page', 'ws'));
    for (const name of ['events', 'socket']) await page.opened(name);
    for (const [text, data] of MESSAGES) {
      await publish('page', text);
      assert.deepEqual(await page.next('socket'), { name: 'socket', type: 'message', data: text });
      if (data !== null) assert.deepEqual(await page.next('events'), { name: 'events', type: 'message', data, id: '' });
    }
    await publish('page', BINARY);
    assert.deepEqual(await page.next('socket'), { name: 'socket', type: 'message', data: { bytes: [...BINARY] } });
  });

  test('W-5.1 W-5.4 W-6.6: curl -N, by the path and by what it accepts; and redis-cli', async (t) => {
    await relay.vary(({ sessions_open: open }) => open === 0);
    const all = [curl(t, address(relay, 'shell')), curl(t, '-H', 'Accept: text/html, text/event-stream;q=0.5', address(relay, 'shell', 'http', '/')), curl(t, '--http1.0', address(relay, 'shell'))];
    await relay.vary(({ sessions_open: open }) => open === all.length);
    for (const text of ['PUBLISH by hand', 'line1\nline2']) {
      execFileSync('redis-cli', ['-p', String(redis.port), 'PUBLISH', `${PREFIX}shell`, text]);
      for (const one of all) assert.equal(await one.block(), text.split('\n').map((line) => `data:${line}`).join('\n'));
    }
  });
});

describe('several on one token', () => {
  test('W-2.7 W-6.11 W-7.4 each has all messages, in order', async (t) => {
    const count = 2000;
    const page = await visitor(t, browser, elsewhere);
    await page.events('events', address(relay, 'many'));
    await page.socket('socket', address(relay, 'many', 'ws'));
    for (const name of ['events', 'socket']) await page.opened(name);
    const [socket, events, frames, blocks] = [await npm(t, relay, 'many'), source(t, address(relay, 'many')), await websocket(t, relay, 'many'), await stream(t, relay, 'many')];
    await opened(events);
    // Never more under way than a queue may hold (W-7.2).
    for (let at = 0; at < count; at += 1) {
      publish('many', String(at));
      if (at % 100 !== 99) continue;
      for (let due = at - 99; due <= at; due += 1) {
        assert.equal(await frames.text(), String(due));
        assert.equal(await blocks.block(), `data:${due}\n\n`);
        assert.equal(await socket.inbox.next(), String(due));
        assert.equal((await events.inbox.next()).data, String(due));
        for (const name of ['events', 'socket']) assert.equal((await page.next(name)).data, String(due));
      }
    }
    assert.equal((await relay.vars()).dropped, 0);
  });

  test('W-4.1 W-4.3 the sixteenth is told, for good', async (t) => {
    for (let at = 0; at < 15; at += 1) await (at % 2 ? stream : websocket)(t, relay, 'full');
    const { sessions_seen: seen } = await relay.vars();
    const events = source(t, address(relay, 'full'));
    assert.deepEqual(await events.errors.next(), { code: 429, message: events.errors.all[0].message, state: events.CLOSED });
    const socket = await npm(t, relay, 'full');
    assert.deepEqual(await within(socket.over, 'a close'), { code: 1013, reason: 'too many connections' });
    const errors = [];
    const page = await visitor(t, browser, elsewhere, { errors });
    await page.events('events', address(relay, 'full'));
    assert.deepEqual(await page.next('events'), { name: 'events', error: 2 });
    await page.socket('socket', address(relay, 'full', 'ws'));
    await page.opened('socket');
    assert.deepEqual(await page.next('socket'), { name: 'socket', close: 1013, reason: 'too many connections' });
    // The browser notes what it was told, and nobody comes back.
    assert.equal(errors.splice(0).filter((text) => !text.includes('429')).length, 0);
    assert.equal((await relay.vars()).sessions_seen, seen + 4);
  });

  test('W-4.2 with -compat they take it for an end', async (t) => {
    const compat = await startRelay(t, redis, { flags: ['-compat'] });
    for (let at = 0; at < 15; at += 1) await (at % 2 ? stream : websocket)(t, compat, 'full');
    const events = source(t, address(compat, 'full'));
    assert.equal((await events.errors.next()).state, events.CLOSED);
    const socket = await npm(t, compat, 'full', { origin: elsewhere });
    assert.deepEqual(await within(socket.over, 'a close'), { code: 1000, reason: '' });
  });

  test('W-4.4 W-10.1 a page that is loaded again and again has its places back at once', async (t) => {
    const page = await visitor(t, browser, elsewhere);
    for (let at = 0; at < 30; at += 1) {
      page.told.clear();
      await page.events('events', address(relay, 'again'));
      await page.socket('socket', address(relay, 'again', 'ws'));
      for (const name of ['events', 'socket']) await page.opened(name);
      if (at % 10 === 0) {
        await publish('again', String(at));
        for (const name of ['events', 'socket']) assert.equal((await page.next(name)).data, String(at));
      }
      await page.reload();
    }
  });

  for (const [kind, leave] of [['ends the connection', (one) => one.wire.socket.end()], ['resets it', (one) => one.wire.socket.resetAndDestroy()], ['closes as it should', (one) => one.send?.(8, Buffer.from([3, 232])) ?? one.end()]]) {
    test(`W-4.4 W-5.7 W-6.5 a place is free as soon as its client ${kind}`, async (t) => {
      const { sessions_open: open } = await relay.vars();
      for (let round = 0; round < 3; round += 1) {
        const all = [];
        for (let at = 0; at < 15; at += 1) all.push(await (at % 2 ? stream : websocket)(t, relay, 'place'));
        for (const one of all) leave(one);
        await relay.vary(({ sessions_open: now }) => now === open);
      }
    });
  }
});

describe('settings', () => {
  test('W-3.3 W-3.4 W-3.7 tokens signed as applications sign them, by either key', async (t) => {
    const other = 'another key, for the better hash';
    const keyed = await startRelay(t, redis, { flags: ['-hmac', KEY_FLAG, '-hmac-sha256', Buffer.from(other).toString('base64url')] });
    const better = (payload, key = other) => signed(payload, { key, hash: 'sha256' });
    for (const token of [signed('user:42'), signed('é'.repeat(16)), signed(Buffer.from([0, 255])), better('user:42'), better('y'.repeat(64)), better('z')]) {
      assert.ok(Buffer.byteLength(token) <= 128, token);
      const [socket, events] = [await npm(t, keyed, token), source(t, address(keyed, token))];
      await opened(events);
      await publish(token, `for ${token}`);
      assert.equal(await socket.inbox.next(), `for ${token}`);
      assert.equal((await events.inbox.next()).data, `for ${token}`);
    }
    for (const token of [
      signed('user:42', { key: other }), better('user:42', KEY), signed('user:42', { hash: 'sha1' }), better('y'.repeat(65)), signed('y'.repeat(33)), better(''), signed(''),
      `${better('user:42')}=`, better('user:42').slice(0, -1), 'user:42', 'Foo',
    ]) {
      assert.equal((await fetch(address(keyed, token))).status, 400, token);
      await assert.rejects(npm(t, keyed, token), /400/, token);
    }
  });

  test('W-3.4 W-3.7 tokens as the documentation signs them', async (t) => {
    const page = readFileSync(new URL('../../docs/operating/wspush.md', import.meta.url), 'utf8');
    const code = (language) => page.split(`\`\`\`${language}\n`).slice(1).map((rest) => rest.split('```')[0]).find((text) => /\btoken\(/.test(text));
    const key = randomBytes(32);
    const payload = 'user:42 é';
    const environment = { env: { ...process.env, TOKEN_KEY: key.toString('base64url'), PAYLOAD: payload } };
    const tokens = [
      execFileSync(process.execPath, ['-e', `${code('js')}; console.log(token(process.env.PAYLOAD));`], environment),
      execFileSync('python3', ['-c', `${code('python')}\nprint(token(os.environ["PAYLOAD"].encode()))`], environment),
      execFileSync('bash', ['-c', `${code('sh')}\ntoken "$PAYLOAD"`], environment),
    ].map((text) => String(text).trim());
    assert.deepEqual(tokens, Array(3).fill(signed(payload, { key, hash: 'sha256' })));
    const keyed = await startRelay(t, redis, { flags: ['-hmac-sha256', key.toString('base64url')] });
    const socket = await npm(t, keyed, tokens[0]);
    await publish(tokens[0], 'to it');
    assert.equal(await socket.inbox.next(), 'to it');
  });

  test('W-3.7 a key for the better hash alone', async (t) => {
    const keyed = await startRelay(t, redis, { flags: ['-hmac-sha256', KEY_FLAG] });
    const token = signed('user:42', { hash: 'sha256' });
    const socket = await npm(t, keyed, token);
    await publish(token, 'to it');
    assert.equal(await socket.inbox.next(), 'to it');
    for (const bad of [signed('user:42'), 'Foo']) assert.equal((await fetch(address(keyed, bad))).status, 400, bad);
  });

  test('W-8.1 heartbeats reach pages only with -ping', async (t) => {
    const [quiet, spoken] = [await startRelay(t, redis, { flags: ['-ping-interval', '1s'] }), await startRelay(t, redis, { flags: ['-ping-interval', '1s', '-ping', 'still here'] })];
    const socket = await npm(t, quiet, 'beats');
    const events = source(t, address(quiet, 'beats'));
    await opened(events);
    const page = await visitor(t, browser, elsewhere);
    await page.events('events', address(spoken, 'beats'));
    await page.socket('socket', address(spoken, 'beats', 'ws'));
    for (const name of ['events', 'socket']) {
      await page.opened(name);
      for (let at = 0; at < 2; at += 1) assert.equal((await page.next(name)).data, 'still here');
    }
    for (let at = 0; at < 2; at += 1) assert.deepEqual(await socket.inbox.next(), { pong: true });
    assert.deepEqual(events.inbox.all, []);
    assert.deepEqual([socket.readyState, events.readyState], [WebSocket.OPEN, events.OPEN]);
  });

  test('W-6.3 -ws-frames binary', async (t) => {
    const binary = await startRelay(t, redis, { flags: ['-ws-frames', 'binary'] });
    const socket = await npm(t, binary, 'binary');
    const page = await visitor(t, browser, elsewhere);
    await page.socket('socket', address(binary, 'binary', 'ws'));
    await page.opened('socket');
    for (const data of [Buffer.from('text é'), BINARY, Buffer.alloc(0)]) {
      await publish('binary', data);
      assert.deepEqual(await socket.inbox.next(), data);
      assert.deepEqual((await page.next('socket')).data, { bytes: [...data] });
    }
  });

  test('W-5.6 anybody may connect, with any origin or none', async () => {
    for (const Origin of [undefined, 'null', 'http://a.example', 'https://b.example:8443']) (await Frames.open(relay, '/?token=a', { Origin })).end();
  });

  test('W-5.6 -origins lists who may', async (t) => {
    const origin = new URL(elsewhere).origin;
    const choosy = await startRelay(t, redis, { flags: ['-origins', `https://good.example,${origin}`] });
    for (const [Origin, status] of [[origin, 101], ['https://good.example', 101], ['https://bad.example', 403], ['null', 403], ['https://good.example.bad.example', 403], ['http://good.example', 403]]) {
      const frames = await Frames.ask(choosy, '/?token=a', { Origin });
      assert.equal(frames.head.status, status, Origin);
      frames.end();
    }
    const page = await visitor(t, browser, elsewhere);
    await page.socket('socket', address(choosy, 'a', 'ws'));
    await page.opened('socket');
    const errors = [];
    const stranger = await visitor(t, browser, await site(t).then((url) => url.replace('127.0.0.1', 'localhost')), { errors });
    await stranger.socket('socket', address(choosy, 'a', 'ws'));
    assert.equal((await stranger.next('socket')).close, 1006);
    assert.ok(errors.splice(0).every((text) => text.includes('403')));
  });
});
