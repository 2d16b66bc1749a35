// The vectors of wspush's protocol over real sockets: tokens, routing, the bytes of messages and heartbeats, the limit, the statistics (W-11).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { startRedis } from './support/redis.mjs';
import { Stream, read } from './support/sse.mjs';
import { Frames, KEY_FLAG, PREFIX, signed, startRelay, stream, told, tokenQuery, websocket } from './support/wspush.mjs';
import { ask } from './support/wire.mjs';

const file = new URL('../../crates/dialect/tests/wspush-vectors.json', import.meta.url);
const vectors = JSON.parse(readFileSync(file, 'utf8'));

const redis = await startRedis({ after });
const publisher = await redis.client({ after });
const plain = await startRelay({ after }, redis);
const keyed = await startRelay({ after }, redis, { prefix: 'keyed.', flags: ['-hmac', KEY_FLAG] });
const binary = await startRelay({ after }, redis, { prefix: 'binary.', flags: ['-ws-frames', 'binary'] });
const LIMIT = 15;

const bytes = ({ message_base64: text, length }) => (text === null ? Buffer.alloc(length, 'x') : Buffer.from(text, 'base64'));

/** The values that a header has, but for those that say when and how long. */
function headers({ headers: all }) {
  return Object.fromEntries(Object.entries(all).filter(([name]) => !['date', 'content-length', 'sec-websocket-accept'].includes(name)));
}

describe('tokens', () => {
  for (const { name, token, hmac_required: hmac, tidings_status: expected } of vectors.tokens) {
    test(`W-3.1 W-3.2 W-3.3 W-3.4 W-3.6 W-5.1 ${name}: ${expected}`, async (t) => {
      const relay = hmac ? keyed : plain;
      if (expected !== 'accept') {
        const refused = await ask(relay, 'GET', `/sse?${tokenQuery(token)}`);
        assert.deepEqual([refused.status, refused.body], [expected, 'Bad Request\n']);
        const frames = await Frames.ask(relay, `/?${tokenQuery(token)}`);
        assert.equal(frames.head.status, expected);
        return frames.end();
      }
      // It is the very end of the Redis channel, whether signed or not (W-2.2).
      const [events, frames] = [await stream(t, relay, token), await websocket(t, relay, token)];
      assert.equal(await publisher.publish(`${hmac ? 'keyed.' : PREFIX}${token}`, name), 1);
      assert.equal(await events.block(), `data:${name}\n\n`);
      assert.equal(await frames.text(), name);
      return undefined;
    });
  }

  test('W-3.3 W-3.4 the tokens of the vectors are signatures', () => {
    let count = 0;
    for (const { payload, mac_hex: mac, token } of vectors.tokens.filter((one) => one.mac_hex)) {
      assert.equal(signed(payload), token);
      assert.equal(Buffer.from(token, 'base64url').subarray(-16).toString('hex'), mac);
      count += 1;
    }
    assert.ok(count >= 5);
  });
});

for (const { prefix, redis_channel: channel, token } of vectors.routing) {
  test(`W-2.1 W-2.2 W-2.3 with the prefix ${JSON.stringify(prefix)}, ${channel} is the token ${JSON.stringify(token)}`, async (t) => {
    // With an empty prefix everything is its own, and so it has a Redis of its own.
    const apart = await startRedis(t);
    const publishes = await apart.client(t);
    const relay = await startRelay(t, apart, { prefix });
    assert.equal(await publishes.command('PUBSUB', 'NUMPAT'), 1);
    const other = await websocket(t, relay, 'other');
    if (token === '') {
      assert.equal((await ask(relay, 'GET', `/sse?${tokenQuery('')}`)).status, 400);
      assert.equal(await publishes.publish(channel, 'to nobody'), 1);
    } else {
      const [frames, events] = [await websocket(t, relay, token), await stream(t, relay, token)];
      for (const near of [channel.toUpperCase(), channel.toLowerCase(), `${channel}.`, channel.slice(0, -1)].filter((one) => one !== channel)) await publishes.publish(near, 'to others');
      assert.equal(await publishes.publish(channel, 'to it'), 1);
      assert.equal(await frames.text(), 'to it');
      assert.equal(await events.block(), 'data:to it\n\n');
    }
    await publishes.publish(`${prefix}other`, 'the first it gets');
    assert.equal(await other.text(), 'the first it gets');
  });
}

