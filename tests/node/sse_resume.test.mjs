// Readers that are cut off and come back: nothing is lost or told twice, and where something may be, that is told (design 3.2 and section 7).
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { balancer } from './support/balancer.mjs';
import { cutter } from './support/cutter.mjs';
import { newApp, startServer } from './support/server.mjs';
import { request } from './support/sign.mjs';
import { begun, left as gone, opened, source, streamPath, told } from './support/sse.mjs';
import { eventually } from './support/wspush.mjs';

const BRISK = { retry: '50 ms' };
const server = await startServer({ after }, {
  app: newApp({ recent: [{ channels: 'news-*', events: 1000, bytes: '1 MiB', window: '10 min' }] }),
  listener: { dialects: ['pusher', 'sse'] },
  settings: { sse: BRISK },
});
const { app } = server;

async function publish(channel, data, to = server) {
  const { status, text } = await request(to, 'POST', `/apps/${to.app.id}/events`, { body: { name: 'event', channel, data: String(data) } });
  assert.equal(status, 200, text);
}

async function publishAll(channel, from, count, to = server) {
  for (let at = from; at < from + count; at += 10) {
    await to.api().triggerBatch(Array.from({ length: Math.min(10, from + count - at) }, (_, more) => ({ channel, name: 'event', data: String(at + more) })));
  }
}

const open = (t, channels, { to = server, ...options } = {}) => begun(t, to, channels, options);
const left = (t, channels, { to = server, ...options } = {}) => gone(t, to, channels, options);

/** Expects that it is told next that something of these channels may be missing. The reader has a place when it has been told all, not before. */
async function gap(events, ...channels) {
  assert.equal(events.id, undefined);
  for (const channel of channels) {
    const { type, data, id } = await events.event();
    assert.deepEqual([type, JSON.parse(data)], ['tidings:gap', { channel }]);
    assert.equal(id !== undefined, channel === channels.at(-1));
  }
}

const range = (from, to) => Array.from({ length: to - from }, (_, at) => from + at);

describe('coming back', () => {
  test('by header and by parameter: what was missed, then what is new', async (t) => {
    for (const [name, back] of [['header', (id) => ({ last: id })], ['parameter', (id) => ({ last_event_id: id })], ['both', (id) => ({ last: id, last_event_id: '1-1' })]]) {
      const id = await left(t, [name]);
      await publishAll(name, 0, 20);
      const events = await open(t, [name], back(id));
      assert.deepEqual(events.begin, { channels: [name], resumed: true });
      await publish(name, 20);
      await told(events, range(0, 21));
    }
  });

  test('from any place: the first, one in the middle, the last', async (t) => {
    const events = await open(t, ['places']);
    const ids = [events.id];
    await publishAll('places', 0, 50);
    for (let at = 0; at < 50; at += 1) ids.push((await events.event()).id);
    for (const [at, id] of ids.entries()) {
      const back = await open(t, ['places'], { last: id });
      assert.equal(back.begin.resumed, true);
      assert.equal(back.id, id, 'it is where it was');
      await told(back, range(at, 50));
      back.end();
    }
    const end = await open(t, ['places'], { last: ids.at(-1) });
    await publish('places', 50);
    await told(end, [50]);
  });

  test('a block that was cut in the middle is told again, whole', async (t) => {
    const events = await open(t, ['half']);
    await publish('half', 'whole');
    const { id } = await events.event();
    await publish('half', 'x'.repeat(5000));
    const back = await open(t, ['half'], { last: id });
    await told(back, ['x'.repeat(5000)]);
  });

  test('several channels, one behind the other', async (t) => {
    const channels = ['first', 'private-second', 'third'];
    const events = await open(t, channels);
    const ids = [events.id];
    const expected = [];
    for (let at = 0; at < 60; at += 1) {
      const channel = channels[(at * at) % 3];
      await publish(channel, `${channel} ${at}`);
      expected.push([channel, `${channel} ${at}`]);
      ids.push((await events.event()).id);
    }
    for (const at of [0, 1, 17, 30, 59, 60]) {
      const back = await open(t, channels, { last: ids[at] });
      assert.equal(back.begin.resumed, true);
      const missed = [];
      for (let due = at; due < 60; due += 1) missed.push((await back.event()).data);
      for (const channel of channels) assert.deepEqual(missed.filter((one) => one.startsWith(channel)), expected.slice(at).filter(([of]) => of === channel).map(([, data]) => data));
      // Cut off again in the middle of what it had missed, it has the rest.
      back.end();
    }
    let [last, got] = [ids[0], []];
    while (got.length < 60) {
      const back = await open(t, channels, { last });
      assert.equal(back.begin.resumed, true);
      for (let at = 0; at < 7 && got.length < 60; at += 1) {
        const { data, id } = await back.event();
        got.push(data);
        last = id;
      }
      back.end();
    }
    for (const channel of channels) assert.deepEqual(got.filter((one) => one.startsWith(channel)), expected.filter(([of]) => of === channel).map(([, data]) => data));
  });

  test('readers come back to the same place beside others who read on', async (t) => {
    const steady = await open(t, ['busy']);
    let [last, got, published] = [steady.id, 0, 0];
    for (let round = 0; round < 30; round += 1) {
      const back = await open(t, ['busy'], { last });
      const writing = publishAll('busy', published, 40);
      published += 40;
      // All of them while they are being published, or some.
      const until = round % 2 ? published : got + 23;
      while (got < until) {
        const { data, id } = await back.event();
        assert.equal(data, String(got));
        [got, last] = [got + 1, id];
      }
      back.end();
      await writing;
    }
    await told(steady, range(0, published));
  });
});

