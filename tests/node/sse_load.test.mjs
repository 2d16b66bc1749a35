// Many streams, streams that nobody reads, and requests that are none: what they cost ends with them.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as http2 } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { cleanup } from './support/cleanup.mjs';
import { HOST, freePort, newApp, startServer } from './support/server.mjs';
import { Stream, read, streamPath } from './support/sse.mjs';
import { Inbox, within } from './support/wait.mjs';
import { eventually } from './support/wspush.mjs';
import { Wire } from './support/wire.mjs';

const folder = mkdtempSync(join(tmpdir(), 'tidings-sse-load-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const [certificate, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost',
  '-addext', `subjectAltName=IP:${HOST}`, '-keyout', key, '-out', certificate], { stdio: 'ignore' });
const [metrics, secure] = [await freePort(), await freePort()];
const server = await startServer({ after }, {
  app: newApp({ limits: { event_bytes: '64 KiB' }, recent: [{ channels: 'slow-*', events: 2000, bytes: '64 MiB', window: '10 min' }] }),
  listener: { dialects: ['pusher', 'sse'] },
  listeners: [{ address: `${HOST}:${metrics}`, dialects: ['metrics'] }, { address: `${HOST}:${secure}`, dialects: ['sse'], tls: { certificate, key } }],
  settings: { recent: { window: '1 s' }, sse: { heartbeat: '1 s' } },
});
const { app } = server;
const api = server.api();

/** The gauges that are to be what they were before. */
async function gauges(...names) {
  const text = await (await fetch(`http://${HOST}:${metrics}/metrics`)).text();
  return names.map((name) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)[1]));
}

const idle = () => gauges('tidings_subscriptions', 'tidings_channels', 'tidings_events');
const isIdle = (counts) => counts.every((count) => count === 0);

describe('a thousand streams', () => {
  for (const [kind, leave] of [['close', (one) => one.wire.socket.end()], ['break off', (one) => one.wire.socket.resetAndDestroy()]]) {
    test(`they open, all are told, and ${kind}`, async (t) => {
      const count = 1000;
      const [before] = await gauges('tidings_connections');
      const streams = [];
      for (let at = 0; at < count; at += 50) streams.push(...(await Promise.all(Array.from({ length: 50 }, (_, more) => Stream.open(server, streamPath(app, ['all', `own-${at + more}`]))))));
      cleanup(t, () => streams.forEach((one) => one.end()));
      for (const one of streams) await one.named('tidings:subscribed');
      const [subscriptions] = await gauges('tidings_subscriptions');
      assert.equal(subscriptions, 2 * count);
      for (let at = 0; at < 10; at += 1) await api.trigger('all', 'event', String(at));
      await api.trigger('own-500', 'own', 'x');
      for (const one of streams) for (let at = 0; at < 10; at += 1) assert.equal((await one.event()).data, String(at));
      assert.equal((await streams[500].event()).type, 'own');
      for (const one of streams) leave(one);
      await eventually(idle, isIdle);
      await eventually(() => gauges('tidings_connections'), ([open]) => open <= before + 1);
    });
  }

  test('ten thousand that come and go', async () => {
    const [count, lanes] = [10_000, 20];
    const lane = async (first) => {
      for (let at = first; at < count; at += lanes) {
        const one = await Stream.open(server, streamPath(app, [`come-${at}`, 'go']));
        one.wire.socket.resetAndDestroy();
      }
    };
    await Promise.all(Array.from({ length: lanes }, (_, first) => lane(first)));
    await eventually(idle, isIdle);
  });
});

const named = (at) => `${at}:`.padEnd(60_000, 'x');

