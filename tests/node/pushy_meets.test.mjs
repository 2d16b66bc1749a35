// Pushy beside Pusher and Pushi on one app: the same channels, each event in everybody's own words.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { cleanup } from './support/cleanup.mjs';
import { PREFIX, TRANSPORTS, ask, connect, open as openPushy, post, seconds, sha256, subscriptionAuth, trigger, triggerKey } from './support/pushy.mjs';
import { login, open as openPushi, pushiApp, refusal, rest, silent, subscribe as subscribePushi } from './support/pushi.mjs';
import { RawSocket } from './support/raw_socket.mjs';
import { newApp, startServer } from './support/server.mjs';
import { channelAuth, request } from './support/sign.mjs';

const app = pushiApp({ client_events: true });
const server = await startServer(
  { after },
  { app, listener: { dialects: ['pusher', 'pushi', 'pushi-api', 'pushy'] }, settings: { store: { url: 'memory:' }, pushy: [{ app: app.id, sockjs: { prefix: PREFIX } }] } },
);
const sid = await login(server);
const api = server.api();

async function openPusher(t) {
  const raw = await RawSocket.open(server, server.path());
  cleanup(t, () => raw.end());
  return raw;
}

/** A subscriber of each dialect on one channel, Pushy's in this spelling. */
async function everybody(t, channel, spelled = channel) {
  const [pusher, pushi, pushy] = [await openPusher(t), await openPushi(t, server), await openPushy(t, server)];
  await pusher.subscribe(channel);
  await subscribePushi(pushi, channel);
  await pushy.subscribe(spelled);
  return { pusher, pushi, pushy };
}

// What is published, as JSON; as text to the byte; and what each is told: Pusher and Pushi a string, Pushy the value.
const DATA = [
  [{ text: 'hi', n: 1 }, '{"text":"hi","n":1}'],
  [[1, 'a', null], '[1,"a",null]'],
  [{ b: 1, 7: 'x' }, '{"7":"x","b":1}'],
];

test('design 8: a trigger reaches Pusher and Pushi as text', async (t) => {
  const { pusher, pushi, pushy } = await everybody(t, 'news');
  for (const [data, text] of DATA) {
    assert.equal((await trigger(server, 'news', 'out', data)).status, 201);
    assert.equal((await pusher.frames.next(({ message }) => message?.event === 'out')).text, JSON.stringify({ event: 'out', channel: 'news', data: text }));
    assert.equal((await pushi.message('out')).data, text);
    assert.equal(await pushy.text(), `{"event":"out","channel":"news","data":${text}}`);
  }
});

test('design 8: what other dialects publish reaches Pushy as the value that the text is, else as the text', async (t) => {
  const { pushy } = await everybody(t, 'values');
  const expected = async (name, data) => assert.equal(await pushy.text(), `{"event":"${name}","channel":"values","data":${data}}`);
  for (const [published, data] of [
    ['{"a": [1, 2.50, "x"]}', '{"a": [1, 2.50, "x"]}'],
    ['plain text', '"plain text"'],
    ['"quoted"', '"quoted"'],
    ['12', '12'],
    ['null', 'null'],
    ['', '""'],
    ['{"cut":', '"{\\"cut\\":"'],
    ['a "b" \\ / \u0001 é 😀', '"a \\"b\\" \\\\ / \\u0001 é 😀"'],
  ]) {
    const { status } = await request(server, 'POST', `/apps/${app.id}/events`, { body: { name: 'api', channel: 'values', data: published } });
    assert.equal(status, 200, published);
    await expected('api', data);
    // Pushi takes an event without data for a mistake.
    if (published === '') continue;
    await rest(server, 'POST', '/events', { query: { sid }, json: { event: 'rest', channel: 'values', data: published, persist: false } });
    await expected('rest', data);
  }
  await rest(server, 'POST', '/events', { query: { sid }, json: { event: 'stored', channel: 'values', data: { kept: true } } });
  await expected('stored', '{"kept":true}');
});

test('design 8: client events of Pusher and Pushi reach Pushy; Pushy has none', async (t) => {
  const { pusher, pushi, pushy } = await everybody(t, 'private-talk');
  pusher.send({ event: 'client-typing', channel: 'private-talk', data: { who: 'p' } });
  assert.equal(await pushy.text(), '{"event":"client-typing","channel":"private-talk","data":{"who":"p"}}');
  assert.equal((await pushi.message('client-typing')).data, '{"who":"p"}');
  pushi.send({ event: 'said', channel: 'private-talk', data: 'words', persist: false });
  assert.equal(await pushy.text(), '{"event":"said","channel":"private-talk","data":"words"}');
  assert.equal((await pusher.message('said')).data, 'words');
  await pushy.send({ event: 'client-typing', channel: 'private-talk', data: {} });
  await pushy.silent();
  await pusher.settled();
  assert.deepEqual(pusher.messages().filter((one) => one.event === 'client-typing'), []);
});

