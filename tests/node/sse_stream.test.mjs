// What a stream says, to the byte: its head, its first block, events of every kind, heartbeats, its end; over each version of HTTP (design section 7).
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as http2 } from 'node:http2';
import { get as httpsGet } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { cleanup } from './support/cleanup.mjs';
import { RawSocket } from './support/raw_socket.mjs';
import { HOST, freePort, newApp, startServer } from './support/server.mjs';
import { request } from './support/sign.mjs';
import { Stream, read, soon, streamPath } from './support/sse.mjs';
import { Inbox, within } from './support/wait.mjs';
import { eventually } from './support/wspush.mjs';

const folder = mkdtempSync(join(tmpdir(), 'tidings-sse-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const [certificate, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost',
  '-addext', `subjectAltName=IP:${HOST}`, '-keyout', key, '-out', certificate], { stdio: 'ignore' });

const [secure, metrics] = [await freePort(), await freePort()];
const server = await startServer({ after }, {
  app: newApp({ client_events: true, recent: [{ channels: 'news-*', events: 1000, bytes: '1 MiB', window: '10 min' }] }),
  listener: { dialects: ['pusher', 'sse'] },
  listeners: [{ address: `${HOST}:${secure}`, dialects: ['pusher', 'sse'], tls: { certificate, key } }, { address: `${HOST}:${metrics}`, dialects: ['metrics'] }],
});
const { app } = server;
const api = server.api();
const gauge = async (name) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(await (await fetch(`http://${HOST}:${metrics}/metrics`)).text())?.[1]);

async function open(t, channels, { server: to = server, path = streamPath(app, channels, { expires: soon() }), ...options } = {}) {
  const events = await Stream.open(to, path, options);
  cleanup(t, () => events.end());
  events.begin = await events.block();
  return events;
}

/** Publishes data as it is. */
async function publish(channel, name, data) {
  const { status, text } = await request(server, 'POST', `/apps/${app.id}/events`, { body: { name, channel, data } });
  assert.equal(status, 200, text);
}

describe('the answer', () => {
  test('its head', async (t) => {
    const { head } = await open(t, ['news']);
    const { date, ...headers } = head.headers;
    assert.equal(head.line, 'HTTP/1.1 200 OK');
    assert.deepEqual(headers, { vary: 'Origin', connection: 'close', 'content-type': 'text/event-stream', 'cache-control': 'no-cache', 'x-accel-buffering': 'no', 'access-control-allow-origin': '*', 'transfer-encoding': 'chunked' });
  });

  test('its first block says how long to wait, what is read, and where the reader is', async (t) => {
    const { begin } = await open(t, ['news', 'private-"x"']);
    assert.match(begin, /^retry: 3000\nevent: tidings:subscribed\nid: [0-9a-f]+-[0-9a-f.]+\ndata: \{"channels":\["news","private-\\"x\\""\]\}\n\n$/);
  });

  test('over HTTP/1.0 it goes on until the connection ends', async (t) => {
    const events = await open(t, ['news'], { version: '1.0' });
    assert.equal(events.head.headers['transfer-encoding'], undefined);
    assert.equal(events.head.headers['content-length'], undefined);
    await publish('news', 'one', 'x');
    assert.equal((await events.event()).data, 'x');
  });

  test('it is not compressed, and nothing of the request goes into it', async (t) => {
    const events = await open(t, ['news'], { headers: { 'Accept-Encoding': 'gzip, br', Accept: '*/*', 'X-Y': 'z' } });
    assert.equal(events.head.headers['content-encoding'], undefined);
  });
});

