// The official JavaScript client, pusher-js 8, in Node.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { balancer } from './support/balancer.mjs';
import { authEndpoint } from './support/http_peer.mjs';
import { MASTER_KEY, connect, connected, subscribe } from './support/pusher_js.mjs';
import { newApp, startServer } from './support/server.mjs';
import { request } from './support/sign.mjs';
import { Inbox } from './support/wait.mjs';

const server = await startServer({ after }, { app: newApp({ client_events: true, watchlist_events: true, subscription_count_events: true }) });
const api = server.api();

test('P-20.1 P-2.1 P-2.5 P-2.6: it connects and knows its socket id', async (t) => {
  const client = await connected(t, server);
  assert.match(client.connection.socket_id, /^[0-9]+\.[0-9]+$/);
  const other = await connected(t, server);
  assert.notEqual(client.connection.socket_id, other.connection.socket_id);
});

test('P-5.5 P-11.1 P-20.2 P-20.3: a public channel delivers text and JSON as published', async (t) => {
  const client = await connected(t, server);
  const channel = await subscribe(client, 'public-news');
  await api.trigger('public-news', 'App\\Events\\Posted', { title: 'tidings', tags: ['a', 'ö', '😀'] });
  await api.trigger('public-news', 'plain', 'just text');
  await api.trigger('public-news', 'empty', '');
  assert.deepEqual((await channel.inbox.next((one) => one.name === 'App\\Events\\Posted')).data, { title: 'tidings', tags: ['a', 'ö', '😀'] });
  assert.equal((await channel.inbox.next((one) => one.name === 'plain')).data, 'just text');
  assert.equal((await channel.inbox.next((one) => one.name === 'empty')).data, '');
});

test('P-5.10 P-1.3: after an unsubscribe nothing more comes and the channel is gone', async (t) => {
  const client = await connected(t, server);
  const left = await subscribe(client, 'public-left');
  const kept = await subscribe(client, 'public-kept');
  client.unsubscribe('public-left');
  const witness = new Inbox('fence');
  kept.bind('fence', (data) => witness.push(data));
  // Requests of one connection are handled in order, so a later subscribe proves that the channel has been left.
  await subscribe(client, 'public-after');
  await api.trigger(['public-left', 'public-kept'], 'fence', 1);
  await witness.next();
  assert.deepEqual(left.inbox.all.filter((one) => one.name === 'fence'), []);
  const { channels } = await (await api.get({ path: '/channels', params: { filter_by_prefix: 'public-' } })).json();
  assert.ok(!('public-left' in channels) && 'public-kept' in channels, JSON.stringify(channels));
});

test('P-11.3: the connection named by socket_id is left out', async (t) => {
  const [sender, reader] = [await connected(t, server), await connected(t, server)];
  const [own, others] = [await subscribe(sender, 'public-except'), await subscribe(reader, 'public-except')];
  await api.trigger('public-except', 'said', 'hello', { socket_id: sender.connection.socket_id });
  await api.trigger('public-except', 'fence', 'end');
  assert.equal((await others.inbox.next((one) => one.name === 'said')).data, 'hello');
  await own.inbox.next((one) => one.name === 'fence');
  assert.ok(!own.inbox.all.some((one) => one.name === 'said'));
});

test('P-6.6 P-6.7: private channels by the HTTP endpoint of a customer', async (t) => {
  const endpoint = await authEndpoint(t, api, { refuse: (channel) => channel === 'private-secret' });
  const client = await connected(t, server, {
    channelAuthorization: { endpoint: endpoint.channels, transport: 'ajax', params: { room: 'a b' } },
  });
  const channel = await subscribe(client, 'private-room');
  const posted = await endpoint.forms.next();
  assert.equal(posted.type, 'application/x-www-form-urlencoded');
  assert.deepEqual(posted.form, { socket_id: client.connection.socket_id, channel_name: 'private-room', room: 'a b' });
  await api.trigger('private-room', 'greeting', { hello: 'you' });
  assert.deepEqual((await channel.inbox.next((one) => one.name === 'greeting')).data, { hello: 'you' });
  await assert.rejects(subscribe(client, 'private-secret'), (error) => error.answer.status === 403);
});