describe('the window', () => {
  test('a hundred events are kept, of what is older the gap is told', async (t) => {
    const id = await left(t, ['hundred']);
    await publishAll('hundred', 0, 100);
    const whole = await open(t, ['hundred'], { last: id });
    assert.equal(whole.begin.resumed, true);
    await told(whole, range(0, 100));
    await publish('hundred', 100);
    const late = await open(t, ['hundred'], { last: id });
    assert.equal(late.begin.resumed, false);
    await gap(late, 'hundred');
    await told(late, range(1, 101));
    await publish('hundred', 101);
    await told(late, [101]);
  });

  test('for channels of a pattern more, and whoever is there', async (t) => {
    await publishAll('news-own', 0, 10);
    const id = await left(t, ['news-own', 'plain']);
    await publishAll('news-own', 10, 500);
    await publishAll('plain', 0, 101);
    const back = await open(t, ['news-own', 'plain'], { last: id });
    assert.equal(back.begin.resumed, false);
    await gap(back, 'plain');
    await told(back, [...range(10, 510), ...range(1, 101)]);
    assert.equal((await open(t, ['news-own'], { last: await left(t, ['news-own']) })).begin.resumed, true);
  });

  test('a reader that left a channel without events comes back to where it was', async (t) => {
    for (const channels of [['quiet'], ['news-quiet'], ['quiet', 'news-quiet']]) {
      const id = await left(t, channels);
      // Elsewhere there is much.
      await publishAll('loud', 0, 20);
      for (let round = 0; round < 3; round += 1) {
        const back = await open(t, channels, { last: id });
        assert.deepEqual(back.begin, { channels, resumed: true }, `round ${round}`);
        back.end();
      }
      const back = await open(t, channels, { last: id });
      for (const channel of channels) await publish(channel, channel);
      await told(back, channels);
    }
  });

  test('a window of bytes', async (t) => {
    const id = await left(t, ['bytes']);
    // 256 KiB.
    for (let at = 0; at < 40; at += 1) await publish('bytes', `${at}:`.padEnd(9000, 'x'));
    const back = await open(t, ['bytes'], { last: id });
    assert.equal(back.begin.resumed, false);
    await gap(back, 'bytes');
    const first = parseInt((await back.event()).data, 10);
    assert.ok(first > 5 && first < 20, String(first));
    for (let at = first + 1; at < 40; at += 1) assert.equal(parseInt((await back.event()).data, 10), at);
  });

  test('a window of time, and a budget for all', async (t) => {
    const own = await startServer(t, {
      app: newApp({ recent: [{ channels: 'kept', events: 100, bytes: '1 MiB', window: '10 min' }] }),
      listener: { dialects: ['pusher', 'sse'] },
      settings: { recent: { events: 1000, bytes: '1 MiB', window: '1 s', memory_bytes: '64 KiB' } },
    });
    const channels = ['short', 'kept', 'unused'];
    const id = await left(t, channels, { to: own });
    for (const channel of ['short', 'kept']) await publish(channel, 'x', own);
    const late = await eventually(async () => {
      const back = await open(t, channels, { last: id, to: own });
      if (back.begin.resumed) back.end();
      return back;
    }, ({ begin }) => begin.resumed === false);
    await gap(late, 'short');
    await told(late, ['x']);
    late.end();
    const full = await left(t, ['kept'], { to: own });
    for (let at = 0; at < 30; at += 1) await publish('kept', 'y'.repeat(5000), own);
    const back = await open(t, ['kept'], { last: full, to: own });
    assert.equal(back.begin.resumed, false);
    await gap(back, 'kept');
  });

  test('none at all, where it is off', async (t) => {
    const own = await startServer(t, { listener: { dialects: ['pusher', 'sse'] }, settings: { recent: { events: 0 } } });
    const id = await left(t, ['off'], { to: own });
    await publish('off', 1, own);
    const back = await open(t, ['off'], { last: id, to: own });
    assert.equal(back.begin.resumed, false);
    await gap(back, 'off');
    await publish('off', 2, own);
    await told(back, [2]);
  });
});