describe('events', () => {
  const DATA = ['', 'hello', ' leading', '  two', 'trail\n', '\n', '\n\n', 'a\nb', 'a\r\nb', 'a\rb', 'x\rid: 1\revent: y\rdata: z', ': comment', 'data: x', 'retry: 1', 'é ü ß € 😀 \u2028\u2029', '\ufeffmark', 'nul\0\u0001', '{"json":[1,2.50,"x\\n"]}', 'x'.repeat(10_000)];

  test('a block has the event\'s name, an id, and its data line by line', async (t) => {
    const events = await open(t, ['news']);
    const ids = new Set([read(events.begin).id]);
    for (const data of DATA) {
      await publish('news', 'greet', data);
      const block = await events.block();
      const lines = data.split(/\r\n|\r|\n/);
      assert.match(block, /^event: greet\nid: [0-9a-f]+-[0-9a-f]+\ndata: /);
      assert.equal(block.slice(block.indexOf('data: ')), `${lines.map((line) => `data: ${line}\n`).join('')}\n`);
      assert.equal(read(block).data, lines.join('\n'));
      ids.add(read(block).id);
    }
    assert.equal(ids.size, DATA.length + 1, 'each event moves the reader on');
  });

  test('names of every kind, and those that no block can hold', async (t) => {
    const events = await open(t, ['news']);
    for (const name of ['a', 'my event', 'client-x', 'é😀', ':', 'event: x', 'message', 'x'.repeat(200)]) {
      await publish('news', name, name);
      assert.deepEqual({ ...(await events.event()), id: '' }, { type: name, data: name, id: '' });
    }
    const before = await gauge('tidings_unspeakable_events_total');
    const unsaid = ['two\nlines', 'a\rid: 1', 'nul\0'];
    let sent = 0;
    for (const name of unsaid) {
      const { status } = await request(server, 'POST', `/apps/${app.id}/events`, { body: { name, channel: 'news', data: 'unsaid' } });
      if (status === 200) sent += 1;
      else assert.equal(status, 400);
    }
    await publish('news', 'next', 'said');
    assert.equal((await events.event()).type, 'next');
    assert.equal(await gauge('tidings_unspeakable_events_total') - before, sent);
  });

  test('several channels come in one order each, with an id for all', async (t) => {
    const channels = ['one', 'two', 'three'];
    const events = await open(t, channels);
    const count = 300;
    for (let at = 0; at < count; at += 10) {
      await api.triggerBatch(Array.from({ length: 10 }, (_, more) => ({ channel: channels[(at + more) % 3], name: channels[(at + more) % 3], data: String(at + more) })));
    }
    for (let at = 0; at < count; at += 1) {
      const { type, data, id } = await events.event();
      assert.deepEqual([type, data], [channels[at % 3], String(at)]);
      assert.match(id, /^[0-9a-f]+-[0-9a-f]+\.[0-9a-f]+\.[0-9a-f]+$/);
    }
  });

  test('what clients of Pusher publish is there too; of who comes and goes not a word', async (t) => {
    const [events, presence] = [await open(t, ['private-talk']), await open(t, ['presence-room', 'public'])];
    const pusher = await RawSocket.open(server, server.path());
    cleanup(t, () => pusher.end());
    await pusher.subscribe('private-talk');
    const joined = await pusher.subscribe('presence-room', '{"user_id":"u1"}');
    // A stream is no member.
    assert.deepEqual(JSON.parse(joined.data).presence.ids, ['u1']);
    await pusher.subscribe('public');
    pusher.send({ event: 'client-said', channel: 'private-talk', data: { a: [1] } });
    assert.deepEqual({ ...(await events.event()), id: '' }, { type: 'client-said', data: '{"a":[1]}', id: '' });
    pusher.send({ event: 'pusher:unsubscribe', data: { channel: 'presence-room' } });
    await pusher.settled();
    await publish('presence-room', 'first', '');
    assert.equal((await presence.event()).type, 'first');
    const { users } = await (await api.get({ path: '/channels/presence-room/users' })).json();
    assert.deepEqual(users, []);
    const { channels } = await (await api.get({ path: '/channels', params: { filter_by_prefix: 'presence-room', info: 'user_count' } })).json();
    assert.deepEqual(channels, { 'presence-room': { user_count: 0 } });
  });

  test('whoever publishes over a socket of its own is left out, as everywhere; streams are not', async (t) => {
    const events = await open(t, ['news']);
    const pusher = await RawSocket.open(server, server.path());
    cleanup(t, () => pusher.end());
    await pusher.subscribe('news');
    await api.trigger('news', 'left-out', '1', { socket_id: pusher.socketId });
    assert.equal((await events.event()).type, 'left-out');
    await api.trigger('news', 'for-all', '2');
    assert.equal((await events.event()).type, 'for-all');
    await pusher.message('for-all');
    assert.ok(!pusher.messages().some(({ event }) => event === 'left-out'));
  });
});

describe('settings', () => {
  test('[sse] retry and heartbeat', async (t) => {
    const own = await startServer(t, { listener: { dialects: ['pusher', 'sse'] }, settings: { sse: { retry: '50 ms', heartbeat: '1 s' } } });
    for (const version of ['1.1', '1.0']) {
      const events = await open(t, [], { server: own, path: streamPath(own.app, ['news']), version });
      assert.match(events.begin, /^retry: 50\n/);
      for (let at = 0; at < 2; at += 1) assert.equal(await events.block(), ':\n\n');
      await own.api().trigger('news', 'between', 'x');
      assert.equal((await events.event()).data, 'x');
      assert.equal(await events.block(), ':\n\n');
    }
  });

  test('an app that is not read so, a listener that does not speak it, a prefix', async (t) => {
    const port = await freePort();
    const own = await startServer(t, { listener: { dialects: ['pusher', 'sse'], path_prefix: '/realtime' }, listeners: [{ address: `${HOST}:${port}`, dialects: ['pusher'] }] });
    const path = streamPath(own.app, ['a']);
    await open(t, [], { server: own, path: `/realtime${path}` });
    assert.equal((await Stream.ask({ host: HOST, port }, path)).head.status, 404);
  });
});

