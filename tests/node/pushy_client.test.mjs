// Pushy's own client and SDK, as far as their rules tell, on sockjs-client: the whole stack of an application.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { TRANSPORTS, open, startPushy, trigger } from './support/pushy.mjs';
import { PhpSdk, PushyClient, authHandler, httpBuildQuery, jsonEncode } from './support/pushy_client.mjs';

const server = await startPushy({ after });
const sdk = new PhpSdk(server);
const vectors = JSON.parse(readFileSync(new URL('../../crates/dialect/tests/pushy-vectors.json', import.meta.url), 'utf8'));

async function client(t, transport, options = {}) {
  const one = new PushyClient(t, options.server ?? server, { transport, ...options });
  await one.event('connect');
  return one;
}

const handler = (t, options) => authHandler(t, sdk, { member: ({ connection_id: id }) => ({ username: id.slice(0, 8), page: 'http://x/y' }), ...options });

for (const transport of TRANSPORTS) {
  test(`Y-13.3 Y-5.8 Y-8.10 the sequence of events over ${transport}`, async (t) => {
    const auth = await handler(t);
    const channel = `Lounge-${transport}`;
    const ann = await client(t, transport, { auth: auth.url });
    assert.equal(ann.protocol, transport);
    ann.subscribe(channel);
    await ann.event('subscribe');
    assert.equal(await sdk.trigger(channel, 'news', { title: 'hello world' }), true);
    await ann.event('news');

    const room = `private-${channel.toLowerCase()}`;
    ann.subscribe(room);
    const [member] = (await ann.event('subscribe')).data;
    assert.deepEqual(Object.keys(member), ['username', 'page', 'subscribed', 'memberId', 'idle']);
    assert.deepEqual((await auth.forms.next()), {
      method: 'POST',
      path: '/pushy/auth',
      type: 'application/x-www-form-urlencoded;charset=UTF-8',
      form: { channel: room, connection_id: ann.socketId },
    });
    const bob = await client(t, transport, { auth: auth.url });
    bob.subscribe(room);
    assert.deepEqual((await bob.event('subscribe')).data.map((one) => one.username), [ann.socketId.slice(0, 8), bob.socketId.slice(0, 8)]);
    const added = await ann.event('pushy:member-added');
    assert.equal(added.data.username, bob.socketId.slice(0, 8));
    bob.close();
    assert.deepEqual((await ann.event('pushy:member-quit')).data, added.data, 'with all that it said of itself');
    ann.unsubscribe(room);
    await ann.event('unsubscribe');
    assert.ok(!ann.isSubscribed(room) && ann.isSubscribed(channel));
    ann.close();
    await ann.event('disconnect');
    const told = ann.events.all.map(({ event }) => event);
    assert.deepEqual(told, ['connect', 'subscribe', 'news', 'subscribe', 'pushy:member-added', 'pushy:member-quit', 'unsubscribe', 'disconnect']);
    assert.deepEqual(ann.events.all.find((one) => one.event === 'news'), { event: 'news', channel, data: { title: 'hello world' } });
  });

  test(`Y-7.8 Y-5.8 a handler that refuses is asked five times over ${transport}`, async (t) => {
    const auth = await handler(t, { allow: () => false });
    const one = await client(t, transport, { auth: auth.url });
    one.subscribe('private-closed');
    assert.equal((await one.event('subscribe-error')).data, 'Invalid credentials');
    assert.equal(auth.forms.all.length, 5);
    assert.ok(!one.isSubscribed('private-closed'));
  });

  test(`Y-5.4 capitals of several applications over ${transport}`, async (t) => {
    const spellings = ['Hello', 'HELLO', 'hello'].map((name) => `${name}-${transport}`);
    const clients = [];
    for (const name of spellings) {
      const one = await client(t, transport);
      one.subscribe(name);
      await one.event('subscribe');
      clients.push(one);
    }
    assert.equal(await sdk.trigger(`hELLO-${transport}`, 'shout', { text: 'x' }), true);
    for (const [at, one] of clients.entries()) assert.equal((await one.event('shout')).channel, spellings[at]);
  });

  test(`Y-1.6 Y-4.4 events come once and in order over ${transport}`, async (t) => {
    const one = await client(t, transport);
    one.subscribe('count');
    await one.event('subscribe');
    for (let at = 0; at < 200; at += 1) assert.equal(await sdk.trigger('count', 'tick', { at }), true);
    for (let at = 0; at < 200; at += 1) assert.deepEqual((await one.event('tick')).data, { at });
  });

  test(`Y-2.4 S-5.10 a session outlives its responses over ${transport}`, async (t) => {
    const small = await startPushy(t, { sockjs: { response_limit: '4K' } });
    const one = await client(t, transport, { server: small });
    one.subscribe('big');
    await one.event('subscribe');
    for (let at = 0; at < 20; at += 1) {
      const { status } = await trigger(small, 'big', 'page', { at, text: 'é'.repeat(1500) });
      assert.equal(status, 201);
    }
    for (let at = 0; at < 20; at += 1) assert.equal((await one.event('page')).data.at, at);
    assert.ok(!one.events.all.some(({ event }) => event === 'disconnect'));
  });

  test(`S-8.5 S-7.8 a server that stops says so over ${transport}`, async (t) => {
    const short = await startPushy(t);
    const one = await client(t, transport, { server: short });
    one.subscribe('hello');
    await one.event('subscribe');
    short.signal('SIGTERM');
    assert.deepEqual((await one.event('disconnect')).data, { code: 3002, reason: 'Server shutting down' });
  });
}

