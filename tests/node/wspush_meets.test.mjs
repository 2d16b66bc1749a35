// Relays beside Pusher, Pushy and server-sent events on one app: what Redis brings reaches everybody, in everybody's own words, and the other way.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect as http2 } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import WebSocket from 'ws';
import { cleanup } from './support/cleanup.mjs';
import { connected, subscribe } from './support/pusher_js.mjs';
import { PREFIX as SOCKJS, open as openPushy, trigger } from './support/pushy.mjs';
import { RawSocket } from './support/raw_socket.mjs';
import { startRedis } from './support/redis.mjs';
import { HOST, freePort, newApp, startServer } from './support/server.mjs';
import { request } from './support/sign.mjs';
import { Stream, soon, source, streamPath } from './support/sse.mjs';
import { Inbox, within } from './support/wait.mjs';
import { KEY_FLAG, eventually, signed, stream, websocket } from './support/wspush.mjs';

const redis = await startRedis({ after });
const publisher = await redis.client({ after });

/** Each relay has a prefix of its name and a dot, and an address of its own: they do not share one. */
const RELAYS = {
  news: {},
  again: {},
  keyed: { hmac_key: KEY_FLAG },
  apart: { apart: true },
  'apart-keyed': { apart: true, hmac_key: KEY_FLAG },
};

/** A server whose first listener speaks all dialects with the relay `news`; the others are in `at`, by name. */
async function start(t, { relays = RELAYS, publishes = publisher } = {}) {
  const dialects = ['pusher', 'sse', 'pushy', 'wspush:news'];
  const app = newApp({ client_events: true });
  const names = Object.keys(relays).filter((name) => !dialects.includes(`wspush:${name}`));
  const listeners = await Promise.all(names.map(async (name) => ({ address: `${HOST}:${await freePort()}`, dialects: [`wspush:${name}`] })));
  const [statistics, metrics] = [`${HOST}:${await freePort()}`, `${HOST}:${await freePort()}`];
  listeners.push({ address: statistics, dialects: ['wspush-statistics:news'] }, { address: metrics, dialects: ['metrics'] });
  const wspush = Object.entries(relays).map(([name, more]) => ({ name, app: app.id, redis: redis.url, prefix: `${name}.`, ...more }));
  const server = await startServer(t, { app, listener: { dialects }, listeners, settings: { pushy: [{ app: app.id, sockjs: { prefix: SOCKJS } }], wspush } });
  server.at = Object.fromEntries(names.map((name, at) => [name, { host: HOST, port: Number(listeners[at].address.split(':')[1]) }]));
  server.at.news = server;
  server.statistics = `http://${statistics}`;
  server.metric = async (name) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(await (await fetch(`http://${metrics}/metrics`)).text())?.[1]);
  for (const name of Object.keys(relays)) await eventually(() => publishes.publish(`${name}.`, ''), (receivers) => receivers === 1);
  return server;
}

const server = await start({ after });
const api = server.api();
const { app } = server;

async function openPusher(t) {
  const raw = await RawSocket.open(server, server.path());
  cleanup(t, () => raw.end());
  return raw;
}

async function openStream(t, ...channels) {
  const events = await Stream.open(server, streamPath(app, channels, { expires: soon() }));
  cleanup(t, () => events.end());
  await events.named('tidings:subscribed');
  return events;
}

/** A subscriber of each dialect on one channel, and the clients of `token` at a relay. */
async function everybody(t, channel, token = channel, relay = server.at.news) {
  const [pusher, pushy] = [await openPusher(t), await openPushy(t, server)];
  await pusher.subscribe(channel);
  await pushy.subscribe(channel);
  return { pusher, pushy, sse: await openStream(t, channel), frames: await websocket(t, relay, token), events: await stream(t, relay, token) };
}

// What is published, and what Pushy's subscribers are told.
const DATA = [
  ['{"text":"hi","n":1}', '{"text":"hi","n":1}'],
  ['plain text', '"plain text"'],
  ['[1,\n 2]', '[1,\n 2]'],
  ['two\nlines é 😀', '"two\\nlines é 😀"'],
  ['', '""'],
];
const asBlock = (text) => (text === '' ? null : `${text.split('\n').map((line) => `data:${line.replace(/^ /, '  ')}\n`).join('')}\n`);