test('P-5.2 P-5.8 P-5.9 P-20.4: a wrong signature raises subscription_error and keeps the connection', async (t) => {
  const client = await connected(t, server, {
    channelAuthorization: { customHandler: (_, done) => done(null, { auth: `${server.app.key}:${'0'.repeat(64)}` }) },
  });
  await assert.rejects(subscribe(client, 'private-wrong'), ({ answer }) => {
    assert.equal(answer.type, 'AuthError');
    assert.equal(answer.status, 401);
    return true;
  });
  const { code, message } = await client.errors.next();
  assert.equal(code, null);
  assert.match(message, /private-wrong/);
  await subscribe(client, 'public-still-here');
});

test('P-8.1 P-8.3: client events reach the others, never the sender', async (t) => {
  const [sender, reader] = [await connected(t, server), await connected(t, server)];
  const [own, others] = [await subscribe(sender, 'private-talk'), await subscribe(reader, 'private-talk')];
  assert.ok(own.trigger('client-typing', { who: 'me' }));
  assert.deepEqual((await others.inbox.next((one) => one.name === 'client-typing')).data, { who: 'me' });
  assert.ok(others.trigger('client-answer', { who: 'you' }));
  await own.inbox.next((one) => one.name === 'client-answer');
  assert.ok(!own.inbox.all.some((one) => one.name === 'client-typing'));
});

test('P-8.4 P-18.11: the eleventh client event at once is refused with 4301', async (t) => {
  const [sender, reader] = [await connected(t, server), await connected(t, server)];
  const [own, others] = [await subscribe(sender, 'private-burst'), await subscribe(reader, 'private-burst')];
  for (let n = 0; n < 30; n++) own.trigger('client-n', { n });
  await sender.errors.next((one) => one.code === 4301, '4301');
  for (let n = 0; n < 10; n++) assert.deepEqual((await others.inbox.next((one) => one.name === 'client-n')).data, { n });
  assert.equal(sender.connection.state, 'connected');
});

test('P-7.3 P-7.4 P-8.3: presence members, their coming and going, and the sender of a client event', async (t) => {
  const ada = await connected(t, server, { auth: { member: { user_id: 'ada', user_info: { name: 'Ada' } } } });
  const bob = await connected(t, server, { auth: { member: { user_id: 'bob' } } });
  const first = await subscribe(ada, 'presence-lab');
  assert.equal(first.members.count, 1);
  assert.deepEqual(first.members.me, { id: 'ada', info: { name: 'Ada' } });
  const second = await subscribe(bob, 'presence-lab');
  assert.equal(second.members.count, 2);
  assert.deepEqual(second.members.get('ada').info, { name: 'Ada' });
  const added = await first.inbox.next((one) => one.name === 'pusher:member_added');
  assert.equal(added.data.id, 'bob');
  const waves = new Inbox('waves');
  first.bind('client-wave', (_, metadata) => waves.push(metadata));
  second.trigger('client-wave', {});
  assert.deepEqual(await waves.next(), { user_id: 'bob' });
  bob.disconnect();
  const removed = await first.inbox.next((one) => one.name === 'pusher:member_removed');
  assert.equal(removed.data.id, 'bob');
  assert.equal(first.members.count, 1);
});

