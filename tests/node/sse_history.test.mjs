// Channels with a history in the store: readers that were away for longer than memory lasts, and servers that end and begin again (design 3.2, 5).
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { balancer } from './support/balancer.mjs';
import { cleanup } from './support/cleanup.mjs';
import { cutter } from './support/cutter.mjs';
import { login, pushiApp, rest } from './support/pushi.mjs';
import { PREFIX, trigger } from './support/pushy.mjs';
import { RawSocket } from './support/raw_socket.mjs';
import { startServer } from './support/server.mjs';
import { request } from './support/sign.mjs';
import { begun, left, opened, source, streamPath, told } from './support/sse.mjs';

/** An app whose channels `news-*` have a history, and little else that is kept. */
const newsApp = (settings = {}) => pushiApp({ client_events: true, recent: [{ channels: 'news-*', stored: true, events: 5 }, { channels: 'private-news-*', stored: true, events: 5 }], ...settings });

/** Servers with one store, one after the other; `begin` starts the next. */
async function servers(t, app = newsApp(), { store = {}, dialects = ['pusher', 'sse'], ...settings } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'tidings-history-'));
  cleanup(t, () => rm(folder, { recursive: true, force: true }));
  const options = { app, listener: { dialects }, settings: { store: { url: `sqlite:${join(folder, 'tidings.db')}`, ...store }, sse: { retry: '50 ms' }, drain: { drain: '1 s' }, ...settings } };
  return { app, begin: () => startServer(t, options) };
}

async function publish(server, channel, data, name = 'event') {
  const { status, text } = await request(server, 'POST', `/apps/${server.app.id}/events`, { body: { name, channel, data: String(data) } });
  assert.equal(status, 200, text);
}

async function publishAll(server, channel, from, count) {
  for (let at = from; at < from + count; at += 10) {
    await server.api().triggerBatch(Array.from({ length: Math.min(10, from + count - at) }, (_, more) => ({ channel, name: 'event', data: String(at + more) })));
  }
}

const open = (t, server, channels, last) => begun(t, server, channels, { last });

const range = (from, to) => Array.from({ length: to - from }, (_, at) => from + at);

describe('coming back', () => {
  test('after more than memory keeps: all of it, then what is new', async (t) => {
    const server = await (await servers(t)).begin();
    for (const count of [1, 5, 6, 499, 500, 501, 1700]) {
      const channel = `news-${count}`;
      const id = await left(t, server, [channel]);
      await publishAll(server, channel, 0, count);
      const back = await open(t, server, [channel], id);
      assert.equal(back.begin.resumed, true);
      await publish(server, channel, count);
      await told(back, range(0, count + 1));
      back.end();
    }
  });

  test('from any place in it, and cut off in the middle of it', async (t) => {
    const server = await (await servers(t)).begin();
    const events = await open(t, server, ['news-a']);
    const ids = [events.id];
    await publishAll(server, 'news-a', 0, 700);
    for (let at = 0; at < 700; at += 1) ids.push((await events.event()).id);
    for (const at of [0, 1, 350, 690, 694, 695, 696, 699, 700]) {
      const back = await open(t, server, ['news-a'], ids[at]);
      assert.equal(back.begin.resumed, true);
      await told(back, range(at, 700));
      back.end();
    }
    let [last, got] = [ids[0], 0];
    while (got < 700) {
      const back = await open(t, server, ['news-a'], last);
      assert.equal(back.begin.resumed, true);
      for (const until = Math.min(700, got + 90); got < until; got += 1) {
        const { data, id } = await back.event();
        assert.equal(data, String(got));
        last = id;
      }
      back.end();
    }
  });

  test('on several channels, with a history and without', async (t) => {
    const server = await (await servers(t)).begin();
    const channels = ['news-a', 'private-news-b', 'plain'];
    const id = await left(t, server, channels);
    const expected = Object.fromEntries(channels.map((channel) => [channel, []]));
    for (let at = 0; at < 120; at += 1) {
      const channel = channels[at % (at < 90 ? 3 : 2)];
      await publish(server, channel, `${channel} ${at}`);
      expected[channel].push(`${channel} ${at}`);
    }
    const back = await open(t, server, channels, id);
    assert.equal(back.begin.resumed, true);
    const got = [];
    for (let at = 0; at < 120; at += 1) got.push((await back.event()).data);
    for (const channel of channels) assert.deepEqual(got.filter((one) => one.startsWith(channel)), expected[channel]);
  });

  test('to what every dialect published, in the order in which it was published', async (t) => {
    const app = newsApp();
    const server = await (await servers(t, app, { dialects: ['pusher', 'sse', 'pushi', 'pushi-api', 'pushy'], pushy: [{ app: app.id, sockjs: { prefix: PREFIX } }] })).begin();
    const sid = await login(server);
    const pusher = await RawSocket.open(server, server.path());
    cleanup(t, () => pusher.end());
    await pusher.subscribe('private-news-all');
    const id = await left(t, server, ['private-news-all']);
    const expected = [];
    for (let at = 0; at < 40; at += 1) {
      const kind = at % 4;
      if (kind === 0) await publish(server, 'private-news-all', at);
      else if (kind === 1) assert.equal((await rest(server, 'POST', '/events', { query: { sid }, json: { event: 'event', channel: 'private-news-all', data: String(at), persist: at % 8 === 1 } })).status, 200);
      else if (kind === 2) assert.ok((await trigger(server, 'private-news-all', 'event', [at])).status < 300);
      else {
        pusher.send({ event: 'client-event', channel: 'private-news-all', data: at });
        await pusher.settled();
      }
      expected.push([kind === 3 ? 'client-event' : 'event', kind === 2 ? `[${at}]` : String(at)]);
    }
    const back = await open(t, server, ['private-news-all'], id);
    assert.equal(back.begin.resumed, true);
    for (const one of expected) {
      const { type, data } = await back.event();
      assert.deepEqual([type, data], one);
    }
  });
});