test('Y-1.4 Y-5.4 design 8: Pushy is told in each one\'s spelling, and knows nothing of channels with capitals', async (t) => {
  const { pusher, pushy } = await everybody(t, 'hello', 'Hello');
  const spellings = [['HELLO', 'websocket'], ['hello', 'xhr-streaming'], ['hElLo', 'xhr-polling'], ['heLLo', 'websocket-raw']];
  const peers = [['Hello', pushy]];
  for (const [spelled, transport] of spellings) {
    const peer = await openPushy(t, server, transport);
    await peer.subscribe(spelled);
    peers.push([spelled, peer]);
  }
  await api.trigger('hello', 'm', { n: 1 });
  for (const [spelled, peer] of peers) assert.equal(await peer.text(), `{"event":"m","channel":"${spelled}","data":{"n":1}}`);
  assert.equal((await pusher.message('m')).channel, 'hello');
  const capital = await openPusher(t);
  await capital.subscribe('Hello');
  await api.trigger('Hello', 'unheard', {});
  await capital.message('unheard');
  for (const [, peer] of peers) await peer.silent();
  // Pushy's own trigger means the channel in lower case, however it is written.
  await trigger(server, 'HELLO', 'again', {});
  assert.equal((await pusher.message('again')).channel, 'hello');
  await capital.settled();
  assert.ok(!capital.messages().some((one) => one.event === 'again'));
});

// The whole matrix: what needs proof in one dialect needs it in all (design 8).
for (const [channel, needsProof] of [
  ['news', false],
  ['cache-news', false],
  ['private-x', true],
  ['private-cache-x', true],
  ['presence-x', true],
  ['personal-u', true],
  ['peer-room:a&b', true],
  ['#server-to-user-u', undefined],
]) {
  test(`design 8 Y-1.5: without credentials ${channel} is ${needsProof === false ? 'open' : 'refused'} in every dialect`, async (t) => {
    for (const transport of [...TRANSPORTS, 'websocket-raw']) {
      const pushy = await openPushy(t, server, transport);
      for (const spelled of [channel, channel.toUpperCase()]) {
        await pushy.command('subscribe', { channel: spelled });
        const { event, data } = await pushy.message();
        if (needsProof === undefined) assert.deepEqual([event, data.code], ['pushy:error', '301']);
        else if (needsProof) assert.deepEqual([event, data], ['pushy:subscription-needauth', { channel: spelled }]);
        else if (spelled === channel) assert.equal(event, 'pushy:subscription-success');
        for (const auth of ['0'.repeat(64), `${app.key}:${'0'.repeat(64)}`, app.secret]) {
          if (!needsProof) continue;
          const { reason } = await pushy.ask('subscribe', { channel: spelled, auth }, 'pushy:subscription-failed');
          assert.equal(reason, 'Invalid credentials');
        }
      }
      pushy.end();
    }
    const pushi = await openPushi(t, server);
    pushi.send({ event: 'pusher:subscribe', data: { channel } });
    if (needsProof === false) await pushi.message('pusher_internal:subscription_succeeded');
    else assert.ok([400, 401, 403].includes((await refusal(pushi)).code));
    const pusher = await openPusher(t);
    pusher.send({ event: 'pusher:subscribe', data: { channel } });
    const { event } = await pusher.message();
    assert.equal(event === 'pusher_internal:subscription_succeeded', needsProof === false, event);
  });
}

test('design 8: with Pushy\'s signature every channel that needs proof opens to Pushy, for reading', async (t) => {
  for (const channel of ['private-x', 'presence-x', 'personal-u', 'peer-room:a&b']) {
    const pushy = await openPushy(t, server);
    const success = await pushy.subscribe(channel.toUpperCase(), '{"user_id":"u"}');
    assert.equal(success.channel, channel.toUpperCase());
    // Members of presence channels are users, which Pushy's clients are not.
    assert.equal(success.presence !== undefined, channel === 'private-x', channel);
    assert.equal((await trigger(server, channel, 'm', { to: channel })).status, 201);
    assert.deepEqual((await pushy.message('m')).data, { to: channel });
  }
  const watcher = await openPusher(t);
  const { data } = await watcher.subscribe('presence-x', '{"user_id":"w"}');
  assert.deepEqual(JSON.parse(data).presence.ids, ['w'], 'Pushy is no member there');
});

