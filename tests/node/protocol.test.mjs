// Frames of the protocol as no library would send them: repeated, odd, refused. Bare sockets against the server.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { cleanup } from './support/cleanup.mjs';
import { RawSocket } from './support/raw_socket.mjs';
import { newApp, startServer } from './support/server.mjs';
import { channelAuth, request, userAuth } from './support/sign.mjs';

const server = await startServer({ after }, { app: newApp({ client_events: true, watchlist_events: true, subscription_count_events: true }) });
const api = server.api();

async function open(t, to = server) {
  const raw = await RawSocket.open(to);
  cleanup(t, () => raw.end());
  return raw;
}

/** Sends `message` and expects a `pusher:error` with code null, and a connection that lives on. */
async function nullError(raw, message) {
  raw.send(message);
  const error = await raw.message('pusher:error');
  assert.deepEqual(Object.keys(error.data).sort(), ['code', 'message']);
  assert.equal(error.data.code, null);
  await raw.settled();
  return error.data.message;
}

test('P-3.3 P-8.2 P-3.10 P-17.1: what is no message gets an error with code null', async (t) => {
  const raw = await open(t);
  const broken = [
    'not json', '[]', '"text"', '{}', '{"event":1}', '{"event":"unknown"}', '{"event":"pusher:nonsense","data":{}}',
    '{"event":"pusher:subscribe"}', '{"event":"pusher:subscribe","data":"text"}', '{"event":"pusher:subscribe","data":[]}',
    '{"event":"pusher_internal:member_added","channel":"c","data":{}}', '{"event":"news","channel":"c","data":{}}',
  ];
  for (const text of broken) await nullError(raw, text);
  assert.equal(raw.messages().length, broken.length);
});

test('P-3.1 P-3.2: unknown members are ignored and data may be a string of JSON', async (t) => {
  const raw = await open(t);
  raw.send({ id: 'x', event: 'pusher:subscribe', data: JSON.stringify({ channel: 'as-text', more: 1 }), extra: [] });
  await raw.message('pusher_internal:subscription_succeeded');
  raw.send({ event: 'pusher:ping' });
  await raw.message('pusher:pong');
});

test('P-3.4 P-3.5 P-5.5 P-5.6 P-3.7 P-3.9: the frames after a subscribe, exactly', async (t) => {
  const [first, second] = [await open(t), await open(t)];
  await first.subscribe('exact');
  await second.subscribe('cache-exact');
  await second.message('pusher:cache_miss');
  await first.settled();
  await second.settled();
  assert.deepEqual(first.messages(), [
    { event: 'pusher_internal:subscription_succeeded', channel: 'exact', data: '{}' },
    { event: 'pusher_internal:subscription_count', channel: 'exact', data: '{"subscription_count":1}' },
  ]);
  assert.deepEqual(second.messages(), [
    { event: 'pusher_internal:subscription_succeeded', channel: 'cache-exact', data: '{}' },
    { event: 'pusher:cache_miss', channel: 'cache-exact', data: '{}' },
    { event: 'pusher_internal:subscription_count', channel: 'cache-exact', data: '{"subscription_count":1}' },
  ]);
});

test('P-5.3: a repeated subscribe is an error and leaves the subscription', async (t) => {
  const raw = await open(t);
  await raw.subscribe('again');
  await nullError(raw, { event: 'pusher:subscribe', data: { channel: 'again' } });
  await api.trigger('again', 'e', 'once');
  await raw.message('e');
  assert.equal(raw.messages().filter((one) => one.event === 'pusher:subscription_error').length, 0);
});

test('P-5.10: leaving a channel one is not in is an error', async (t) => {
  await nullError(await open(t), { event: 'pusher:unsubscribe', data: { channel: 'never' } });
});

test('P-4.1 P-4.4 P-5.2: names that are not valid are refused with 400', async (t) => {
  const raw = await open(t);
  for (const channel of ['', 'a b', 'ä', 'a#b', '#other', 'a'.repeat(201), 'a/b', 'a:b']) {
    raw.send({ event: 'pusher:subscribe', data: { channel } });
    const refusal = await raw.message('pusher:subscription_error');
    assert.deepEqual([refusal.channel, refusal.data.type, refusal.data.status], [channel, 'InvalidChannel', 400]);
    assert.equal((await raw.message('pusher:error')).data.code, null);
  }
  await raw.subscribe('a'.repeat(200));
});