test('Y-8.8 a polling client that is gone between two polls is missed after its delay', async (t) => {
  const quick = await startPushy(t, { sockjs: { disconnect_delay: 1 } });
  const watcher = await open(t, quick);
  await watcher.subscribe('private-room', '{"username":"watcher"}');
  const poller = await open(t, quick, 'xhr-polling');
  await poller.subscribe('private-room', '{"username":"poller"}');
  assert.equal((await watcher.message()).data.member.username, 'poller');
  poller.end();
  assert.equal((await watcher.message('pushy:presence-quit')).data.member.username, 'poller');
});

test('Y-6.9 the stand-in for the SDK encodes as PHP does', () => {
  // An empty list of PHP is a list; what its arrays with keys are in JavaScript follows from the text.
  for (const { name, json_encode: encoded, http_build_query: query } of vectors.php_encodings) {
    // JavaScript puts keys of digits first; the vectors of triggers have this one.
    if (name === 'intkey') continue;
    const value = JSON.parse(encoded);
    assert.equal(httpBuildQuery(value), query, name);
    assert.equal(jsonEncode(value), encoded, name);
  }
});

test('Y-6.9 Y-6.10 Y-6.15 what the SDK publishes arrives, or is refused where the form cannot say it', async (t) => {
  const peer = await open(t, server);
  await peer.subscribe('sdk');
  for (const { name, json_encode: encoded } of vectors.php_encodings.filter((one) => one.name !== 'intkey')) {
    const accepted = vectors.trigger.find((one) => one.name === `php sdk: ${name}`)?.tidings.status === 201;
    const value = JSON.parse(encoded);
    if (!accepted) {
      await assert.rejects(sdk.trigger('sdk', 'x', value), /Invalid credentials/, name);
      continue;
    }
    assert.equal(await sdk.trigger('sdk', 'x', value), true, name);
    const { data } = await peer.message('x');
    assert.deepEqual(data, name === 'empty' ? {} : value, name);
  }
  await peer.silent();
});

test('Y-6.15 channel and event go into the URL as they are', async (t) => {
  const peer = await open(t, server);
  for (const [channel, event] of [
    ['user@host', 'mail:new'],
    ["a:b;c,d!$&'()*+=", "e@f:g/h?i;j,k!$'()*"],
    ['Zoé', 'grüße'],
    ['|[]{}^\\', '|[]{}^`\\'],
  ]) {
    await peer.subscribe(channel);
    assert.equal(await sdk.trigger(channel, event, { n: 1 }), true, channel);
    const message = await peer.message(event);
    assert.equal(message.channel, channel);
    assert.deepEqual(message.data, { n: 1 });
  }
});

test('Y-6.12 the SDK leaves out who caused the event', async (t) => {
  const [one, other] = [await open(t, server), await open(t, server)];
  for (const peer of [one, other]) await peer.subscribe('Except');
  assert.equal(await sdk.trigger('Except', 'moved', { x: 'y' }, { socketId: one.socketId }), true);
  assert.equal((await other.message()).event, 'moved');
  await one.silent();
});

test('Y-7.3 Y-7.5 what the SDK signs lets in, but for capitals', async (t) => {
  const peer = await open(t, server);
  const members = [{ username: 'ann' }, { username: 'zoé', avatar: 'http://x/y.png' }, { q: 'a"b\\c/d', n: 5, t: true, z: null, l: [1, '2'] }, [], { bs: '\\/' }];
  for (const [at, member] of members.entries()) {
    const channel = `private-sdk-${at}`;
    const { auth, data } = sdk.authorize(peer.socketId, channel, member);
    const told = await peer.ask('subscribe', { channel, auth, data }, 'pushy:subscription-success');
    const { subscribed, memberId, idle, ...shown } = told.presence[0];
    assert.deepEqual(shown, Array.isArray(member) ? {} : member);
  }
  const { auth } = sdk.authorize(peer.socketId, 'Private-Room');
  assert.equal((await peer.ask('subscribe', { channel: 'Private-Room', auth }, 'pushy:subscription-failed')).reason, 'Invalid credentials');
});
