// The dialogues of the original, byte for byte, against `-compat`; of HTTP heads the status and the set of names and values, the date aside (W-11).
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startRedis } from './support/redis.mjs';
import { Frames, PREFIX, UPGRADE, startRelay, stream, told, websocket } from './support/wspush.mjs';
import { ask } from './support/wire.mjs';

const redis = await startRedis({ after });
const publisher = await redis.client({ after });
const relay = await startRelay({ after }, redis, { flags: ['-compat'] });
const brisk = await startRelay({ after }, redis, { flags: ['-compat', '-ping-interval', '1s'] });
const spoken = await startRelay({ after }, redis, { flags: ['-compat', '-ping-interval', '1s', '-ping', '{"ping":1}'] });

const CORS = { 'access-control-allow-origin': '*' };
const TEXT = { ...CORS, 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' };
/** What Tidings adds to the original's head (W-5.7). */
const FRESH = { 'cache-control': 'no-cache', 'x-accel-buffering': 'no' };

/** Expects this head; values are compared as they are. */
function assertHead({ status, headers: { date, ...headers } }, expected, named) {
  assert.equal(status, expected);
  assert.deepEqual(headers, named);
}

/** `PUBLISH` as a transcript writes it. */
function publish(text) {
  return publisher.publish(`${PREFIX}Foo`, text);
}

test('W-5.1 W-5.2 GET /ping', async () => {
  const answer = await ask(relay, 'GET', '/ping');
  assertHead(answer, 200, { ...CORS, 'content-length': '0' });
  assert.equal(answer.body, '');
});

test('W-5.7 W-6.6 W-6.7 GET /sse?token=Foo', async (t) => {
  const events = await stream(t, brisk, 'Foo');
  assertHead(events.head, 200, { ...CORS, ...FRESH, 'content-type': 'text/event-stream', 'transfer-encoding': 'chunked' });
  await publish('line1\nline2');
  assert.equal(await told(events), 'data:line1\ndata:line2\n\n');
  await publish('');
  assert.equal(await events.block(), 'ping:\n\n');
});

test('W-5.3 W-5.5 W-6.1 W-6.2 W-8.1 W-8.2 GET /any/path?token=Foo with upgrade headers', async (t) => {
  const frames = await websocket(t, brisk, 'Foo', { path: '/any/path' });
  const { 'sec-websocket-accept': accept, ...headers } = frames.head.headers;
  assert.equal(accept, frames.accept);
  assertHead({ ...frames.head, headers }, 101, { upgrade: 'websocket', connection: 'Upgrade' });
  await publish('hello');
  assert.equal(await frames.message(), '810568656c6c6f');
  await publish('');
  assert.equal(await frames.message(), '8100');
  await frames.hex('8a00');
  await publish('m');
  assert.equal(await frames.message(), '81016d');
});

test('W-8.1 with -ping \'{"ping":1}\'', async (t) => {
  assert.equal(await (await stream(t, spoken, 'Foo')).block(), 'data:{"ping":1}\n\n');
  await (await websocket(t, spoken, 'Foo')).hex('810a7b2270696e67223a317d');
});

test('W-4.2 the sixteenth connection of a token', async (t) => {
  for (let at = 0; at < 15; at += 1) await (at % 2 ? stream : websocket)(t, relay, 'full');
  const events = await ask(relay, 'GET', '/sse?token=full');
  assertHead(events, 200, { ...CORS, 'content-length': '0' });
  assert.equal(events.body, '');
  await (await websocket(t, relay, 'full')).hex('880203e8');
});

test('W-5.1 W-5.2 POST /ping', async () => {
  const body = 'Method Not Allowed\n';
  const answer = await ask(relay, 'POST', '/ping');
  assertHead(answer, 405, { ...TEXT, allow: 'GET', 'content-length': String(body.length) });
  assert.equal(answer.body, body);
});

test('W-5.1 W-5.2 GET / without a token', async () => {
  const body = 'Bad Request\n';
  const answer = await ask(relay, 'GET', '/');
  assertHead(answer, 400, { ...TEXT, 'content-length': String(body.length) });
  assert.equal(answer.body, body);
});

test('W-5.5 GET /?token=a without upgrade headers', async () => {
  const answer = await ask(relay, 'GET', '/?token=a');
  assert.equal(answer.status, 400);
  assert.match(answer.body, /not websocket protocol/);
});

test('W-5.6 an upgrade without an Origin, or with one that is none', async () => {
  for (const Origin of [undefined, 'null', 'test']) {
    const frames = await Frames.ask(relay, '/?token=a', { Origin });
    assert.equal(frames.head.status, 403, Origin);
    frames.end();
  }
  for (const Origin of [UPGRADE.Origin, 'https://a.example:8443', '/path', 'file:///page.html']) {
    const frames = await Frames.open(relay, '/?token=a', { Origin });
    frames.end();
  }
});