test('design 8: a signature of one dialect opens nothing in another', async (t) => {
  const pusher = await openPusher(t);
  const pushy = await openPushy(t, server);
  const auth = channelAuth(app, pushy.socketId, 'private-x');
  for (const one of [auth, auth.split(':')[1]]) {
    const { reason } = await pushy.ask('subscribe', { channel: 'private-x', auth: one }, 'pushy:subscription-failed');
    assert.equal(reason, 'Invalid credentials');
  }
  // Nor does what Pushy's handler signs for its own connection open the channel to Pusher.
  const signed = sha256(`${pusher.socketId}:private-x:${app.secret}`);
  pusher.send({ event: 'pusher:subscribe', data: { channel: 'private-x', auth: `${app.key}:${signed}` } });
  assert.notEqual((await pusher.message()).event, 'pusher_internal:subscription_succeeded');
});

test('Y-8.1 design 8: who is there by Pushy is shown to Pushy alone', async (t) => {
  const pusher = await openPusher(t);
  await pusher.subscribe('private-lounge');
  const pushi = await openPushi(t, server);
  await subscribePushi(pushi, 'private-lounge');
  const ann = await openPushy(t, server);
  // Pusher's and Pushi's subscribers were there before; they are not on the roll, and do not keep it shut.
  const { presence } = await ann.subscribe('Private-Lounge', '{"username":"ann"}');
  assert.deepEqual(presence.map((one) => one.username), ['ann']);
  const bob = await openPushy(t, server);
  await bob.subscribe('private-lounge', '{"username":"bob"}');
  const added = await ann.message();
  assert.deepEqual([added.event, added.channel, added.data.member.username], ['pushy:presence-add', 'Private-Lounge', 'bob']);
  const late = await openPusher(t);
  await late.subscribe('private-lounge');
  await late.settled();
  bob.end();
  assert.equal((await ann.message()).event, 'pushy:presence-quit');
  await ann.silent();
  await pusher.settled();
  await silent(pushi);
  assert.deepEqual(pusher.messages().filter((one) => one.event !== 'pusher_internal:subscription_succeeded'), []);
});

test('design 8: a UUID of Pushy leaves one out in all APIs; its connections count as subscribers', async (t) => {
  const [one, other] = [await openPushy(t, server), await openPushy(t, server)];
  for (const peer of [one, other]) await peer.subscribe('counted');
  // The library of the field knows Pusher's form of ids alone.
  const body = { name: 'm', channel: 'counted', data: '{}', socket_id: one.socketId };
  assert.equal((await request(server, 'POST', `/apps/${app.id}/events`, { body })).status, 200);
  assert.equal((await other.message()).event, 'm');
  await one.silent();
  const answer = await api.get({ path: '/channels/counted', params: { info: 'subscription_count' } });
  assert.deepEqual(await answer.json(), { occupied: true, subscription_count: 2 });
  const listed = await (await api.get({ path: '/channels', params: { filter_by_prefix: 'counted' } })).json();
  assert.deepEqual(Object.keys(listed.channels), ['counted']);
  const { body: sockets } = await rest(server, 'GET', '/sockets', { query: { sid } });
  const found = JSON.stringify(sockets);
  for (const peer of [one, other]) assert.ok(found.includes(peer.socketId), found);
  assert.equal((await trigger(server, 'counted', 'n', {}, { socketId: other.socketId })).status, 201);
  assert.equal((await one.message()).event, 'n');
  await other.silent();
});

test('design 8 Y-6.13: reserved names of every dialect are refused by every publisher', async (t) => {
  const peer = await openPushy(t, server);
  await peer.subscribe('forged');
  const names = ['pushy:connect', 'pushy:error', 'pushy:subscription-needauth', 'pushy:subscription-success', 'pushy:subscription-failed', 'pushy:subscription-end', 'pushy:presence-add', 'pushy:presence-quit', 'pusher:error', 'pusher_internal:x', 'tidings:gap'];
  for (const name of names) {
    const answer = await trigger(server, 'forged', name, {});
    assert.deepEqual([answer.status, answer.body.error], [400, { code: '400', message: 'Reserved event name' }], name);
    const { status } = await request(server, 'POST', `/apps/${app.id}/events`, { body: { name, channel: 'forged', data: 'x' } });
    assert.equal(status, 400, name);
    assert.equal((await rest(server, 'POST', '/events', { query: { sid }, json: { event: name, channel: 'forged', data: 'x' } })).status, 400, name);
  }
  await peer.silent();
  // Others that begin with pushy: are the SDK's to send.
  assert.equal((await trigger(server, 'forged', 'pushy:custom', {})).status, 201);
  assert.equal((await peer.message()).event, 'pushy:custom');
});