test('P-5.2 P-5.8 P-5.9 P-6.2 P-6.3 P-6.4: which signatures open a private channel', async (t) => {
  const raw = await open(t);
  const good = channelAuth(server.app, raw.socketId, 'private-sig');
  const wrong = {
    none: undefined, empty: '', number: 5, 'no colon': good.replace(':', ''), 'another key': good.replace(server.app.key, 'other'),
    'upper case': good.slice(0, server.app.key.length) + good.slice(server.app.key.length).toUpperCase(),
    'another channel': channelAuth(server.app, raw.socketId, 'private-other'),
    'another socket': channelAuth(server.app, '1.1', 'private-sig'),
    'channel_data that was not sent': channelAuth(server.app, raw.socketId, 'private-sig', '{}'),
  };
  for (const [name, auth] of Object.entries(wrong)) {
    raw.send({ event: 'pusher:subscribe', data: { channel: 'private-sig', auth } });
    const refusal = await raw.message('pusher:subscription_error');
    assert.deepEqual([refusal.data.type, refusal.data.status], ['AuthError', 401], name);
    const { message } = (await raw.message('pusher:error')).data;
    assert.match(message, /private-sig/);
    assert.ok(!message.includes(server.app.secret) && !message.includes(good.split(':')[1]), name);
  }
  await raw.subscribe('private-sig', '{"signed":"too"}');
});

test('P-7.1 P-7.2 P-18.7 P-18.8: which presence members are taken', async (t) => {
  const raw = await open(t);
  const wrong = ['no json', '[]', '{}', '{"user_id":""}', '{"user_id":null}', '{"user_id":1.5}', '{"user_id":true}', '{"user_id":{}}',
    JSON.stringify({ user_id: 'x'.repeat(129) }), '{"user_id":"a","user_info":"text"}', JSON.stringify({ user_id: 'a', user_info: { x: 'x'.repeat(1_024) } })];
  for (const data of wrong) {
    raw.send({ event: 'pusher:subscribe', data: { channel: 'presence-valid', auth: channelAuth(server.app, raw.socketId, 'presence-valid', data), channel_data: data } });
    const refusal = await raw.message('pusher:subscription_error');
    assert.deepEqual([refusal.data.type, refusal.data.status], ['InvalidMember', 400], data);
    await raw.message('pusher:error');
  }
  const { presence } = JSON.parse((await raw.subscribe('presence-valid', '{"user_id":12345678901234567890,"user_info":null,"more":1}')).data);
  assert.deepEqual(presence, { ids: ['12345678901234567890'], hash: { '12345678901234567890': null }, count: 1 });
});

test('P-7.6 P-18.6: a presence channel is full at its limit, but not for its members', async (t) => {
  const to = await startServer(t, { app: newApp({ limits: { presence_members: 2 } }) });
  const raws = await Promise.all(Array.from({ length: 4 }, () => open(t, to)));
  await raws[0].subscribe('presence-full', '{"user_id":"a"}');
  await raws[1].subscribe('presence-full', '{"user_id":"b"}');
  const data = '{"user_id":"c"}';
  raws[2].send({ event: 'pusher:subscribe', data: { channel: 'presence-full', auth: channelAuth(to.app, raws[2].socketId, 'presence-full', data), channel_data: data } });
  const refusal = await raws[2].message('pusher:subscription_error');
  assert.deepEqual([refusal.data.type, refusal.data.status], ['LimitReached', 4100]);
  await raws[3].subscribe('presence-full', '{"user_id":"a"}');
});

test('P-7.3 P-7.4 P-7.7: new user_info of a member is for later joiners, without an event', async (t) => {
  const [one, two, three] = [await open(t), await open(t), await open(t)];
  await one.subscribe('presence-info', '{"user_id":"a","user_info":{"v":1}}');
  await two.subscribe('presence-info', '{"user_id":"a","user_info":{"v":2}}');
  const { presence } = JSON.parse((await three.subscribe('presence-info', '{"user_id":"b"}')).data);
  assert.deepEqual(presence.hash, { a: { v: 2 }, b: null });
  assert.deepEqual(JSON.parse((await one.message('pusher_internal:member_added')).data), { user_id: 'b' });
  await one.settled();
  assert.equal(one.messages().filter((event) => event.event === 'pusher_internal:member_added').length, 1);
});