test('design 8: what Redis brings reaches every dialect, as the event `message` with the payload as its data', async (t) => {
  const { pusher, pushy, sse, frames, events } = await everybody(t, 'news');
  const client = await connected(t, server);
  const channel = await subscribe(client, 'news');
  for (const [text, value] of DATA) {
    assert.equal(await publisher.publish('news.news', text), 1);
    assert.deepEqual((await pusher.message('message')), { event: 'message', channel: 'news', data: text });
    const { data } = await channel.inbox.next(({ name }) => name === 'message');
    assert.deepEqual(data, text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : text);
    assert.equal(await pushy.text(), `{"event":"message","channel":"news","data":${value}}`);
    const { type, data: told } = await sse.event();
    assert.deepEqual([type, told], ['message', text]);
    assert.equal(await frames.text(), text);
    if (text !== '') assert.equal(await events.block(), asBlock(text));
  }
});

test('design 8: what others publish reaches the clients of a relay as bare data', async (t) => {
  const { pusher, pushy, sse, frames, events } = await everybody(t, 'news');
  const bare = async (text) => {
    assert.equal(await frames.text(), text);
    if (text !== '') assert.equal(await events.block(), asBlock(text));
  };
  for (const [text] of DATA) {
    assert.equal((await request(server, 'POST', `/apps/${app.id}/events`, { body: { name: 'api', channel: 'news', data: text } })).status, 200);
    await bare(text);
  }
  await api.trigger('news', 'object', { a: 1 });
  await bare('{"a":1}');
  await trigger(server, 'news', 'pushy', { b: [2] });
  await bare('{"b":[2]}');
  await api.triggerBatch([{ channel: 'news', name: 'one', data: '1' }, { channel: 'news', name: 'two', data: '2' }]);
  for (const text of ['1', '2']) await bare(text);
  for (const one of [pusher, pushy]) await one.message('two');
  assert.equal((await sse.named('two')).data, '2');
});

test('design 8 W-6.1: who is on a channel only to read hears no word of who comes and goes', async (t) => {
  const { frames, events, pusher } = await everybody(t, 'quiet');
  const other = await openPusher(t);
  await other.subscribe('quiet');
  other.send({ event: 'pusher:unsubscribe', data: { channel: 'quiet' } });
  await other.settled();
  await publisher.publish('news.quiet', 'first');
  assert.equal(await frames.text(), 'first');
  assert.equal(await events.block(), 'data:first\n\n');
  await pusher.message('message');
});

test('design 8: a signed token is the private channel of its payload', async (t) => {
  const [token, channel] = [signed('room-1'), 'private-room-1'];
  const { pusher, pushy, sse, frames, events } = await everybody(t, channel, token, server.at.keyed);
  await publisher.publish(`keyed.${token}`, 'from Redis');
  assert.equal((await pusher.message('message')).data, 'from Redis');
  assert.equal((await pushy.message('message')).data, 'from Redis');
  assert.equal((await sse.named('message')).data, 'from Redis');
  assert.equal(await frames.text(), 'from Redis');
  assert.equal(await events.block(), 'data:from Redis\n\n');
  await api.trigger(channel, 'api', 'from the API');
  assert.equal(await frames.text(), 'from the API');
  assert.equal(await events.block(), 'data:from the API\n\n');
  pusher.send({ event: 'client-said', channel, data: { from: 'a client' } });
  assert.equal(await frames.text(), '{"from":"a client"}');
  assert.equal(await events.block(), 'data:{"from":"a client"}\n\n');
});

test('design 8: in Redis, what is no signed token of the relay reaches nobody', async (t) => {
  const token = signed('room-2');
  const { pusher, frames } = await everybody(t, 'private-room-2', token, server.at.keyed);
  const open = await openPusher(t);
  for (const channel of ['room-2', 'private-room-2', 'open']) await open.subscribe(channel);
  for (const wrong of ['room-2', 'private-room-2', 'open', signed('room-2', { key: 'other' }), `${token}=`, token.toLowerCase()]) assert.equal(await publisher.publish(`keyed.${wrong}`, 'to nobody'), 1);
  await publisher.publish(`keyed.${token}`, 'to all');
  assert.equal(await frames.text(), 'to all');
  for (const one of [pusher, open]) assert.equal((await one.message('message')).data, 'to all');
});

