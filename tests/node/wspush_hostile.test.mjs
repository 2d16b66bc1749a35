// What hurts a relay: requests that are none, payloads of every kind, crowds, floods; one who does nothing wrong looks on.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { cleanup } from './support/cleanup.mjs';
import { BINARY, CLOSE, PING, PONG, TEXT, frame } from './support/raw_socket.mjs';
import { startRedis } from './support/redis.mjs';
import { freePort, newApp, startServer } from './support/server.mjs';
import { Stream, read } from './support/sse.mjs';
import { Frames, PREFIX, UPGRADE, eventually, startRelay, stream, websocket } from './support/wspush.mjs';
import { Wire, ask } from './support/wire.mjs';

const redis = await startRedis({ after }, { 'client-output-buffer-limit': ['pubsub', '0', '0', '0'] });
const publisher = await redis.client({ after });
const relay = await startRelay({ after }, redis);
const bystander = { frames: await websocket({ after }, relay, 'bystander'), events: await stream({ after }, relay, 'bystander'), count: 0 };
const publish = (token, data) => publisher.publish(Buffer.concat([Buffer.from(PREFIX), Buffer.from(token)]), data);

/** The process lives, and who did nothing wrong has noticed nothing. */
async function unharmed() {
  const text = `still here ${(bystander.count += 1)}`;
  await publish('bystander', text);
  assert.equal(await bystander.frames.text(), text);
  assert.equal(await bystander.events.block(), `data:${text}\n\n`);
}