test('P-7.4: a second connection of a member is not announced', async (t) => {
  const watcher = await subscribe(await connected(t, server, { auth: { member: { user_id: 'watcher' } } }), 'presence-twice');
  const twice = [await connected(t, server, { auth: { member: { user_id: 7 } } }), await connected(t, server, { auth: { member: { user_id: '7' } } })];
  await subscribe(twice[0], 'presence-twice');
  const second = await subscribe(twice[1], 'presence-twice');
  assert.equal(second.members.count, 2);
  twice[0].disconnect();
  twice[1].disconnect();
  await watcher.inbox.next((one) => one.name === 'pusher:member_removed');
  const told = watcher.inbox.all.map((one) => one.name).filter((name) => name.startsWith('pusher:member_'));
  assert.deepEqual(told, ['pusher:member_added', 'pusher:member_removed']);
});

test('P-9.1 P-9.2 P-9.3: an encrypted channel is opened only by its subscriber', async (t) => {
  const client = await connected(t, server);
  const channel = await subscribe(client, 'private-encrypted-vault');
  await server.api({ encryptionMasterKeyBase64: MASTER_KEY }).trigger('private-encrypted-vault', 'sealed', { pin: 1234 });
  assert.deepEqual((await channel.inbox.next((one) => one.name === 'sealed')).data, { pin: 1234 });
});

test('P-9.5: one publish to an encrypted and another channel is refused', async () => {
  const body = { name: 'e', data: '{}', channels: ['private-encrypted-a', 'plain'] };
  await assert.rejects(api.post({ path: '/events', body }), (error) => error.status === 400);
});

test('P-13.1 P-13.3 P-13.4 P-4.3: a cache channel gives its last event or a miss', async (t) => {
  const client = await connected(t, server);
  const empty = await subscribe(client, 'cache-empty');
  await empty.inbox.next((one) => one.name === 'pusher:cache_miss');
  await api.trigger('private-cache-full', 'price', { eur: 1 });
  await api.trigger('private-cache-full', 'price', { eur: 2 });
  const full = await subscribe(client, 'private-cache-full');
  assert.deepEqual((await full.inbox.next((one) => one.name === 'price')).data, { eur: 2 });
  const plain = await subscribe(client, 'my-cache-x');
  await api.trigger('my-cache-x', 'fence', 1);
  await plain.inbox.next((one) => one.name === 'fence');
  assert.ok(!plain.inbox.all.some((one) => one.name === 'pusher:cache_miss'));
});

test('P-14.2 P-14.4: subscribers are told how many they are', async (t) => {
  const [one, two] = [await connected(t, server), await connected(t, server)];
  const first = await subscribe(one, 'public-count');
  await subscribe(two, 'public-count');
  const count = (wanted) => first.inbox.next((event) => event.name === 'pusher:subscription_count' && event.data.subscription_count === wanted);
  await count(1);
  await count(2);
  two.unsubscribe('public-count');
  await count(1);
  assert.equal(first.subscriptionCount, 1);
});

test('P-14.1: presence channels tell no count', async (t) => {
  const client = await connected(t, server);
  const channel = await subscribe(client, 'presence-uncounted');
  await api.trigger('presence-uncounted', 'fence', 1);
  await channel.inbox.next((one) => one.name === 'fence');
  assert.ok(!channel.inbox.all.some((one) => one.name.includes('subscription_count')));
});

test('P-15.1 P-15.3 P-15.6 P-11.15: a signed-in user gets what is sent to it', async (t) => {
  const user = { id: 'u-send', user_info: { name: 'Una' } };
  const client = await connected(t, server, { auth: { user } });
  const inbox = new Inbox('events of a user');
  client.user.bind('note', (data) => inbox.push(data));
  client.signin();
  await client.user.signinDonePromise;
  assert.equal(client.user.user_data.id, 'u-send');
  // The client subscribes the user's own channel after the sign-in (P-15.6).
  const channel = client.user.serverToUserChannel;
  if (!channel.subscribed) await new Promise((resolve) => channel.bind('pusher:subscription_succeeded', resolve));
  await api.sendToUser('u-send', 'note', { text: 'for you' });
  assert.deepEqual(await inbox.next(), { text: 'for you' });
});