describe('ids that lead nowhere', () => {
  test('made up, spoilt, too long', async (t) => {
    const id = await left(t, ['ids']);
    await publish('ids', 'kept');
    for (const last of ['yesterday', '0', '-', `${id}ffff`, `f${id}`, id.replace('-', '_'), `${id}.1`, '0-0', 'ffffffffffffffff-ffffffffffffffff', 'x'.repeat(4000), '1-'.padEnd(3000, '1.'), '%']) {
      const back = await open(t, ['ids'], { last });
      assert.deepEqual(back.begin, { channels: ['ids'], resumed: false }, last.slice(0, 50));
      await gap(back, 'ids');
      await publish('ids', 'new');
      while ((await back.event()).data !== 'new');
      back.end();
    }
    for (const last of ['', undefined]) assert.deepEqual((await open(t, ['ids'], { last })).begin, { channels: ['ids'] });
  });

  test('of other channels, or in another order', async (t) => {
    const id = await left(t, ['a', 'b']);
    for (const channels of [['b', 'a'], ['a'], ['a', 'b', 'c'], ['a', 'c']]) {
      const back = await open(t, channels, { last: id });
      assert.equal(back.begin.resumed, false, String(channels));
      await gap(back, ...channels);
    }
    assert.equal((await open(t, ['a', 'b'], { last: id })).begin.resumed, true);
  });

  test('of another app', async (t) => {
    const apps = [newApp(), newApp()];
    const own = await startServer(t, { apps, listener: { dialects: ['pusher', 'sse'] } });
    const there = { host: own.host, port: own.port, url: own.url, app: apps[1] };
    const id = await left(t, ['same'], { to: own });
    await publish('same', 'of the first', own);
    await publish('same', 'of the second', there);
    const back = await open(t, ['same'], { last: id, to: there });
    await publish('same', 'last', there);
    for (let event = await back.event(); event.data !== 'last'; event = await back.event()) assert.notEqual(event.data, 'of the first');
  });

  test('of an earlier run of the server: the gap is told, to a reader who was there all along', async (t) => {
    const shared = newApp();
    const options = { app: shared, listener: { dialects: ['pusher', 'sse'] }, settings: { sse: BRISK, drain: { drain: '1 s' } } };
    const first = await startServer(t, options);
    const front = await balancer(t, first);
    const events = source(t, `http://${front.host}:${front.port}${streamPath(shared, ['news', 'more'])}`, ['event', 'tidings:subscribed', 'tidings:gap']);
    assert.deepEqual(JSON.parse((await events.inbox.next()).data), { channels: ['news', 'more'] });
    await publish('news', 'before', first);
    const { id } = await events.inbox.next();
    const next = await startServer(t, options);
    front.target = next;
    await publish('news', 'unseen', next);
    await first.stop();
    const begin = await events.inbox.next();
    assert.deepEqual(JSON.parse(begin.data), { channels: ['news', 'more'], resumed: false });
    let place;
    for (const channel of ['news', 'more']) {
      const { type, data, id: there } = await events.inbox.next();
      assert.deepEqual([type, JSON.parse(data)], ['tidings:gap', { channel }]);
      place = there;
    }
    await publish('news', 'after', next);
    assert.deepEqual((({ type, data }) => [type, data])(await events.inbox.next()), ['event', 'after']);
    // The old place stays unknown; the new one is good.
    assert.equal((await open(t, ['news', 'more'], { last: id, to: next })).begin.resumed, false);
    assert.equal((await open(t, ['news', 'more'], { last: place, to: next })).begin.resumed, true);
  });
});