test('P-7.5 P-15.4: without channel_data a presence channel takes the signed-in user', async (t) => {
  const raw = await open(t);
  await raw.signin({ id: 'me', user_info: { name: 'Me' } });
  const { presence } = JSON.parse((await raw.subscribe('presence-signed-in')).data);
  assert.deepEqual(presence, { ids: ['me'], hash: { me: { name: 'Me' } }, count: 1 });
});

test('P-8.1 P-8.3 P-18.2: client events that are refused, and the frame of one that is not', async (t) => {
  const [sender, reader] = [await open(t), await open(t)];
  await sender.subscribe('public-no');
  await sender.subscribe('presence-talk', '{"user_id":"me"}');
  await reader.subscribe('presence-talk', '{"user_id":"you"}');
  const refused = [
    { event: 'client-x', data: 1 }, { event: 'client-x', channel: 'presence-talk' }, { event: 'client-x', channel: 'public-no', data: 1 },
    { event: 'client-x', channel: 'private-not-in', data: 1 }, { event: `client-${'x'.repeat(194)}`, channel: 'presence-talk', data: 1 },
    { event: 'client-x', channel: 'presence-talk', data: 'x'.repeat(10_241) },
  ];
  for (const message of refused) await nullError(sender, message);
  const sent = [[null, 'null'], ['text', 'text'], [{ a: [1, 'ö'] }, '{"a":[1,"ö"]}'], ['x'.repeat(10_240), 'x'.repeat(10_240)]];
  for (const [data, text] of sent) {
    sender.send({ event: 'client-x', channel: 'presence-talk', data, user_id: 'forged', more: 1 });
    assert.deepEqual(await reader.message('client-x'), { event: 'client-x', channel: 'presence-talk', data: text, user_id: 'me' });
  }
});

test('P-8.1: client events are refused where the app has not enabled them', async (t) => {
  const to = await startServer(t, { app: newApp() });
  const raw = await open(t, to);
  await raw.subscribe('private-off');
  await nullError(raw, { event: 'client-x', channel: 'private-off', data: 1 });
});

test('P-8.5: client events fill no cache', async (t) => {
  const [sender, reader] = [await open(t), await open(t)];
  await sender.subscribe('private-cache-talk');
  await reader.subscribe('private-cache-talk');
  sender.send({ event: 'client-x', channel: 'private-cache-talk', data: 1 });
  await reader.message('client-x');
  const late = await open(t);
  await late.subscribe('private-cache-talk');
  await late.message('pusher:cache_miss');
});

test('P-15.1 P-15.2 P-18.9: sign-ins that are refused keep the connection and the former user', async (t) => {
  const raw = await open(t);
  await raw.signin({ id: 'first' });
  for (const user of ['text', '[]', '{}', '{"id":1}', '{"id":""}', JSON.stringify({ id: 'x'.repeat(201) }), '{"id":"second"}']) {
    await nullError(raw, { event: 'pusher:signin', data: { auth: userAuth(server.app, raw.socketId, user), user_data: user } });
  }
  await nullError(raw, { event: 'pusher:signin', data: { auth: userAuth(server.app, '1.2', '{"id":"first"}'), user_data: '{"id":"first"}' } });
  await nullError(raw, { event: 'pusher:signin', data: { user_data: '{"id":"first"}' } });
  const again = await raw.signin({ id: 'first', user_info: { n: 2 } });
  assert.equal(JSON.parse(again.data).user_data, '{"id":"first","user_info":{"n":2}}');
  await raw.subscribe('#server-to-user-first');
});

test('P-15.6 P-5.2: the channel of a user is for that user alone', async (t) => {
  const raw = await open(t);
  for (const user of [undefined, { id: 'mallory' }]) {
    if (user) await raw.signin(user);
    raw.send({ event: 'pusher:subscribe', data: { channel: '#server-to-user-alice', auth: channelAuth(server.app, raw.socketId, '#server-to-user-alice') } });
    const refusal = await raw.message('pusher:subscription_error');
    assert.deepEqual([refusal.data.type, refusal.data.status], ['AuthError', 401]);
    await raw.message('pusher:error');
  }
});