describe('messages', () => {
  for (const { name, tidings_wire: wire, tidings_client_data: data, ...message } of vectors.sse_messages) {
    test(`W-6.6 W-6.7 W-6.8 W-6.9 W-6.10 by server-sent events: ${name}`, async (t) => {
      const events = await stream(t, plain, 'messages');
      const before = await plain.vars();
      await publisher.publish(`${PREFIX}messages`, bytes(message));
      await publisher.publish(`${PREFIX}messages`, 'the next');
      if (data !== null) {
        const block = await events.block();
        assert.equal(block, wire);
        assert.deepEqual([read(block).data], data);
      }
      assert.equal(await events.block(), 'data:the next\n\n');
      const after = await plain.vary(({ successful_deliveries: count }) => count >= before.successful_deliveries + (data === null ? 1 : 2));
      assert.equal(after.successful_deliveries - before.successful_deliveries, data === null ? 1 : 2, 'what was not sent is not counted');
      assert.equal(after.invalid_utf8 - before.invalid_utf8, wire === 'SKIP' ? 1 : 0);
    });
  }

  for (const { name, original_header_hex: header, tidings_opcode: opcode, ...message } of vectors.ws_frames) {
    for (const [kind, relay, prefix] of [['text', plain, PREFIX], ['binary', binary, 'binary.']]) {
      test(`W-6.1 W-6.2 W-6.3 W-6.4 by WebSocket with -ws-frames ${kind}: ${name}`, async (t) => {
        const frames = await websocket(t, relay, 'frames');
        await publisher.publish(`${prefix}frames`, bytes(message));
        const frame = await frames.frame();
        assert.equal(frame.head, `8${opcode[kind]}${header.slice(2)}`);
        assert.deepEqual(frame.payload, bytes(message));
      });
    }
  }
});

describe('heartbeats', () => {
  const { sse_default: quiet, sse_with_payload: said, ws_default_hex: pong, ws_with_payload: text } = vectors.pings;
  const soon = ['-ping-interval', '1s'];

  test('W-8.1 W-8.2 W-8.3 without -ping', async (t) => {
    const relay = await startRelay(t, redis, { flags: soon });
    const [events, frames] = [await stream(t, relay, 'beats'), await websocket(t, relay, 'beats')];
    for (let at = 0; at < 2; at += 1) {
      assert.equal(await events.block(), quiet);
      await frames.hex(pong);
    }
    // Which has no effect on what follows.
    await publisher.publish(`${PREFIX}beats`, 'm');
    assert.equal(await frames.message(), '81016d');
    assert.equal(await told(events), 'data:m\n\n');
    assert.equal((await relay.vary((vars) => vars.successful_deliveries >= 2)).successful_deliveries, 2, 'heartbeats are none');
  });

  test('W-8.1 W-8.3 with -ping', async (t) => {
    assert.equal(said.payload, text.payload);
    const relay = await startRelay(t, redis, { flags: [...soon, '-ping', said.payload] });
    const [events, frames] = [await stream(t, relay, 'beats'), await websocket(t, relay, 'beats')];
    for (let at = 0; at < 2; at += 1) {
      assert.equal(await events.block(), said.wire);
      await frames.hex(text.hex);
    }
    assert.equal((await relay.vars()).successful_deliveries, 0);
  });

  test('W-8.3 with -ping and -ws-frames binary', async (t) => {
    const relay = await startRelay(t, redis, { flags: [...soon, '-ws-frames', 'binary'], environment: { WSPUSH_PING: text.payload } });
    await (await websocket(t, relay, 'beats')).hex(text.hex.replace(/^81/, '82'));
  });

  test('W-8.2 a payload with more lines is a message like others', async (t) => {
    const relay = await startRelay(t, redis, { flags: [...soon, '-ping', 'a\rb\n c'] });
    assert.equal(await (await stream(t, relay, 'beats')).block(), 'data:a\ndata:b\ndata:  c\n\n');
    assert.equal(await (await websocket(t, relay, 'beats')).text(), 'a\rb\n c');
  });
});