describe('servers that end', () => {
  for (const [how, end] of [['as they should', (server) => server.stop()], ['by a crash', (server) => (server.signal('SIGKILL'), server.exited)]]) {
    test(`${how}: what was acknowledged is there for who comes back`, async (t) => {
      const { begin } = await servers(t);
      const first = await begin();
      const id = await left(t, first, ['news-a']);
      await publishAll(first, 'news-a', 0, 60);
      await end(first);
      const second = await begin();
      await publishAll(second, 'news-a', 60, 60);
      const back = await open(t, second, ['news-a'], id);
      assert.equal(back.begin.resumed, true);
      await told(back, range(0, 120));
      await publish(second, 'news-a', 120);
      await told(back, [120]);
      // One that read nothing in the meantime, and on a channel where nothing was.
      await end(second);
      const third = await begin();
      for (const [channels, last] of [[['news-a'], back.lastId], [['news-a'], id]]) {
        const again = await open(t, third, channels, last);
        assert.equal(again.begin.resumed, true);
        await told(again, last === id ? range(0, 121) : []);
        await publish(third, 'news-other', 'x');
        again.end();
      }
    });
  }

  test('again and again under load: a reader has everything that was acknowledged, once and in order', async (t) => {
    const { app, begin } = await servers(t);
    let server = await begin();
    const front = await balancer(t, server);
    const events = source(t, `http://${front.host}:${front.port}${streamPath(app, ['news-load'])}`, ['event', 'tidings:subscribed', 'tidings:gap']);
    await opened(events);
    let [number, last] = [0, -1];
    const sure = [];
    for (let round = 0; round < 5; round += 1) {
      for (let at = 0; at < 150; at += 1) {
        await publish(server, 'news-load', number);
        sure.push(number);
        number += 1;
      }
      // One is on its way, acknowledged or not.
      const open = publish(server, 'news-load', number).then(() => true, () => false);
      const old = server;
      old.signal('SIGKILL');
      await old.exited;
      if (await open) sure.push(number);
      number += 1;
      server = await begin();
      front.target = server;
    }
    await publish(server, 'news-load', number);
    sure.push(number);
    const got = new Set();
    while (last < number) {
      const { type, data } = await events.inbox.next();
      assert.notEqual(type, 'tidings:gap', data);
      if (type === 'tidings:subscribed') continue;
      assert.ok(Number(data) > last, `${data} after ${last}`);
      last = Number(data);
      got.add(last);
    }
    assert.deepEqual(sure.filter((one) => !got.has(one)), []);
  });

  test('through a hundred cuts, far behind what memory keeps', async (t) => {
    const server = await (await servers(t)).begin();
    const count = 3000;
    const proxy = await cutter(t, server, { cuts: 100, mean: 900, seed: 11 });
    const events = source(t, proxy.url + streamPath(server.app, ['news-cuts']), ['event', 'tidings:subscribed', 'tidings:gap']);
    await opened(events);
    const publishing = publishAll(server, 'news-cuts', 0, count);
    for (let got = 0; got < count;) {
      const { type, data } = await events.inbox.next();
      if (type === 'tidings:subscribed') continue;
      assert.deepEqual([type, data], ['event', String(got)], `after ${proxy.count} cuts`);
      got += 1;
    }
    await publishing;
    assert.equal(proxy.count, 100);
  });
});

test('what is no longer stored is told as a gap, and what is follows', async (t) => {
  const server = await (await servers(t, newsApp({ history: { channel_events: 50 } }), { store: { prune_interval: '1 s' } })).begin();
  const id = await left(t, server, ['news-few']);
  await publishAll(server, 'news-few', 0, 200);
  // It is removed in the background.
  for (;;) {
    const back = await open(t, server, ['news-few'], id);
    if (back.begin.resumed) {
      back.end();
      continue;
    }
    const gap = await back.event();
    assert.deepEqual([gap.type, JSON.parse(gap.data)], ['tidings:gap', { channel: 'news-few' }]);
    const first = Number((await back.event()).data);
    assert.ok(first > 0 && first < 200, String(first));
    await told(back, range(first + 1, 200));
    break;
  }
});

test('channels without a history have none, whatever the store holds', async (t) => {
  const { begin } = await servers(t);
  const first = await begin();
  const id = await left(t, first, ['plain', 'news-a']);
  for (const channel of ['plain', 'news-a']) await publish(first, channel, 'before');
  await first.stop();
  const second = await begin();
  const back = await open(t, second, ['plain', 'news-a'], id);
  assert.equal(back.begin.resumed, false);
  const { type, data } = await back.event();
  assert.deepEqual([type, JSON.parse(data)], ['tidings:gap', { channel: 'plain' }]);
  await told(back, ['before']);
});