describe('requests', () => {
  const BAD = 'Bad Request\n';

  test('W-3.1 W-3.2 queries that hold a token, and queries that only look so', async () => {
    for (const [query, token] of [
      ['token=Foo', 'Foo'], ['token=Foo&token=Bar', 'Foo'], ['tok%65n=F%6fo', 'Foo'], ['a=b&token=Foo', 'Foo'], ['&&token=Foo&', 'Foo'], ['token=a+b%2B', 'a b+'], ['token=a=b', 'a=b'],
      ['token=%zz&token=Foo', 'Foo'], ['token=a;b&token=Foo', 'Foo'], ['token=%&token=Foo', 'Foo'], ['x;y&token=Foo', 'Foo'], ['token=%00', '\0'], ['token=%0d%0aX:1', '\r\nX:1'], ['token=%3B%26', ';&'],
      ['token=%ff%fe', Buffer.from([0xff, 0xfe])], [`token=${'%ff'.repeat(64)}`, Buffer.alloc(64, 0xff)], ['token=.', '.'], ['token=../../x', '../../x'], ['token=*', '*'], ['token=#', '#'],
      ['', undefined], ['token', undefined], ['token=', undefined], ['token=&token=Foo', undefined], ['Token=Foo', undefined], ['token=a;b', undefined], ['x;token=Foo', undefined], ['token;=Foo', undefined],
      ['token=%', undefined], ['token=%4', undefined], ['token=%zz', undefined], ['token=%u0041', undefined], ['tok%zzen=Foo', undefined], ['token=Foo%', undefined], [`token=${'x'.repeat(65)}`, undefined],
      [`token=${'%ff'.repeat(65)}`, undefined], [`token=${'é'.repeat(33)}`.replaceAll('é', '%C3%A9'), undefined], ['token%00=Foo', undefined], ['token =Foo', undefined],
    ]) {
      const target = `/sse?${query}`.replace('token =', 'token+=');
      if (token === undefined) {
        const { status, body } = await ask(relay, 'GET', target);
        assert.deepEqual([status, body], [400, BAD], query);
        continue;
      }
      const events = await Stream.open(relay, target);
      assert.equal(await publish(token, 'it'), 1, query);
      assert.equal(await events.block(), 'data:it\n\n', query);
      events.end();
    }
    await unharmed();
  });

  test('W-5.1 W-5.2 any method but GET, on any path', async () => {
    for (const method of ['HEAD', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'DELETE', 'TRACE', 'PROPFIND', 'get', 'X']) {
      for (const path of ['/', '/ping', '/sse?token=Foo', '/?token=Foo', '/metrics', '/debug/vars']) {
        const wire = await Wire.open(relay);
        wire.request(method, path, method === 'POST' ? { body: 'token=Foo' } : {});
        const { status, headers } = await wire.head();
        assert.equal(status, 405, `${method} ${path}`);
        const { date, connection, ...rest } = headers;
        assert.deepEqual(rest, { allow: 'GET', 'access-control-allow-origin': '*', 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff', 'content-length': '19' }, `${method} ${path}`);
        if (method !== 'HEAD') assert.equal((await wire.bytes(19)).toString(), 'Method Not Allowed\n');
        wire.end();
      }
    }
    await unharmed();
  });

  test('W-5.1 W-5.3 W-5.4 what is a stream, and what is a WebSocket', async () => {
    for (const [path, headers = {}] of [
      ['/sse'], ['/a/b/sse'], ['//sse'], ['/', { Accept: 'text/event-stream' }], ['/x', { Accept: 'a/b;x="text/event-stream"' }], ['/x', { Accept: 'text/html,text/event-streams' }],
      ['/ping/', { Accept: 'text/event-stream' }], ['/sse', { ...UPGRADE, 'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==' }], ['/', { ...UPGRADE, Accept: 'text/event-stream' }],
    ]) (await Stream.open(relay, `${path}?token=Foo`, { headers })).end();
    for (const [path, headers = {}] of [
      ['/'], ['/ssse'], ['/xsse'], ['/sse/'], ['/SSE'], ['/sse/x'], ['/ping/'], ['/pings'], ['/', { Accept: 'TEXT/EVENT-STREAM' }], ['/', { Accept: 'text/html', accept: 'text/event-stream' }], ['/', { 'X-Accept': 'text/event-stream' }],
    ]) {
      const { status, body } = await ask(relay, 'GET', `${path}?token=Foo`, { headers });
      assert.equal(status, 400, path);
      assert.match(body, /not websocket protocol/, path);
      (await Frames.open(relay, `${path}?token=Foo`, { ...headers, Accept: undefined, accept: undefined })).end();
    }
    for (const path of ['/ping', '/ping?token=', '/ping?token=%zz']) assert.deepEqual([(await ask(relay, 'GET', path)).status, (await ask(relay, 'GET', path)).body], [200, '']);
    for (const path of ['/ping/', '/', '/sse', '/metrics', '/debug/vars', '/app/x', '/apps/1/events']) assert.equal((await ask(relay, 'GET', path)).status, 400, path);
    await unharmed();
  });

  test('W-5.5 handshakes', async () => {
    for (const [headers, status, say] of [
      [{ Upgrade: undefined }, 400, /not websocket protocol/],
      [{ Connection: undefined }, 400, /not websocket protocol/],
      [{ Upgrade: 'h2c' }, 400, /not websocket protocol/],
      [{ Connection: 'keep-alive' }, 400, /not websocket protocol/],
      [{ 'Sec-WebSocket-Version': undefined }, 400],
      [{ 'Sec-WebSocket-Version': '8' }, 400],
      [{ 'Sec-WebSocket-Key': undefined }, 400],
      [{ 'Sec-WebSocket-Key': 'short' }, 400],
    ]) {
      const wire = await Wire.open(relay);
      wire.request('GET', '/?token=a', { headers: { ...UPGRADE, 'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==', ...headers } });
      const answer = await wire.answer();
      assert.equal(answer.status, status, JSON.stringify(headers));
      if (say) assert.match(answer.body, say);
      if ('Sec-WebSocket-Version' in headers) assert.equal(answer.headers['sec-websocket-version'], '13');
      wire.end();
    }
    for (const [headers, named] of [[{ 'Sec-WebSocket-Protocol': 'one' }, 'one'], [{ 'Sec-WebSocket-Protocol': 'one, two' }, 'one'], [{ 'Sec-WebSocket-Extensions': 'permessage-deflate' }, undefined], [{ Connection: 'keep-alive, Upgrade', Upgrade: 'WebSocket' }, undefined]]) {
      const frames = await Frames.open(relay, '/?token=a', headers);
      assert.equal(frames.head.headers['sec-websocket-protocol'], named);
      assert.equal(frames.head.headers['sec-websocket-extensions'], undefined);
      frames.end();
    }
    await unharmed();
  });

  test('W-10.11 half requests, garbage, and requests without end', async (t) => {
    const half = [];
    cleanup(t, () => half.forEach((wire) => wire.end()));
    for (let at = 0; at < 300; at += 1) {
      const wire = await Wire.open(relay);
      wire.write(['', 'G', 'GET /sse?token=Foo HTTP/1.1\r\nHost: x\r\n', 'GET /?token=Foo HTTP/1.1\r\nUpgrade: websock'][at % 4]);
      half.push(wire);
    }
    await unharmed();
    for (const text of ['\0\0\0\0\r\n\r\n', 'GET\r\n\r\n', 'GET / HTTP/9.9\r\n\r\n', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'.padEnd(600, '\0') + '\r\n\r\n', `GET /sse?token=${'x'.repeat(100_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, `GET /sse?token=Foo HTTP/1.1\r\n${'X: y\r\n'.repeat(20_000)}\r\n`]) {
      const wire = await Wire.open(relay);
      wire.write(Buffer.from(text, 'latin1'));
      assert.match(await wire.rest(), /^(HTTP\/1\.[01] 4\d\d |$)/, text.slice(0, 20));
    }
    await unharmed();
  });

  test('W-5.1 several requests on one connection', async () => {
    const wire = await Wire.open(relay);
    for (const [path, status] of [['/ping', 200], ['/', 400], ['/?token=a', 400], ['/ping', 200]]) {
      wire.request('GET', path);
      assert.equal((await wire.answer()).status, status);
    }
    for (let at = 0; at < 10; at += 1) wire.request('GET', '/ping');
    for (let at = 0; at < 10; at += 1) assert.equal((await wire.answer()).status, 200);
    wire.end();
    // What is sent behind a request for a stream is nothing to it.
    const events = await Stream.open(relay, '/sse?token=Foo');
    events.wire.request('GET', '/ping');
    await publish('Foo', 'm');
    assert.equal(await events.block(), 'data:m\n\n');
    events.end();
    await unharmed();
  });
});

describe('payloads', () => {
  test('W-2.7 W-6.3 W-6.8 W-6.9 W-6.10 bytes of every kind', async (t) => {
    const [frames, events] = [await websocket(t, relay, 'bytes'), await stream(t, relay, 'bytes')];
    // The same ones each time.
    let state = 20_170_405;
    const random = (max) => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 8) % max;
    };
    const parts = ['\r', '\n', '\r\n', '\0', ' ', ':', 'data:', 'id:1', 'event:x', 'é', '😀', '\ufeff', '\u2028', 'x'.repeat(130), Buffer.from([0xff]), Buffer.from([0xc3]), Buffer.from([0xed, 0xa0, 0x80])];
    const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    const { invalid_utf8: before } = await relay.vars();
    let invalid = 0;
    for (let at = 0; at < 1000; at += 1) {
      const data = Buffer.concat(Array.from({ length: 1 + random(6) }, () => Buffer.from(parts[random(at % 4 === 0 ? parts.length : parts.length - 3)])));
      await publish('bytes', data);
      let text;
      try {
        text = utf8.decode(data);
      } catch {
        invalid += 1;
      }
      const got = await frames.frame();
      assert.deepEqual([got.opcode, got.payload], [text === undefined ? BINARY : TEXT, data]);
      if (text === undefined) continue;
      const block = await events.block();
      assert.deepEqual(Object.keys(read(block)), ['data'], block);
      assert.equal(read(block).data, text.replace(/\r\n|\r/g, '\n'));
    }
    assert.ok(invalid > 50);
    assert.equal((await relay.vars()).invalid_utf8 - before, invalid);
    await unharmed();
  });

  test('design 3.4: a message of a megabyte is the largest; with 64 of them, all others go on', async (t) => {
    const [frames, events] = [await websocket(t, relay, 'large'), await stream(t, relay, 'large')];
    const whole = Buffer.alloc(1024 * 1024, 'x');
    await publish('large', whole);
    assert.deepEqual((await frames.frame()).payload, whole);
    assert.equal((await events.block()).length, whole.length + 'data:\n\n'.length);
    const { redis_reconnects: cut } = await relay.vars();
    for (const size of [whole.length + 1, 64_000_000]) {
      assert.equal(await publish('large', Buffer.alloc(size, 'y')), 1);
      await unharmed();
      await publish('large', 'small again');
      assert.equal(await frames.text(), 'small again');
      assert.equal(await events.block(), 'data:small again\n\n');
    }
    assert.equal((await relay.vars()).redis_reconnects, cut);
  });

  test('W-2.5 where Redis itself cuts who is sent so much, it goes on too', async (t) => {
    const strict = await startRedis(t);
    const other = await startRelay(t, strict);
    const publishes = await strict.client(t);
    const frames = await websocket(t, other, 'Foo');
    // Its limit for subscribers is 32 MB.
    await publishes.publish(`${PREFIX}large`, Buffer.alloc(64_000_000, 'y'));
    await other.vary(({ redis_reconnects: count, redis_connected: connected }) => count === 1 && connected === 1);
    await publishes.publish(`${PREFIX}Foo`, 'm');
    assert.equal(await frames.text(), 'm');
  });
});

describe('crowds', () => {
  test('W-2.2 W-9.1 a hundred thousand tokens that nobody has', async () => {
    const { messages_seen: before } = await relay.vars();
    const count = 100_000;
    for (let at = 0; at < count; at += 1000) {
      const batch = [];
      for (let one = at; one < at + 1000; one += 1) batch.push(publisher.publish(`${PREFIX}nobody-${one}`, 'x'));
      await Promise.all(batch);
    }
    assert.equal((await relay.vary(({ messages_seen: seen }) => seen >= before + count)).messages_seen, before + count);
    await unharmed();
  });

  test('W-4.1 W-4.4 twenty thousand tokens that somebody has for a moment', async () => {
    const { sessions_open: open, sessions_seen: seen } = await relay.vars();
    const [count, lanes] = [20_000, 50];
    const lane = async (first) => {
      for (let at = first; at < count; at += lanes) {
        const client = at % 2 ? await Frames.open(relay, `/?token=crowd-${at}`) : await Stream.open(relay, `/sse?token=crowd-${at}`);
        client.wire.socket.resetAndDestroy();
      }
    };
    await Promise.all(Array.from({ length: lanes }, (_, first) => lane(first)));
    const now = await relay.vary((vars) => vars.sessions_open === open);
    assert.equal(now.sessions_seen, seen + count);
    await unharmed();
  });
});

describe('what clients send', () => {
  test('W-6.5 pings are answered, a close is completed', async (t) => {
    const frames = await websocket(t, relay, 'polite');
    for (const payload of ['', 'ping', 'x'.repeat(125)]) {
      frames.send(PING, payload);
      const { opcode, payload: answered } = await frames.frame();
      assert.deepEqual([opcode, answered.toString()], [PONG, payload]);
    }
    frames.send(PONG, 'not asked for');
    await publish('polite', 'm');
    assert.equal(await frames.text(), 'm');
    frames.send(CLOSE, Buffer.from([0x03, 0xe9]));
    await frames.closed(1001);
    await frames.gone();
    const bare = await websocket(t, relay, 'polite');
    bare.send(CLOSE);
    assert.equal((await bare.frame()).opcode, CLOSE);
    await bare.gone();
  });

  test('W-6.5 W-10.2 messages are ignored up to a bound', async (t) => {
    const frames = await websocket(t, relay, 'talker');
    for (const [opcode, payload] of [[TEXT, 'hello'], [BINARY, Buffer.alloc(4096)], [TEXT, 'x'.repeat(4096)], [TEXT, ''], [TEXT, '{"event":"pusher:subscribe"}']]) frames.send(opcode, payload);
    frames.send(TEXT, 'a'.repeat(2000), { fin: false });
    frames.send(0, 'b'.repeat(2000));
    frames.send(PING, 'all taken');
    assert.equal((await frames.frame()).payload.toString(), 'all taken');
    await publish('talker', 'm');
    assert.equal(await frames.text(), 'm');
    for (const size of [4097, 65_536, 10_000_000]) {
      const large = await websocket(t, relay, 'talker');
      // The head of the frame says enough.
      large.wire.write(frame(BINARY, '', { length: size }));
      assert.equal(await code(large), 1008, String(size));
      await large.gone();
    }
    const parts = await websocket(t, relay, 'talker');
    parts.send(TEXT, 'a'.repeat(4000), { fin: false });
    parts.send(0, 'b'.repeat(97));
    assert.equal(await code(parts), 1008);
    await unharmed();
  });

  test('W-6.5 a flood of messages ends with 1008', async (t) => {
    for (const [opcode, payload] of [[TEXT, ''], [TEXT, 'x'], [BINARY, Buffer.alloc(100)]]) {
      const frames = await websocket(t, relay, 'flood');
      const one = frame(opcode, payload);
      frames.wire.write(Buffer.concat(Array.from({ length: 1000 }, () => one)));
      assert.equal(await code(frames), 1008);
      await frames.gone();
    }
    await unharmed();
  });

  test('W-6.5 frames that break the protocol end with 1002', async (t) => {
    for (const bytes of [frame(TEXT, 'x', { mask: false }), frame(3, 'x'), frame(TEXT, 'x', { rsv: 4 }), frame(PING, 'x', { fin: false }), frame(PING, 'x'.repeat(126)), frame(0, 'x'), frame(CLOSE, Buffer.from([1])), frame(CLOSE, Buffer.from([0x03, 0xed]))]) {
      const frames = await websocket(t, relay, 'wrong');
      frames.wire.write(bytes);
      assert.equal(await code(frames), 1002, bytes.toString('hex').slice(0, 20));
      await frames.gone();
    }
    await unharmed();
  });

  /** The code of the close frame that comes next. */
  async function code(frames) {
    const { opcode, payload } = await frames.frame();
    assert.equal(opcode, CLOSE);
    return payload.readUInt16BE(0);
  }

  test('W-5.7 W-7.3 who takes nothing for a while is gone, though its messages may be dropped', async (t) => {
    const app = newApp();
    const statistics = { host: '127.0.0.1', port: await freePort() };
    const relays = [{ name: 'a', app: app.id, redis: redis.url, prefix: 'stall.', queue: 1, slow: 'drop' }];
    const server = await startServer(t, {
      app,
      listener: { dialects: ['wspush:a'] },
      listeners: [{ address: `${statistics.host}:${statistics.port}`, dialects: ['wspush-statistics:a'] }],
      settings: { limits: { outbox_stall: '1 s' }, wspush: relays },
    });
    await eventually(() => publisher.publish('stall.nobody', ''), (receivers) => receivers === 1);
    const vars = async () => JSON.parse((await ask(statistics, 'GET', '/debug/vars')).body).wspush;
    for (const connect of [websocket, stream]) {
      const client = await connect(t, server, 'slow');
      client.wire.socket.pause();
      const { dropped } = await vars();
      while ((await vars()).dropped === dropped) await publisher.publish('stall.slow', Buffer.alloc(65_536, 'x'));
      await eventually(vars, ({ sessions_open: open }) => open === 0);
      client.wire.socket.resume();
      await client.gone();
    }
  });
});

test('W-9.2 neither tokens nor what was published is in the log', () => {
  assert.ok(!/bystander|still here|crowd-|nobody-/.test(relay.log), relay.log.slice(0, 5000));
});