describe('over the limit', () => {
  async function crowd(t, relay, token, count = LIMIT) {
    const all = [];
    for (let at = 0; at < count; at += 1) all.push(at % 2 ? await stream(t, relay, token) : await websocket(t, relay, token));
    return all;
  }

  test('W-4.1 W-4.3 the sixteenth is told', async (t) => {
    const all = await crowd(t, plain, 'crowd');
    const refused = await ask(plain, 'GET', `/sse?${tokenQuery('crowd')}`);
    assert.deepEqual([refused.status, refused.body.trimEnd()], [429, 'Too Many Requests']);
    assert.equal(refused.headers['access-control-allow-origin'], '*');
    await (await websocket(t, plain, 'crowd')).closed(1013, 'too many connections');
    // Others have a crowd of their own, and this one has lost nothing.
    const other = await websocket(t, plain, 'Crowd');
    for (const token of ['crowd', 'Crowd']) await publisher.publish(PREFIX + token, token);
    assert.equal(await other.text(), 'Crowd');
    for (const one of all) assert.equal(one instanceof Stream ? await one.block() : await one.text(), one instanceof Stream ? 'data:crowd\n\n' : 'crowd');
  });

  test('W-4.2 W-10.9 with -compat as in the original', async (t) => {
    const relay = await startRelay(t, redis, { flags: ['-compat'] });
    await crowd(t, relay, 'crowd');
    const refused = await ask(relay, 'GET', `/sse?${tokenQuery('crowd')}`);
    assert.equal(vectors.over_limit.sse, 'HTTP 200, Content-Length: 0, no Content-Type');
    assert.deepEqual([refused.status, refused.body, refused.headers['content-length']], [200, '', '0']);
    assert.deepEqual(headers(refused), { 'access-control-allow-origin': '*' });
    await (await websocket(t, relay, 'crowd')).hex(vectors.over_limit.ws_hex);
  });

  test('W-1.5 W-4.1 -max-per-token', async (t) => {
    const relay = await startRelay(t, redis, { flags: ['-max-per-token', '2'] });
    await crowd(t, relay, 'pair', 2);
    assert.equal((await ask(relay, 'GET', `/sse?${tokenQuery('pair')}`)).status, 429);
  });
});

test('W-9.1 W-9.3 the statistics', async (t) => {
  const relay = await startRelay(t, redis, { prefix: 'counted.' });
  assert.deepEqual(Object.keys(await relay.vars()).slice(0, 3), vectors.expvar.fields_in_order);
  const [sessions, messages, deliveries] = vectors.expvar.sample.match(/\d+/g).map(Number);
  // Five get six messages each; the rest of the sessions has another token, the last of them one too many; the rest of the messages reaches nobody.
  const five = [];
  for (let at = 0; at < 5; at += 1) five.push(at % 2 ? await stream(t, relay, 'five') : await websocket(t, relay, 'five'));
  for (let at = 5; at < sessions - 3; at += 1) await websocket(t, relay, 'crowd');
  for (let at = 0; at < 2; at += 1) await stream(t, relay, 'pair');
  await (await websocket(t, relay, 'crowd')).closed(1013, 'too many connections');
  for (let at = 0; at < messages; at += 1) await publisher.publish(at < deliveries / 5 ? 'counted.five' : 'counted.nobody', String(at));
  await relay.vary((vars) => vars.messages_seen >= messages && vars.successful_deliveries >= deliveries);
  const { status, headers: named, body } = await ask(relay.statistics, 'GET', '/debug/vars');
  assert.deepEqual([status, named['content-type']], [200, 'application/json; charset=utf-8']);
  assert.ok(body.includes(`"${vectors.expvar.key}": ${vectors.expvar.sample.slice(0, -1)}`), body);
  const { cmdline, memstats, wspush } = JSON.parse(body);
  assert.ok(Array.isArray(cmdline) && cmdline.includes('counted.'), JSON.stringify(cmdline));
  for (const name of ['Alloc', 'Sys', 'HeapAlloc', 'NumGC']) assert.equal(typeof memstats[name], 'number', name);
  assert.equal(memstats.NumGC, 0);
  const { sessions_open: open, sessions_refused: refused, dropped, closed_slow: slow, invalid_utf8: invalid, redis_connected: connected, redis_reconnects: reconnects } = wspush;
  assert.deepEqual({ open, refused, dropped, slow, invalid, connected, reconnects }, { open: sessions - 1, refused: 1, dropped: 0, slow: 0, invalid: 0, connected: 1, reconnects: 0 });
  assert.deepEqual(Object.keys(wspush).slice(3), ['sessions_open', 'sessions_refused', 'dropped', 'closed_slow', 'invalid_utf8', 'redis_connected', 'redis_reconnects']);
  for (const path of ['/', '/debug', '/debug/vars/']) assert.equal((await ask(relay.statistics, 'GET', path)).status, 404, path);
  assert.ok(relay.log.includes(`exposing statistics on http://${relay.statistics.host}:${relay.statistics.port}/debug/vars`), relay.log);
  assert.equal(five.length, 5);
});