test('P-15.7: a user with an id outside the alphabet can sign in, but has no channel', async (t) => {
  const raw = await open(t);
  await raw.signin({ id: 'äöü' });
  raw.send({ event: 'pusher:subscribe', data: { channel: '#server-to-user-äöü' } });
  assert.equal((await raw.message('pusher:subscription_error')).data.status, 400);
});

test('P-15.8 P-18.10: of a watchlist too long the first hundred count and 4302 is told', async (t) => {
  const raw = await open(t);
  await raw.signin({ id: 'long', watchlist: Array.from({ length: 101 }, (_, n) => `friend-${n}`) });
  assert.equal((await raw.message('pusher:error')).data.code, 4302);
  const { events } = JSON.parse((await raw.message('pusher_internal:watchlist_events')).data);
  assert.deepEqual(events.map((one) => [one.name, one.user_ids.length]), [['offline', 100]]);
  await raw.settled();
});

test('P-3.8 P-5.4 P-18.4: events of one publisher arrive in order, on a hundred channels at once', async (t) => {
  const raw = await open(t);
  const channels = Array.from({ length: 100 }, (_, n) => `many-${n}`);
  for (const channel of channels) await raw.subscribe(channel);
  for (let n = 0; n < 20; n++) assert.equal((await request(server, 'POST', `/apps/${server.app.id}/events`, { body: { name: 'e', data: String(n), channels } })).status, 200);
  for (let n = 0; n < 20; n++) {
    const seen = new Set();
    for (let m = 0; m < 100; m++) {
      const event = await raw.message('e');
      assert.equal(event.data, String(n));
      seen.add(event.channel);
    }
    assert.equal(seen.size, 100);
  }
  const tooMany = { name: 'e', data: 'x', channels: [...channels, 'many-100'] };
  assert.equal((await request(server, 'POST', `/apps/${server.app.id}/events`, { body: tooMany })).status, 400);
});

test('P-5.7 P-5.11: a connection holds many channels and leaves them all when it ends', async (t) => {
  const raw = await open(t);
  for (let n = 0; n < 300; n++) await raw.subscribe(`held-${n}`);
  const watcher = await open(t);
  await watcher.subscribe('held-299');
  await watcher.message('pusher_internal:subscription_count', (one) => one.data === '{"subscription_count":2}');
  raw.end();
  await watcher.message('pusher_internal:subscription_count', (one) => one.data === '{"subscription_count":1}');
  const { channels } = await (await api.get({ path: '/channels', params: { filter_by_prefix: 'held-' } })).json();
  assert.deepEqual(Object.keys(channels), ['held-299']);
});

test('P-1.1: apps share nothing, not even a channel of the same name', async (t) => {
  const two = await startServer(t, { apps: [newApp(), newApp()] });
  const [mine, theirs] = [await RawSocket.open(two), await RawSocket.open(two, two.path(undefined, two.apps[1].key))];
  cleanup(t, () => [mine, theirs].forEach((raw) => raw.end()));
  await mine.subscribe('same');
  await theirs.subscribe('same');
  const publish = (app, data) => request(two, 'POST', `/apps/${app.id}/events`, { app, body: { name: 'e', data, channels: ['same'] } });
  assert.equal((await publish(two.apps[0], 'for mine')).status, 200);
  assert.equal((await publish(two.apps[1], 'for theirs')).status, 200);
  assert.equal((await theirs.message('e')).data, 'for theirs');
  assert.equal((await mine.message('e')).data, 'for mine');
  const crossed = await request(two, 'POST', `/apps/${two.apps[1].id}/events`, { app: two.apps[0], body: { name: 'e', data: 'x', channels: ['same'] } });
  assert.equal(crossed.status, 401);
});

test('P-2.2: parameters that nobody knows are ignored', async () => {
  const raw = await RawSocket.open(server, server.path('flash=false&n=1&version=&protocol=7&t=5&client=&x=%ff%00&protocol-x=1'));
  raw.end();
});