// What needs proof in one dialect needs it in all: an unsigned token proves nothing.
for (const token of ['private-x', 'presence-x', 'private-cache-x', 'private-encrypted-x', 'personal-u', 'peer-room:a&b', '#server-to-user-u', 'control\u0007', 'line\nfeed', Buffer.from([0xff, 0xfe])]) {
  test(`design 8: the unsigned token ${JSON.stringify(String(token))} is a name space of its relay's own`, async (t) => {
    const [frames, other] = [await websocket(t, server.at.news, token), await websocket(t, server.at.again, token)];
    const key = Buffer.concat([Buffer.from('news.'), Buffer.from(token)]);
    const pusher = await openPusher(t);
    const named = /^(private|presence)-/.test(token) && !String(token).includes('encrypted');
    if (named) {
      await pusher.subscribe(token, token.startsWith('presence') ? '{"user_id":"1"}' : undefined);
      await api.trigger(token, 'api', 'not for tokens');
      await pusher.message('api');
    }
    await publisher.publish(key, 'for tokens');
    await publisher.publish(Buffer.concat([Buffer.from('again.'), Buffer.from(token)]), 'for tokens there');
    assert.equal(await frames.text(), 'for tokens');
    assert.equal(await other.text(), 'for tokens there');
    if (named) {
      await api.trigger(token, 'last', '');
      await pusher.message('last');
      assert.ok(!pusher.messages().some(({ event }) => event === 'message'));
    }
    const { channels } = await (await api.get({ path: '/channels' })).json();
    assert.deepEqual(Object.keys(channels).filter((name) => name.includes('#')), []);
  });
}

test('design 8: two relays of an app share its channels, one that is apart shares nothing', async (t) => {
  const [news, again, apart] = await Promise.all(['news', 'again', 'apart'].map((name) => websocket(t, server.at[name], 'shared')));
  const keyed = await websocket(t, server.at['apart-keyed'], signed('shared'));
  const [pusher, sse] = [await openPusher(t), await openStream(t, 'shared', 'private-shared')];
  for (const channel of ['shared', 'private-shared']) await pusher.subscribe(channel);
  await publisher.publish('apart.shared', 'apart');
  assert.equal(await apart.text(), 'apart');
  await publisher.publish(`apart-keyed.${signed('shared')}`, 'apart and signed');
  assert.equal(await keyed.text(), 'apart and signed');
  for (const channel of ['shared', 'private-shared']) await api.trigger(channel, 'api', channel);
  await publisher.publish('again.shared', 'of both');
  for (const one of [news, again]) {
    assert.equal(await one.text(), 'shared');
    assert.equal(await one.text(), 'of both');
  }
  await publisher.publish('apart.shared', 'apart again');
  assert.equal(await apart.text(), 'apart again');
  assert.deepEqual([(await sse.event()).data, (await sse.event()).data, (await sse.event()).data], ['shared', 'private-shared', 'of both']);
  assert.equal((await pusher.message('message')).data, 'of both');
});

test('design 8 W-6.3 W-6.10: what is not UTF-8 reaches clients of relays alone, and is counted', async (t) => {
  const { pusher, pushy, sse, frames, events } = await everybody(t, 'binary');
  const data = Buffer.from([0xff, 0x00, 0xfe]);
  const before = await server.metric('tidings_unspeakable_events_total');
  await publisher.publish('news.binary', data);
  await publisher.publish('news.binary', 'text');
  const frame = await frames.frame();
  assert.deepEqual([frame.opcode, frame.payload], [2, data]);
  assert.equal(await frames.text(), 'text');
  assert.equal(await events.block(), 'data:text\n\n');
  assert.equal((await sse.event()).data, 'text');
  assert.equal((await pushy.message()).data, 'text');
  assert.equal((await pusher.message('message')).data, 'text');
  assert.ok(await server.metric('tidings_unspeakable_events_total') >= before + 3);
  const { wspush } = await (await fetch(`${server.statistics}/debug/vars`)).json();
  assert.equal(wspush.invalid_utf8, 1);
});

