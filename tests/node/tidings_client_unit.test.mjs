// The JavaScript of tidings-client alone, with a native part that says what the test wants: what depends on the moment.
import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Ours as Pusher, PACKAGE } from './support/tidings_client.mjs';

const require = createRequire(import.meta.url);
const { replaceNativeClient } = require(join(PACKAGE, 'lib/native.js'));
const { complete, forNative } = require(join(PACKAGE, 'lib/options.js'));

let native;

class FakeNative {
  calls = [];
  /** How many calls of `disconnect` are not answered. */
  goodbyes = 0;

  constructor(options, onBatch) {
    this.options = JSON.parse(options);
    this.say = (...notices) => {
      this.goodbyes -= notices.filter(([kind]) => kind === 'stopped').length;
      onBatch(JSON.stringify(notices));
    };
    native = this;
    for (const name of ['connect', 'subscribe', 'unsubscribe', 'signin', 'taken']) this[name] = (...values) => void this.calls.push([name, ...values]);
  }

  disconnect() {
    this.goodbyes += 1;
    this.calls.push(['disconnect']);
  }

  send(message) {
    this.calls.push(['send', JSON.parse(message)]);
    return true;
  }

  /** What was called since it was asked the last time. */
  called() {
    return this.calls.splice(0);
  }
}

beforeEach(() => {
  replaceNativeClient(FakeNative);
  Pusher.autoConnect = true;
});
after(() => replaceNativeClient(undefined));

const made = [];
after(() => {
  // Nothing of this may keep the process.
  for (const { one, its } of made) {
    one.disconnect();
    while (its.goodbyes > 0) its.say(['stopped']);
  }
});

function client(options, key = 'key') {
  const one = new Pusher(key, options);
  made.push({ one, its: native });
  one.got = [];
  one.connection.on('state_change', ({ current }) => one.got.push(current));
  one.connection.on('error', ({ error, data }) => one.got.push(error ?? data));
  return one;
}

const UP = [['connecting'], ['connected', '1.2', 120]];

test('what was said of a connection that is over is not handed on', () => {
  const one = client();
  native.say(...UP);
  one.bind('bye', () => one.disconnect());
  one.bind('late', () => assert.fail('it is too late'));
  native.say(['message', { event: 'bye' }], ['message', { event: 'late' }]);
  one.connect();
  native.say(['message', { event: 'late' }], ['lost', 'late', 1], ['stopped']);
  native.say(...UP);
  assert.deepEqual(one.got, ['connected', 'disconnected', 'connecting', 'connected']);
  assert.deepEqual(native.called().map(([name]) => name), ['connect', 'taken', 'disconnect', 'taken', 'connect', 'taken', 'taken']);
});

test('two goodbyes are waited for', () => {
  const one = client();
  one.disconnect();
  one.connect();
  one.disconnect();
  one.connect();
  native.say(['stopped'], ...UP);
  assert.deepEqual(one.got, ['disconnected', 'connecting', 'disconnected', 'connecting']);
  native.say(['stopped'], ...UP);
  assert.equal(one.got.at(-1), 'connected');
});

test('a client that was given up may connect again where it hears of it', () => {
  const one = client();
  one.connection.once('disconnected', () => one.connect());
  native.say(['ended', 'no']);
  assert.deepEqual(one.got, ['disconnected', 'connecting', 'no']);
  assert.deepEqual(native.called().map(([name]) => name), ['connect', 'connect', 'taken']);
});

test('a batch is over when all of it was handed on, whoever throws', async () => {
  const one = client();
  const got = [];
  one.bind('said', (n) => {
    got.push(n);
    if (n === 1) throw new Error('at 1');
  });
  assert.throws(() => native.say(['message', { event: 'said', data: '1' }], ['message', { event: 'said', data: '2' }]), /at 1/);
  assert.deepEqual([got, native.called()], [[1], [['connect']]]);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([got, native.called()], [[1, 2], [['taken']]]);
});

test('a client that was given up does not keep the process, whoever throws', async () => {
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers();
  for (const event of ['disconnected', 'error']) {
    const one = client();
    assert.equal(timers(), before + 1);
    one.connection.on(event, () => {
      throw new Error('a listener');
    });
    assert.throws(() => native.say(['ended', 'no']), /a listener/);
    assert.equal(timers(), before);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(native.called().at(-1)[0], 'taken');
  }
});

test('waits are told in whole seconds, if there are any', () => {
  const one = client();
  const waits = [];
  one.connection.on('connecting_in', (seconds) => waits.push(seconds));
  for (const seconds of [0, 0.5, 1, 15.6]) native.say(['connecting'], ['lost', 'why', seconds]);
  assert.deepEqual(waits, [1, 1, 16]);
});