test('P-15.9 P-15.5: a watchlist tells who is online and who comes and goes', async (t) => {
  const watcher = await connected(t, server, { auth: { user: { id: 'w1', watchlist: ['w2', 'w3'] } } });
  const seen = new Inbox('watchlist');
  for (const name of ['online', 'offline']) watcher.user.watchlist.bind(name, (event) => seen.push(event));
  watcher.signin();
  assert.deepEqual((await seen.next((one) => one.name === 'offline')).user_ids.toSorted(), ['w2', 'w3']);
  const other = await connected(t, server, { auth: { user: { id: 'w2' } } });
  other.signin();
  assert.deepEqual((await seen.next((one) => one.name === 'online')).user_ids, ['w2']);
  other.disconnect();
  assert.deepEqual((await seen.next((one) => one.name === 'offline')).user_ids, ['w2']);
});

test('P-15.11 P-11.14 P-17.3: a terminated user is closed with 4009 and stays away', async (t) => {
  const client = await connected(t, server, { auth: { user: { id: 'u-gone' } } });
  const bystander = await connected(t, server, { auth: { member: { user_id: 'u-gone' } } });
  await subscribe(bystander, 'presence-same-id');
  client.signin();
  await client.user.signinDonePromise;
  await api.terminateUserConnections('u-gone');
  await client.states.next((state) => state === 'disconnected', 'disconnected');
  assert.ok(client.errors.all.some((one) => one.code === 4009), JSON.stringify(client.errors.all));
  assert.equal(bystander.connection.state, 'connected');
});

test('P-17.2 P-17.3 P-20.5: with a wrong key it gets 4001 and gives up', async (t) => {
  const client = connect(t, server, { key: 'no-such-key' });
  await client.states.next((state) => state === 'disconnected', 'disconnected');
  assert.ok(client.errors.all.some((one) => one.code === 4001), JSON.stringify(client.errors.all));
});

test('P-2.9 P-10.10: it connects under a path prefix', async (t) => {
  const prefixed = await startServer(t, { listener: { path_prefix: '/realtime' } });
  const client = await connected(t, prefixed, { wsPath: '/realtime' });
  const channel = await subscribe(client, 'public-prefixed');
  const events = `/apps/${prefixed.app.id}/events`;
  const body = { name: 'e', data: 'd', channels: ['public-prefixed'] };
  assert.equal((await request(prefixed, 'POST', events, { body, wire: `/realtime${events}` })).status, 200);
  assert.equal((await channel.inbox.next((one) => one.name === 'e')).data, 'd');
});

test('P-16.9 P-16.2: it pings after the time of silence that the server named, and stays connected', async (t) => {
  const short = await startServer(t, { app: newApp({ activity_timeout: '1 s' }) });
  const client = await connected(t, short, { pongTimeout: 3_000 });
  const pongs = new Inbox('pongs');
  client.connection.bind('message', (message) => message.event === 'pusher:pong' && pongs.push(message));
  for (let n = 0; n < 3; n++) await pongs.next();
  assert.deepEqual(client.states.all.filter((state) => state !== 'connecting' && state !== 'connected'), []);
});

test('P-17.4 P-20.4: drained with 4200 it comes back at once and subscribes everything again', async (t) => {
  const app = newApp();
  const [former, next] = [await startServer(t, { app }), await startServer(t, { app })];
  const front = await balancer(t, former);
  const client = await connected(t, front);
  const channel = await subscribe(client, 'private-drain');
  front.target = next;
  assert.deepEqual(await former.stop(), { code: 0, signal: null });
  await channel.inbox.next((one) => one.name === 'pusher:subscription_succeeded');
  assert.ok(client.errors.all.some((one) => one.code === 4200), JSON.stringify(client.errors.all));
  await next.api().trigger('private-drain', 'back', 1);
  await channel.inbox.next((one) => one.name === 'back');
});