test('design 4: a trigger fills the cache of a cache channel', async (t) => {
  assert.equal((await trigger(server, 'cache-prices', 'price', { eur: 1 })).status, 200);
  const pusher = await openPusher(t);
  await pusher.subscribe('cache-prices');
  assert.equal((await pusher.message('price')).data, '{"eur":1}');
});

test('design 11: apps with sections of their own share nothing, also on one listener', async (t) => {
  const [one, other] = [pushiApp(), pushiApp()];
  const dialects = ['pusher', 'pushy:one', 'pushy:other'];
  const sections = [['one', one], ['other', other]].map(([name, { id }]) => ({ name, app: id, sockjs: { prefix: `/${name}/socket` } }));
  const both = await startServer(t, { apps: [one, other], listener: { dialects }, settings: { pushy: sections } });
  const at = (name, owner) => openPushy(t, Object.assign(Object.create(both), { app: owner }), 'websocket', { prefix: `/${name}/socket` });
  const [mine, theirs] = [await at('one', one), await at('other', other)];
  for (const peer of [mine, theirs]) await peer.subscribe('private-room');
  const crossed = await at('one', other);
  await crossed.command('subscribe', { channel: 'private-room', auth: subscriptionAuth(crossed, 'private-room') });
  assert.equal((await crossed.message()).data.reason, 'Invalid credentials');
  // The trigger's path names no section: whose secret signed is meant.
  assert.equal((await trigger(both, 'private-room', 'm', { of: 'other' }, { secret: other.secret })).status, 201);
  assert.deepEqual((await theirs.message()).data, { of: 'other' });
  await mine.silent();
  assert.equal((await trigger(both, 'private-room', 'm', { of: 'one' }, { secret: one.secret })).status, 201);
  assert.deepEqual((await mine.message()).data, { of: 'one' });
  await theirs.silent();
  assert.equal((await trigger(both, 'private-room', 'm', {}, { secret: 'neither' })).status, 403);
  // Without Pushi, too, Pusher's API knows Pushy's ids.
  const body = { name: 'n', channel: 'private-room', data: '{}', socket_id: mine.socketId };
  assert.equal((await request(both, 'POST', `/apps/${one.id}/events`, { body, app: one })).status, 200);
  await mine.silent();
});

test('design 7 P-2.9: a listener\'s prefix stands before both paths of Pushy, where it is given', async (t) => {
  const own = newApp();
  const below = await startServer(t, { app: own, listener: { dialects: ['pushy'], path_prefix: '/x' }, settings: { pushy: [{ app: own.id }] } });
  for (const prefix of ['/x', '']) {
    const peer = await openPushy(t, below, 'websocket', { prefix: prefix + PREFIX });
    await peer.subscribe('hello');
    const timestamp = seconds();
    const parameters = { event: 'm', timestamp, auth_key: triggerKey('hello', 'm', timestamp, '{}', own.secret) };
    assert.equal((await post(below, 'hello', parameters, { path: `${prefix}/pushy/channel/hello/trigger` })).status, 201);
    assert.equal((await peer.message()).event, 'm');
    assert.equal((await ask(below, 'POST', `/y${prefix}/pushy/channel/hello/trigger?event=m`)).status, 404);
  }
});

test('design 8: an app that lists its dialects without Pushy is not spoken to in it', async (t) => {
  const [own, other] = [newApp({ dialects: ['pusher'] }), newApp({ dialects: ['pushy'] })];
  const sections = [{ name: 'own', app: own.id, sockjs: { prefix: '/own' } }, { name: 'other', app: other.id, sockjs: { prefix: '/other' } }];
  const both = await startServer(t, { apps: [own, other], listener: { dialects: ['pusher', 'pushy:own', 'pushy:other'] }, settings: { pushy: sections } });
  for (const transport of [...TRANSPORTS, 'websocket-raw']) {
    const refused = await connect(t, both, transport, { prefix: '/own' });
    assert.deepEqual(await refused.close(), { code: 4001, reason: 'The application is disabled' }, transport);
    assert.deepEqual(refused.messages.all, []);
  }
  assert.equal((await trigger(both, 'hello', 'm', {}, { secret: own.secret })).status, 403, 'nor published to by its secret');
  const peer = await openPushy(t, both, 'websocket', { prefix: '/other' });
  await peer.subscribe('hello');
  assert.equal((await trigger(both, 'hello', 'm', {}, { secret: other.secret })).status, 201);
  const pusher = await RawSocket.connect(both, `/app/${other.key}?protocol=7`);
  cleanup(t, () => pusher.end());
  assert.equal((await pusher.message()).event, 'pusher:error');
});