test('design 3.2 design 4: what Redis brings is a server\'s: cache channels keep it, and streams resume to it', async (t) => {
  const sse = await openStream(t, 'cache-news');
  await publisher.publish('news.cache-news', 'one');
  const { id } = await sse.event();
  sse.end();
  // What is published on another channel after them comes after them: then they have been taken.
  const marks = await websocket(t, server, 'marks');
  for (const text of ['two', 'three']) await publisher.publish('news.cache-news', text);
  await publisher.publish('news.marks', 'both');
  assert.equal(await marks.text(), 'both');
  const frames = await websocket(t, server, 'cache-news');
  await publisher.publish('news.cache-news', 'four');
  assert.equal(await frames.text(), 'four');
  const pusher = await openPusher(t);
  await pusher.subscribe('cache-news');
  assert.equal((await pusher.message('message')).data, 'four');
  const back = await Stream.open(server, streamPath(app, ['cache-news']), { headers: { 'Last-Event-ID': id } });
  cleanup(t, () => back.end());
  assert.equal(JSON.parse((await back.named('tidings:subscribed')).data).resumed, true);
  for (const text of ['two', 'three', 'four']) assert.equal((await back.event()).data, text);
});

test('design 8: a token makes its channel occupied', async (t) => {
  await websocket(t, server, 'occupied');
  const { channels } = await (await api.get({ path: '/channels', params: { filter_by_prefix: 'occup' } })).json();
  assert.deepEqual(channels, { occupied: {} });
});

test('design 7: on one address each dialect has its own requests', async (t) => {
  const status = async (path, options) => (await fetch(server.url + path, options)).status;
  assert.equal(await status('/ping'), 200);
  assert.equal(await status('/ready'), 200);
  assert.equal(await status('/health'), 200);
  assert.equal(await status(`/apps/${app.id}/channels`), 401);
  assert.equal(await status('/any/sse'), 400);
  assert.equal(await status('/?token=news'), 400);
  assert.equal(await status('/', { method: 'POST' }), 405);
  assert.equal(await status('/sse'), 400);
  (await websocket(t, server, 'x', { path: '/any' })).end();
  (await stream(t, server, 'x', { path: '/any/sse' })).end();
});

test('W-2.5 design 3.2: when Redis cuts the relay, streams are told of the gap, and of what follows', async (t) => {
  const own = await startRedis(t);
  const publishes = await own.client(t);
  const gone = await start(t, { relays: { news: { redis: own.url } }, publishes });
  const events = await Stream.open(gone, streamPath(gone.app, ['news', 'other']));
  cleanup(t, () => events.end());
  await events.named('tidings:subscribed');
  await publishes.publish('news.news', 'before');
  assert.equal((await events.event()).data, 'before');
  const early = events.lastId;
  assert.ok((await publishes.command('CLIENT', 'KILL', 'TYPE', 'pubsub')) >= 1);
  await eventually(() => publishes.publish('news.', ''), (receivers) => receivers === 1);
  await publishes.publish('news.news', 'after');
  // Anything could have come to either channel.
  const gaps = [await events.event(), await events.event()];
  assert.deepEqual(gaps.map(({ type, data }) => [type, JSON.parse(data).channel]).sort(), [['tidings:gap', 'news'], ['tidings:gap', 'other']]);
  assert.equal((await events.event()).data, 'after');
  const back = await Stream.open(gone, streamPath(gone.app, ['news', 'other']), { headers: { 'Last-Event-ID': early } });
  cleanup(t, () => back.end());
  assert.equal(JSON.parse((await back.named('tidings:subscribed')).data).resumed, false);
  assert.equal((await back.event()).type, 'tidings:gap');
});

/**
 * Publishes `count` numbered messages of `size` bytes to `channel`, as many at once as a script of Redis holds, and resolves when the reader of
 * `events` has the last. It must be told of a gap wherever a number is missing. Resolves with how often that was.
 */