describe('TLS', () => {
  /** A session of HTTP/2. */
  async function session(t) {
    const one = http2(`https://${HOST}:${secure}`, { rejectUnauthorized: false });
    cleanup(t, () => one.destroy());
    await within(new Promise((resolve, refuse) => one.once('connect', resolve).once('error', refuse)), 'a session of HTTP/2');
    assert.equal(one.alpnProtocol, 'h2');
    return one;
  }

  /** A stream in it; `events` takes what comes. */
  async function multiplexed(one, path, headers = {}) {
    const stream = one.request({ ':path': path, ...headers });
    stream.on('error', () => {});
    stream.inbox = new Inbox('events over HTTP/2');
    let rest = '';
    stream.setEncoding('utf8').on('data', (text) => {
      const blocks = (rest + text).split('\n\n');
      rest = blocks.pop();
      for (const block of blocks) stream.inbox.push(read(block));
    });
    stream.over = new Promise((resolve) => stream.on('close', resolve));
    stream.head = await within(new Promise((resolve) => stream.once('response', resolve)), 'a head');
    return stream;
  }

  test('design 7: HTTP/2, many streams in one session', async (t) => {
    const one = await session(t);
    const streams = [];
    for (let at = 0; at < 50; at += 1) streams.push(await multiplexed(one, streamPath(app, ['h2', `h2-${at}`, `private-${at}`], { expires: soon() })));
    for (const stream of streams) {
      assert.equal(stream.head[':status'], 200);
      assert.equal(stream.head['content-type'], 'text/event-stream');
      assert.equal(stream.head['access-control-allow-origin'], '*');
      for (const name of ['connection', 'transfer-encoding']) assert.equal(stream.head[name], undefined);
      assert.equal((await stream.inbox.next()).event, 'tidings:subscribed');
    }
    for (let at = 0; at < 20; at += 1) await publish('h2', 'all', String(at));
    await publish('h2-7', 'own', 'of the eighth');
    for (const stream of streams) for (let at = 0; at < 20; at += 1) assert.equal((await stream.inbox.next()).data, String(at));
    assert.equal((await streams[7].inbox.next()).data, 'of the eighth');
    // One that is left costs the others nothing, and is no subscriber any more.
    const before = await gauge('tidings_subscriptions');
    streams[7].close();
    await eventually(() => gauge('tidings_subscriptions'), (count) => count === before - 3);
    await publish('h2', 'all', 'last');
    for (const [at, stream] of streams.entries()) if (at !== 7) assert.equal((await stream.inbox.next()).data, 'last');
  });

  test('design 7: over HTTP/2 it resumes, and is refused, as it is otherwise', async (t) => {
    const one = await session(t);
    const path = streamPath(app, ['news-h2']);
    const first = await multiplexed(one, path);
    const { id } = await first.inbox.next();
    first.close();
    await within(first.over, 'the end of a stream');
    for (let at = 0; at < 5; at += 1) await publish('news-h2', 'missed', String(at));
    const back = await multiplexed(one, path, { 'last-event-id': id });
    assert.deepEqual(JSON.parse((await back.inbox.next()).data), { channels: ['news-h2'], resumed: true });
    for (let at = 0; at < 5; at += 1) assert.equal((await back.inbox.next()).data, String(at));
    for (const [bad, status] of [[streamPath(app, ['private-x']), 401], [streamPath(app, []), 400], ['/apps/0/sse?key=x&channel=a', 404]]) assert.equal((await multiplexed(one, bad)).head[':status'], status);
  });

  test('over HTTP/1.1 inside TLS', async (t) => {
    const response = await within(new Promise((resolve, refuse) => {
      const asked = httpsGet({ host: HOST, port: secure, path: streamPath(app, ['tls']), rejectUnauthorized: false, agent: false }, resolve);
      asked.on('error', refuse);
      cleanup(t, () => asked.destroy());
    }), 'an answer');
    assert.deepEqual([response.statusCode, response.headers['content-type']], [200, 'text/event-stream']);
    response.on('error', () => {});
    const blocks = new Inbox('blocks');
    response.setEncoding('utf8').on('data', (text) => text.split('\n\n').slice(0, -1).forEach((block) => blocks.push(read(block))));
    assert.equal((await blocks.next()).event, 'tidings:subscribed');
    await publish('tls', 'secret', 'x');
    assert.equal((await blocks.next()).data, 'x');
  });
});

test('design 10: a stop ends streams as they should be, over every version', async (t) => {
  const port = await freePort();
  const own = await startServer(t, {
    listener: { dialects: ['pusher', 'sse'] },
    listeners: [{ address: `${HOST}:${port}`, dialects: ['sse'], tls: { certificate, key } }],
    settings: { drain: { drain: '1 s' } },
  });
  const path = streamPath(own.app, ['news']);
  const all = [];
  for (let at = 0; at < 20; at += 1) all.push(await open(t, [], { server: own, path, version: at % 5 ? '1.1' : '1.0' }));
  const one = http2(`https://${HOST}:${port}`, { rejectUnauthorized: false });
  cleanup(t, () => one.destroy());
  const stream = one.request({ ':path': path });
  await within(new Promise((resolve) => stream.once('response', resolve)), 'a head');
  stream.resume();
  const ended = new Promise((resolve) => stream.once('end', () => resolve(stream.rstCode)));
  own.signal('SIGTERM');
  for (const events of all) await events.over();
  assert.equal(await within(ended, 'the end of a stream'), 0);
  assert.deepEqual(await own.exited, { code: 0, signal: null });
});