test('P-3.6 P-3.11 P-5.1: on a public channel auth is ignored, and no name of the client libraries is ever sent', async (t) => {
  const raw = await open(t);
  raw.send({ event: 'pusher:subscribe', data: { channel: 'ignores-auth', auth: 'nonsense', channel_data: '{"user_id":5}' } });
  await raw.message('pusher_internal:subscription_succeeded');
  await raw.subscribe('presence-names', '{"user_id":"n"}');
  raw.send({ event: 'pusher:unsubscribe', data: { channel: 'ignores-auth', more: 1 } });
  await raw.signin({ id: 'names' });
  await raw.settled();
  const internal = ['pusher:subscription_succeeded', 'pusher:subscription_count', 'pusher:member_added', 'pusher:member_removed', 'pusher:signin_error'];
  assert.deepEqual(raw.messages().filter((one) => internal.includes(one.event)), []);
});

test('P-4.2 P-4.3: the prefix decides what a channel asks for', async (t) => {
  const raw = await open(t);
  for (const channel of ['privateroom', 'presenceroom', 'Private-room', 'x-private-room', 'encrypted-room', 'cachet']) await raw.subscribe(channel);
  for (const channel of ['private-', 'private-encrypted-x', 'private-cache-x', 'presence-x', 'presence-cache-x']) {
    raw.send({ event: 'pusher:subscribe', data: { channel } });
    assert.equal((await raw.message('pusher:subscription_error')).data.status, 401, channel);
  }
  for (const channel of ['cache-x', 'private-cache-x', 'private-encrypted-cache-x']) {
    await raw.subscribe(channel);
    await raw.message('pusher:cache_miss', (one) => one.channel === channel);
  }
  await raw.subscribe('presence-cache-x', '{"user_id":"u"}');
  await raw.message('pusher:cache_miss', (one) => one.channel === 'presence-cache-x');
});

test('P-9.4 P-9.6: an encrypted channel takes client events and anything as its data', async (t) => {
  const [sender, reader] = [await open(t), await open(t)];
  for (const one of [sender, reader]) await one.subscribe('private-encrypted-talk');
  sender.send({ event: 'client-x', channel: 'private-encrypted-talk', data: 'sealed' });
  assert.deepEqual(await reader.message('client-x'), { event: 'client-x', channel: 'private-encrypted-talk', data: 'sealed' });
  await api.post({ path: '/events', body: { name: 'odd', data: ' {"nonce" : "?"} ', channels: ['private-encrypted-talk'] } });
  assert.equal((await reader.message('odd')).data, ' {"nonce" : "?"} ');
  await assert.rejects(api.post({ path: '/events', body: { name: 'e', data: 'x'.repeat(10_241), channels: ['private-encrypted-talk'] } }), (error) => error.status === 413);
});

test('P-13.2 P-18.13 P-18.20: a cached event lives as long as the app says', async (t) => {
  const to = await startServer(t, { app: newApp({ limits: { cache_ttl: '1 s' } }) });
  await to.api().trigger('cache-short', 'e', 'd');
  const fresh = await open(t, to);
  await fresh.subscribe('cache-short');
  await fresh.message('e');
  const path = `/apps/${to.app.id}/channels/cache-short`;
  const end = Date.now() + 15_000;
  while (JSON.parse((await request(to, 'GET', path, { params: { info: 'cache' } })).text).cache !== null) assert.ok(Date.now() < end, 'the event outlived its second');
  const late = await open(t, to);
  await late.subscribe('cache-short');
  await late.message('pusher:cache_miss');
});

test('P-14.3 P-18.16: above a hundred subscribers counts are collected', async (t) => {
  const watcher = await open(t);
  await watcher.subscribe('crowd');
  for (let n = 2; n <= 110; n++) await (await open(t)).subscribe('crowd');
  const count = async (n) => watcher.message('pusher_internal:subscription_count', (one) => one.data === `{"subscription_count":${n}}`);
  await count(100);
  await count(110);
  const above = watcher.messages().filter((one) => one.event.endsWith('count')).map((one) => JSON.parse(one.data).subscription_count).filter((n) => n > 100);
  assert.ok(above.length <= 3, `collected counts: ${above}`);
});