async function race(events, publishes, channel, { count, size, script }) {
  let [last, gaps, told] = [-1, 0, false];
  const done = (async () => {
    while (last < count) {
      const { type, data } = await events.inbox.next();
      if (type === 'tidings:gap') told = true;
      if (type !== 'message') continue;
      const number = parseInt(data, 10);
      assert.ok(number > last, `${number} after ${last}`);
      if (number !== last + 1) {
        assert.ok(told, `${number} after ${last}, and no word of a gap`);
        gaps += 1;
      }
      [last, told] = [number, false];
    }
  })();
  for (let at = 0; at < count; at += script) {
    const lua = `for at = ${at}, ${at + script - 1} do redis.call('PUBLISH', KEYS[1], at .. ARGV[1]) end`;
    await Promise.race([done, publishes.command('EVAL', lua, 1, channel, ':'.padEnd(size, 'x'))]);
  }
  // The last one comes when all others have, and the subscription stands.
  await eventually(() => publishes.publish('news.', ''), (receivers) => receivers === 1);
  await publishes.publish(channel, `${count}:`);
  await done;
  return gaps;
}

for (const [what, limit, sizes, expected] of [
  ['as fast as Redis can, and Redis waits', '0', { count: 100_000, size: 100, script: 1000 }, undefined],
  ['more at once than Redis keeps for who listens', '1mb', { count: 20_000, size: 500, script: 10_000 }, 2],
]) {
  test(`design 3.2 W-7.2: ${what}: nobody is told wrong`, async (t) => {
    const own = await startRedis(t, { 'client-output-buffer-limit': ['pubsub', limit, limit, '60'] });
    const publishes = await own.client(t);
    const fast = await start(t, { relays: { news: { redis: own.url } }, publishes });
    const events = source(t, fast.url + streamPath(fast.app, ['speed']), ['message', 'tidings:subscribed', 'tidings:gap']);
    await events.inbox.next();
    const frames = await websocket(t, fast, 'speed');
    // A client of the relay has its messages in order, and if it cannot keep up it is closed.
    const direct = (async () => {
      for (let last = -1; last < sizes.count;) {
        const { opcode, payload } = await frames.frame();
        if (opcode === 8) return assert.equal(payload.readUInt16BE(0), 1008);
        assert.ok(parseInt(payload, 10) > last);
        last = parseInt(payload, 10);
      }
      return undefined;
    })();
    const [gaps] = await Promise.all([race(events, publishes, 'news.speed', sizes), direct]);
    const { wspush } = await (await fetch(`${fast.statistics}/debug/vars`)).json();
    if (expected !== undefined) assert.deepEqual([wspush.redis_reconnects >= 1, gaps >= 1, gaps <= expected], [true, true, true]);
    else assert.equal(wspush.redis_reconnects, 0);
  });
}

/** An authority, `ca.pem`, and what it vouches for, `cert.pem` with `key.pem`; gives the path of a file. */
function certificates(t) {
  const folder = mkdtempSync(join(tmpdir(), 'tidings-wspush-'));
  cleanup(t, () => rmSync(folder, { recursive: true, force: true }));
  const at = (name) => join(folder, name);
  const openssl = (...parts) => execFileSync('openssl', parts, { cwd: folder, stdio: 'ignore' });
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...curve, '-days', '2', '-subj', '/CN=authority', '-keyout', 'ca.key', '-out', 'ca.pem');
  openssl('req', ...curve, '-subj', '/CN=redis', '-keyout', 'key.pem', '-out', 'request.pem');
  writeFileSync(at('extensions'), `subjectAltName=IP:${HOST}\n`);
  openssl('x509', '-req', '-in', 'request.pem', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'extensions', '-out', 'cert.pem');
  return at;
}