describe('a reader that does not read', () => {
  test('design 3.4: it is cut, which is counted, and comes back to what it has missed', async (t) => {
    const [slow, quick] = [await Stream.open(server, streamPath(app, ['slow-a'])), await Stream.open(server, streamPath(app, ['slow-a']))];
    cleanup(t, () => [slow, quick].forEach((one) => one.end()));
    await quick.named('tidings:subscribed');
    await slow.named('tidings:subscribed');
    slow.wire.socket.pause();
    const [before] = await gauges('tidings_slow_connections_total');
    let count = 0;
    for (let now = before; now === before; [now] = await gauges('tidings_slow_connections_total')) {
      await api.trigger('slow-a', 'event', named(count));
      // The other one has it at once.
      assert.equal(parseInt((await quick.event()).data, 10), count);
      count += 1;
    }
    slow.wire.socket.resume();
    const got = [];
    for (;;) {
      const event = await slow.event().catch(() => null);
      if (event === null) break;
      got.push(parseInt(event.data, 10));
    }
    assert.deepEqual(got, got.map((_, at) => at));
    assert.ok(got.length < count, 'it was cut');
    const back = await Stream.open(server, streamPath(app, ['slow-a']), { headers: { 'Last-Event-ID': slow.lastId } });
    cleanup(t, () => back.end());
    assert.equal(JSON.parse((await back.named('tidings:subscribed')).data).resumed, true);
    for (let at = got.length; at < count; at += 1) assert.equal(parseInt((await back.event()).data, 10), at);
  });

  test('design 3.4: what a reader has missed may be much, and is told as it takes it', async (t) => {
    const first = await Stream.open(server, streamPath(app, ['slow-b']));
    const { id } = await first.named('tidings:subscribed');
    first.end();
    const count = 300;
    for (let at = 0; at < count; at += 1) await api.trigger('slow-b', 'event', named(at));
    const back = await Stream.open(server, streamPath(app, ['slow-b']), { headers: { 'Last-Event-ID': id } });
    cleanup(t, () => back.end());
    assert.equal(JSON.parse((await back.named('tidings:subscribed')).data).resumed, true);
    // What is new waits behind it; of that alone it is owed less than it may be.
    back.wire.socket.pause();
    const [slow] = await gauges('tidings_slow_connections_total');
    const other = await Stream.open(server, streamPath(app, ['slow-b']));
    cleanup(t, () => other.end());
    for (let at = count; at < count + 5; at += 1) await api.trigger('slow-b', 'event', named(at));
    for (let at = count; at < count + 5; at += 1) assert.equal(parseInt((await other.named('event')).data, 10), at);
    // Each has had a heartbeat too.
    for (let beats = 0; beats < 2;) if ((await other.block()) === ':\n\n') beats += 1;
    assert.deepEqual(await gauges('tidings_slow_connections_total'), [slow]);
    back.wire.socket.resume();
    for (let at = 0; at < count + 5; at += 1) assert.equal(parseInt((await back.event()).data, 10), at);
  });
});

test('design 3.4 design 7: over HTTP/2 too a reader that does not read is cut, and its neighbours in the session are not', async (t) => {
  const one = http2(`https://${HOST}:${secure}`, { rejectUnauthorized: false });
  cleanup(t, () => one.destroy());
  const asked = (path, headers = {}) => {
    const stream = one.request({ ':path': path, ...headers });
    stream.on('error', () => {});
    stream.over = new Promise((resolve) => stream.on('close', resolve));
    return stream;
  };
  const inbox = (stream) => {
    const told = new Inbox('events over HTTP/2');
    let rest = '';
    stream.setEncoding('utf8').on('data', (text) => {
      const blocks = (rest + text).split('\n\n');
      rest = blocks.pop();
      for (const block of blocks) if (!block.startsWith(':')) told.push(read(block));
    });
    return told;
  };
  // It is not read before somebody asks for its data.
  const slow = asked(streamPath(app, ['slow-h2']));
  await within(new Promise((resolve) => slow.once('response', resolve)), 'a head');
  const quick = inbox(asked(streamPath(app, ['slow-h2'])));
  assert.equal((await quick.next()).event, 'tidings:subscribed');
  const [before] = await gauges('tidings_slow_connections_total');
  let count = 0;
  for (let now = before; now === before; [now] = await gauges('tidings_slow_connections_total')) {
    await api.trigger('slow-h2', 'event', named(count));
    assert.equal(parseInt((await quick.next()).data, 10), count);
    count += 1;
  }
  const told = inbox(slow);
  await within(slow.over, 'the end of a stream');
  const got = told.all.filter(({ event }) => event === 'event');
  assert.deepEqual(got.map(({ data }) => parseInt(data, 10)), got.map((_, at) => at));
  assert.ok(got.length < count, 'it was cut');
  const back = inbox(asked(streamPath(app, ['slow-h2']), { 'last-event-id': told.all.at(-1).id }));
  assert.equal(JSON.parse((await back.next()).data).resumed, true);
  for (let at = got.length; at < count; at += 1) assert.equal(parseInt((await back.next()).data, 10), at);
});

describe('requests that are none', () => {
  test('half of them, garbage behind them, and much too much', async (t) => {
    const path = streamPath(app, ['calm']);
    const calm = await Stream.open(server, path);
    cleanup(t, () => calm.end());
    await calm.named('tidings:subscribed');
    for (let at = 0; at < 200; at += 1) {
      const wire = await Wire.open(server);
      wire.write([`GET ${path}`, `GET ${path} HTTP/1.1\r\n`, `GET ${path} HTTP/1.1\r\nHost: x\r\nLast-Event-ID: `, ''][at % 4]);
      cleanup(t, () => wire.end());
    }
    const noisy = await Stream.open(server, path);
    noisy.wire.write(Buffer.alloc(1_000_000, 'GET / HTTP/1.1\r\n\r\n'));
    for (const text of [`GET ${path}&x=${'y'.repeat(100_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, `GET ${path}\0 HTTP/1.1\r\nHost: x\r\n\r\n`, `GET ${path}&channel=%zz HTTP/1.1\r\nHost: x\r\n\r\n`]) {
      const wire = await Wire.open(server);
      wire.write(text);
      const head = await wire.head().catch(() => ({ status: 400 }));
      assert.ok(head.status === 200 || (head.status >= 400 && head.status < 500), String(head.status));
      wire.end();
    }
    await api.trigger('calm', 'event', 'still');
    assert.equal((await calm.event()).data, 'still');
    noisy.end();
  });
});