describe('a hundred cuts', () => {
  /** Publishes 10,000 events to these channels while a proxy cuts a reader of them; never more than `ahead` are on their way. */
  async function ride(t, to, channels, ahead, seed) {
    const [count, cuts] = [10_000, 100];
    const proxy = await cutter(t, to, { cuts, mean: 3000, seed });
    const events = source(t, `${proxy.url}${streamPath(to.app, channels)}`, [...channels, 'tidings:subscribed', 'tidings:gap']);
    await opened(events);
    const api = to.api();
    const got = Object.fromEntries(channels.map((channel) => [channel, []]));
    const expected = Object.fromEntries(channels.map((channel) => [channel, []]));
    let [read, begins] = [0, 0];
    const take = async () => {
      const { type, data } = await events.inbox.next();
      if (type === 'tidings:subscribed') {
        begins += 1;
        return;
      }
      assert.ok(type in got, `${type} ${data} after ${read}, and ${proxy.count} cuts`);
      assert.equal(data, String(expected[type][got[type].length]), `on ${type}, after ${proxy.count} cuts`);
      got[type].push(data);
      read += 1;
    };
    for (let at = 0; at < count; at += 10) {
      const batch = Array.from({ length: 10 }, (_, more) => ({ channel: channels[((at + more) * 7 + seed) % channels.length], data: String(at + more) }));
      for (const { channel, data } of batch) expected[channel].push(data);
      await api.triggerBatch(batch.map((one) => ({ ...one, name: one.channel })));
      while (read < at + 10 - ahead) await take();
    }
    while (read < count) await take();
    assert.deepEqual(got, expected);
    assert.equal(proxy.count, cuts);
    assert.ok(begins > 1 && begins <= cuts + 1, String(begins));
    assert.ok(!events.inbox.all.some(({ type }) => type === 'tidings:gap'));
  }

  test('one channel, with what is kept by default', async (t) => {
    for (const seed of [1, 2]) await ride(t, server, [`ride-${seed}`], 90, seed);
  });

  test('three channels', async (t) => {
    await ride(t, server, ['ride-a', 'ride-b', 'ride-c'], 90, 3);
  });

  test('as fast as it can be published, with more kept', async (t) => {
    const own = await startServer(t, {
      app: newApp({ recent: [{ channels: 'ride-*', events: 10_000, bytes: '16 MiB', window: '10 min' }] }),
      listener: { dialects: ['pusher', 'sse'] },
      settings: { sse: BRISK },
    });
    await ride(t, own, ['ride-fast'], 10_000, 4);
    await ride(t, own, ['ride-x', 'ride-y', 'ride-z'], 10_000, 5);
  });
});