test('design 7: relays over TLS, by HTTP/2 and by wss', async (t) => {
  const at = certificates(t);
  const [app2, port] = [newApp(), await freePort()];
  const one = await startServer(t, {
    app: app2,
    listeners: [{ address: `${HOST}:${port}`, dialects: ['wspush'], tls: { certificate: at('cert.pem'), key: at('key.pem') } }],
    settings: { wspush: [{ app: app2.id, redis: redis.url, prefix: 'secure.', connections_per_token: 3, ping_interval: '1 s' }] },
  });
  await eventually(() => publisher.publish('secure.', ''), (receivers) => receivers === 1);
  const session = http2(`https://${HOST}:${port}`, { rejectUnauthorized: false });
  cleanup(t, () => session.destroy());
  const asked = async (headers) => {
    const request = session.request(headers);
    request.on('error', () => {});
    request.head = await within(new Promise((resolve) => request.once('response', resolve)), 'a head');
    return request;
  };
  const body = async (request) => {
    let text = '';
    for await (const part of request.setEncoding('utf8')) text += part;
    return text;
  };
  for (const [headers, status, text] of [[{ ':path': '/ping' }, 200, ''], [{ ':path': '/' }, 400, 'Bad Request\n'], [{ ':path': '/ping', ':method': 'DELETE' }, 405, 'Method Not Allowed\n'], [{ ':path': '/?token=a' }, 400, 'not websocket protocol']]) {
    const request = await asked(headers);
    assert.deepEqual([request.head[':status'], await body(request)], [status, text]);
  }
  const streams = [await asked({ ':path': '/sse?token=Foo' }), await asked({ ':path': '/?token=Foo', accept: 'text/event-stream' })];
  const socket = new WebSocket(`wss://${HOST}:${port}/?token=Foo`, { rejectUnauthorized: false });
  cleanup(t, () => socket.terminate());
  const inboxes = [new Inbox('messages'), ...streams.map(() => new Inbox('blocks'))];
  socket.on('message', (data) => inboxes[0].push(String(data)));
  await within(new Promise((resolve, refuse) => socket.once('open', resolve).once('error', refuse)), 'a WebSocket');
  for (const [place, request] of streams.entries()) {
    assert.equal(request.head['content-type'], 'text/event-stream');
    let rest = '';
    request.setEncoding('utf8').on('data', (part) => {
      const blocks = (rest + part).split('\n\n');
      rest = blocks.pop();
      for (const block of blocks) inboxes[place + 1].push(block);
    });
  }
  assert.equal((await asked({ ':path': '/sse?token=Foo' })).head[':status'], 429);
  for (const text of ['one', 'two\nlines', 'x'.repeat(300_000)]) {
    await publisher.publish('secure.Foo', text);
    assert.equal(await inboxes[0].next(), text);
    for (const inbox of inboxes.slice(1)) assert.equal(await inbox.next((block) => block !== 'ping:'), text.split('\n').map((line) => `data:${line}`).join('\n'));
  }
  await inboxes[1].next((block) => block === 'ping:');
  // A place is free as soon as its stream is closed (W-4.4).
  streams[0].close();
  await eventually(async () => {
    const request = await asked({ ':path': '/sse?token=Foo' });
    return request.head[':status'];
  }, (code) => code === 200);
});

test('W-2.8: a Redis with TLS and a login, whose certificate a file vouches for', async (t) => {
  const at = certificates(t);
  const port = await freePort();
  const secure = await startRedis(t, { 'tls-port': port, 'tls-cert-file': at('cert.pem'), 'tls-key-file': at('key.pem'), 'tls-auth-clients': 'no', requirepass: 'pass' });
  const publishes = await secure.client(t);
  await publishes.command('AUTH', 'pass');
  for (const protocol of ['resp2', 'resp3']) {
    const own = newApp();
    const one = await startServer(t, {
      app: own,
      listener: { dialects: ['wspush'] },
      settings: { wspush: [{ app: own.id, redis: `rediss://:pass@${HOST}:${port}`, redis_ca_file: at('ca.pem'), redis_protocol: protocol, prefix: 'tls.' }] },
    });
    await eventually(() => publishes.publish('tls.', ''), (receivers) => receivers === 1);
    const [frames, events] = [await websocket(t, one, 'Foo'), await stream(t, one, 'Foo')];
    for (const data of [protocol, 'x'.repeat(500_000)]) {
      await publishes.publish('tls.Foo', data);
      assert.equal(await frames.text(), data);
      assert.equal(await events.block(), `data:${data}\n\n`);
    }
    frames.end();
    await one.stop();
  }
});