test('the state is that of the last notice, and socket and silence those of the connection', () => {
  const one = client();
  native.say(['unavailable']);
  assert.deepEqual([one.connection.state, one.connection.socket_id], ['unavailable', null]);
  native.say(['lost', 'why', 1], ...UP);
  assert.deepEqual(one.got, ['unavailable', 'why', 'disconnected', 'connecting', 'connected']);
  assert.deepEqual([one.connection.socket_id, one.connection.activityTimeout], ['1.2', 120_000]);
});

test('events go out as pusher-client writes them', () => {
  const one = client({ secret: 's' });
  const channel = one.subscribe('private-x');
  assert.equal(channel.trigger('client-x', 1), false);
  native.say(...UP);
  native.called();
  for (const data of [{ a: 1 }, 'text', undefined, null, 0, [1]]) assert.equal(channel.trigger('client-x', data), true);
  one.sendEvent('bare');
  assert.deepEqual(native.called(), [
    ...[{ a: 1 }, 'text', {}, {}, {}, [1]].map((data) => ['send', { event: 'client-x', data, channel: 'private-x' }]),
    ['send', { event: 'bare', data: {} }],
  ]);
});

test('who is meant by `me` keeps the type of the id that was given', () => {
  for (const [options, id] of [[{ secret: 's', channel_data: { user_id: 7 } }, 7], [{ secret: 's', channel_data: { user_id: '7' } }, '7'], [{ authEndpoint: 'http://here' }, '7']]) {
    const { members } = client(options).subscribe('presence-x');
    const presence = { ids: ['7'], hash: { 7: { n: 1 } }, count: 1 };
    native.say(...UP, ['identity', 'presence-x', '7'], ['message', { event: 'pusher_internal:subscription_succeeded', channel: 'presence-x', data: JSON.stringify({ presence }) }]);
    assert.deepEqual([members.myID, members.me], [id, { id, info: { n: 1 } }]);
  }
});

test('what is logged goes to `Pusher.log`, and errors to `Pusher.warn`', () => {
  const [logged, warned] = [[], []];
  const { warn } = Pusher;
  Pusher.log = (...values) => logged.push(values);
  Pusher.warn = (...values) => warned.push(values);
  const one = client();
  native.say(...UP, ['message', { event: 'said', data: '1' }], ['lost', 'why', 0]);
  one.sendEvent('client-x');
  client({}, '');
  Pusher.log = undefined;
  Pusher.warn = warn;
  assert.deepEqual(logged.slice(0, 4), [
    ['Connecting', { host: 'ws.pusherapp.com', encrypted: false }],
    ['State changed', 'initialized -> connecting'],
    ['State changed', 'connecting -> connected'],
    ['Event recd', { event: 'said', data: 1 }],
  ]);
  assert.deepEqual(warned, [['Error', { type: 'WebSocketError', error: 'why' }], ['You must pass your app key when you instantiate Pusher.']]);
});

test('a native part of another version is told', () => {
  client();
  assert.throws(() => native.say(['news']), /of another version/);
});

test('options are completed and made plain', () => {
  const given = (options) => JSON.parse(forNative('key', complete(options)));
  assert.deepEqual(given(), {
    key: 'key', host: 'ws.pusherapp.com', wsPort: 80, wssPort: 443, encrypted: false, path: '', channelData: `{"user_id":"node-process-${process.pid}"}`,
    auth: { params: [], headers: [] }, activityTimeout: 86_400_000, pongTimeout: 30_000, unavailableTimeout: 10_000, useProxy: true,
  });
  assert.equal(given({ host: undefined }).host, 'ws.pusherapp.com');
  assert.deepEqual(['', '/', 'a', '/a/b/'].map((path) => given({ path }).path), ['', '', '/a', '/a/b']);
  assert.deepEqual([given({ wsPort: '6001', activityTimeout: 0.5 })].map(({ wsPort, activityTimeout }) => [wsPort, activityTimeout]), [[6001, 1]]);
  const params = { a: 'b', n: 1, no: false, nothing: null, left: undefined, list: ['x', { y: 1 }], at: new Date(0), in: { ner: { most: '&' } } };
  assert.deepEqual(given({ auth: { params } }).auth.params, [
    ['a', 'b'], ['n', '1'], ['no', 'false'], ['nothing', ''], ['list[0]', 'x'], ['list[1][y]', '1'], ['at', '1970-01-01T00:00:00.000Z'], ['in[ner][most]', '&'],
  ]);
  assert.deepEqual(given({ auth: { headers: { A: 1, B: ['x', 'y'] }, username: 'only' } }).auth, { params: [], headers: [['A', '1'], ['B', 'x'], ['B', 'y']] });
  assert.equal(JSON.parse(forNative('', complete())).key, 'undefined');
});
