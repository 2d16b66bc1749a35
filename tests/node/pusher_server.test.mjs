// The official Node server library, `pusher`, against the HTTP API and the webhooks.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import Pusher from 'pusher';
import { cleanup } from './support/cleanup.mjs';
import { silentReceiver, webhookReceiver } from './support/http_peer.mjs';
import { RawSocket } from './support/raw_socket.mjs';
import { newApp, startServer } from './support/server.mjs';
import { webhookSigned } from './support/sign.mjs';

const server = await startServer({ after }, { app: newApp({ client_events: true, subscription_count_events: true }) });
const api = server.api();
const json = async (answer) => (await answer).json();

async function open(t, to = server) {
  const raw = await RawSocket.open(to);
  cleanup(t, () => raw.end());
  return raw;
}

test('P-11.1 P-10.3 P-10.4 P-10.5: trigger on several channels answers 200 and {}', async (t) => {
  const reader = await open(t);
  await reader.subscribe('several-a');
  await reader.subscribe('several-b');
  const answer = await api.trigger(['several-a', 'several-b', 'several-a'], 'e', { n: 1 });
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get('content-type'), /^application\/json/);
  assert.equal(await answer.text(), '{}');
  assert.deepEqual(await reader.message('e'), { event: 'e', channel: 'several-a', data: '{"n":1}' });
  assert.deepEqual(await reader.message('e'), { event: 'e', channel: 'several-b', data: '{"n":1}' });
  await reader.settled();
  assert.equal(reader.messages().filter((one) => one.event === 'e').length, 2);
});

test('P-11.4: trigger with info answers counts', async (t) => {
  const reader = await open(t);
  await reader.subscribe('presence-info', '{"user_id":"u"}');
  const answer = await json(api.trigger(['presence-info', 'info-none'], 'e', 'd', { info: 'user_count,subscription_count' }));
  assert.deepEqual(answer, { channels: { 'presence-info': { user_count: 1, subscription_count: 1 }, 'info-none': { subscription_count: 0 } } });
});

test('P-11.9 P-11.10 P-11.11: a batch arrives in order and answers by position', async (t) => {
  const reader = await open(t);
  await reader.subscribe('batch-a');
  const batch = Array.from({ length: 10 }, (_, n) => ({ channel: 'batch-a', name: 'e', data: { n } }));
  assert.deepEqual(await json(api.triggerBatch(batch)), {});
  for (let n = 0; n < 10; n++) assert.equal((await reader.message('e')).data, `{"n":${n}}`);
  const answer = await json(api.triggerBatch([{ channel: 'batch-a', name: 'f', data: 1, info: 'subscription_count' }, { channel: 'batch-b', name: 'f', data: 2 }]));
  assert.deepEqual(answer, { batch: [{ subscription_count: 1 }, {}] });
});

test('P-18.5 P-10.12: an eleventh event of a batch is refused in the known words', async () => {
  const batch = Array.from({ length: 11 }, () => ({ channel: 'batch-c', name: 'e', data: 1 }));
  await assert.rejects(api.triggerBatch(batch), (error) => error.status === 400 && error.body === 'Batch too large (11 > 10)\n');
});

test('P-11.10: one bad event of a batch publishes nothing', async (t) => {
  const reader = await open(t);
  await reader.subscribe('atomic');
  const bad = [{ channel: 'atomic', name: 'e', data: 'x' }, { channel: 'not a name', name: 'e', data: 'x' }];
  await assert.rejects(api.triggerBatch(bad), (error) => error.status === 400);
  await api.trigger('atomic', 'fence', 1);
  assert.equal((await reader.message(undefined, (one) => one.channel === 'atomic' && !one.event.startsWith('pusher'))).event, 'fence');
});

test('P-18.3: 10,240 bytes of data pass and one more is 413', async (t) => {
  const reader = await open(t);
  await reader.subscribe('big');
  await api.trigger('big', 'e', 'x'.repeat(10_240));
  assert.equal((await reader.message('e')).data.length, 10_240);
  await assert.rejects(api.trigger('big', 'e', 'x'.repeat(10_241)), (error) => error.status === 413);
});

test('P-15.6 P-11.15 P-4.5: sendToUser reaches every connection of the user and no list of channels', async (t) => {
  const readers = [await open(t), await open(t)];
  for (const reader of readers) {
    await reader.signin({ id: 'u1' });
    await reader.subscribe('#server-to-user-u1');
  }
  await api.sendToUser('u1', 'note', { a: 1 });
  for (const reader of readers) assert.equal((await reader.message('note')).data, '{"a":1}');
  const { channels } = await json(api.get({ path: '/channels' }));
  assert.ok(!Object.keys(channels).some((name) => name.startsWith('#')));
});

test('P-11.5 P-11.6 P-11.8: channels, one channel, and its users', async (t) => {
  const [one, two] = [await open(t), await open(t)];
  await one.subscribe('presence-room', '{"user_id":"a"}');
  await two.subscribe('presence-room', '{"user_id":"b"}');
  await two.subscribe('room-plain');
  const get = (path, params) => json(api.get({ path, params }));
  assert.deepEqual(await get('/channels', { filter_by_prefix: 'presence-room', info: 'user_count' }), { channels: { 'presence-room': { user_count: 2 } } });
  assert.deepEqual(await get('/channels', { filter_by_prefix: 'room-' }), { channels: { 'room-plain': {} } });
  assert.deepEqual(await get('/channels/room-plain', { info: 'subscription_count' }), { occupied: true, subscription_count: 1 });
  assert.deepEqual(await get('/channels/room-nobody'), { occupied: false });
  const { users } = await get('/channels/presence-room/users');
  assert.deepEqual(users.map((user) => user.id).sort(), ['a', 'b']);
  assert.deepEqual(await get('/channels/presence-nobody/users'), { users: [] });
});

test('P-11.6 P-13.5: the cached event by HTTP, with the seconds it still has', async () => {
  await api.trigger('cache-http', 'e', { v: 1 });
  const { cache, occupied } = await json(api.get({ path: '/channels/cache-http', params: { info: 'cache' } }));
  assert.equal(occupied, false);
  assert.equal(cache.data, '{"v":1}');
  assert.ok(cache.ttl > 1_700 && cache.ttl <= 1_800, String(cache.ttl));
  assert.equal((await json(api.get({ path: '/channels/cache-none', params: { info: 'cache' } }))).cache, null);
});

test('P-10.12 P-11.5 P-11.6 P-11.8: the refusals that libraries compare word by word', async () => {
  const refusals = [
    ['/channels/plain/users', {}, 'Users can only be retrieved for presence channels\n'],
    ['/channels/plain', { info: 'user_count' }, 'Cannot retrieve the user count unless the channel is a presence channel\n'],
    ['/channels', { info: 'user_count' }, 'user_count may only be requested for presence channels - please supply filter_by_prefix begining with presence-\n'],
  ];
  for (const [path, params, body] of refusals) {
    await assert.rejects(api.get({ path, params }), (error) => error.status === 400 && error.body === body, path);
  }
  await assert.rejects(api.get({ path: '/channels', params: { info: 'nonsense' } }), (error) => /info should be a comma separated list of attributes/.test(error.body));
  await assert.rejects(api.post({ path: '/batch_events', body: { batch: [{ name: 'e', data: 'd' }] } }), (error) => error.body === 'Missing required parameter: channel\n');
});

test('P-11.14 P-15.11: terminateUserConnections closes the user with 4009', async (t) => {
  const [user, other] = [await open(t), await open(t)];
  await user.signin({ id: 'bad' });
  await other.subscribe('presence-bad', '{"user_id":"bad"}');
  assert.deepEqual(await json(api.terminateUserConnections('bad')), {});
  assert.equal((await user.message('pusher:error')).data.code, 4009);
  assert.equal((await user.close()).code, 4009);
  await other.settled();
  assert.deepEqual(await json(api.terminateUserConnections('nobody')), {});
});

test('P-10.7 P-10.8: a wrong secret and an unknown app are 401', async () => {
  await assert.rejects(server.api({ secret: 'wrong' }).trigger('c', 'e', 'd'), (error) => error.status === 401);
  await assert.rejects(server.api({ appId: '999' }).trigger('c', 'e', 'd'), (error) => error.status === 401);
});

test('P-1.1: a second key of an app works for both sides', async (t) => {
  const app = { ...newApp(), keys: [{ key: 'second-key', secret: 'second-secret' }] };
  const two = await startServer(t, { app });
  const reader = await RawSocket.open(two, two.path(undefined, 'second-key'));
  cleanup(t, () => reader.end());
  await reader.subscribe('both');
  await two.api({ key: 'second-key', secret: 'second-secret' }).trigger('both', 'e', 'one');
  await two.api().trigger('both', 'e', 'two');
  assert.deepEqual([(await reader.message('e')).data, (await reader.message('e')).data], ['one', 'two']);
});

async function hooked(t, status, settings = {}) {
  const receiver = await webhookReceiver(t, status);
  const app = newApp({ client_events: true, subscription_count_events: true, webhook_private_targets: true, webhooks: [{ url: receiver.url, ...settings }] });
  return { receiver, server: await startServer(t, { app }) };
}

test('P-12.1 P-12.2 P-12.3 P-12.4 P-8.6: webhooks are signed as the library expects and tell what happened', async (t) => {
  const { receiver, server: to } = await hooked(t);
  const [one, two] = [await open(t, to), await open(t, to)];
  await one.subscribe('presence-hook', '{"user_id":"u"}');
  await one.subscribe('private-hook');
  await two.subscribe('private-hook');
  await one.subscribe('cache-hook');
  one.send({ event: 'client-said', channel: 'private-hook', data: { a: 1 } });
  const before = Date.now();
  const hook = await receiver.requests.next();
  assert.equal(hook.method, 'POST');
  assert.equal(hook.headers['content-type'], 'application/json');
  assert.ok(webhookSigned(to.app, hook));
  const webhook = to.api().webhook({ headers: hook.headers, rawBody: hook.body });
  assert.ok(webhook.isValid());
  assert.ok(Math.abs(webhook.getTime().getTime() - before) < 60_000);
  assert.ok(!new Pusher({ appId: '1', key: to.app.key, secret: 'other' }).webhook({ headers: hook.headers, rawBody: hook.body }).isValid());
  const event = (name, match = () => true) => receiver.events.next((item) => item.name === name && match(item), name);
  assert.deepEqual(await event('channel_occupied'), { name: 'channel_occupied', channel: 'presence-hook' });
  assert.deepEqual(await event('member_added'), { name: 'member_added', channel: 'presence-hook', user_id: 'u' });
  assert.deepEqual(await event('cache_miss'), { name: 'cache_miss', channel: 'cache-hook' });
  assert.deepEqual(await event('subscription_count', (item) => item.subscription_count === 2), { name: 'subscription_count', channel: 'private-hook', subscription_count: 2 });
  const said = { name: 'client_event', channel: 'private-hook', event: 'client-said', data: '{"a":1}', socket_id: one.socketId };
  assert.deepEqual(await event('client_event'), said);
  one.end();
  two.end();
  assert.deepEqual(await event('channel_vacated', (item) => item.channel === 'private-hook'), { name: 'channel_vacated', channel: 'private-hook' });
  assert.deepEqual(await event('member_removed'), { name: 'member_removed', channel: 'presence-hook', user_id: 'u' });
});

test('P-12.6: a refused webhook is sent again, unchanged, until it is taken', async (t) => {
  const { receiver, server: to } = await hooked(t, (n) => (n === 0 ? 500 : 200), { events: ['channel_occupied'] });
  await (await open(t, to)).subscribe('retried');
  const [first, second] = [await receiver.requests.next(), await receiver.requests.next()];
  assert.equal(first.code, 500);
  assert.equal(second.code, 200);
  assert.equal(JSON.parse(second.body).time_ms, JSON.parse(first.body).time_ms);
  assert.deepEqual(JSON.parse(second.body).events[0], { name: 'channel_occupied', channel: 'retried' });
});

test('P-12.7 P-18.15: a channel that is occupied again within the grace tells nothing', async (t) => {
  const { receiver, server: to } = await hooked(t, undefined, { events: ['channel_occupied', 'channel_vacated'] });
  const reader = await open(t, to);
  await reader.subscribe('grace');
  await receiver.events.next((one) => one.name === 'channel_occupied');
  reader.send({ event: 'pusher:unsubscribe', data: { channel: 'grace' } });
  await reader.subscribe('grace');
  reader.end();
  await receiver.events.next((one) => one.name === 'channel_vacated');
  assert.deepEqual(receiver.events.all.map((one) => one.name), ['channel_occupied', 'channel_vacated']);
});

test('P-12.8: an endpoint gets only the events and channels it asked for', async (t) => {
  const { receiver, server: to } = await hooked(t, undefined, { events: ['channel_occupied'], channel_prefix: 'chat-', channel_suffix: '-eu' });
  const reader = await open(t, to);
  for (const channel of ['chat-us', 'news-eu', 'presence-chat-eu', 'chat-eu']) await reader.subscribe(channel, channel.startsWith('presence-') ? '{"user_id":"u"}' : undefined);
  await receiver.events.next((one) => one.channel === 'chat-eu');
  assert.deepEqual(receiver.events.all, [{ name: 'channel_occupied', channel: 'chat-eu' }]);
});

test('P-12.5: without batching each event comes alone', async (t) => {
  const receiver = await webhookReceiver(t);
  const app = newApp({ webhook_private_targets: true, webhook_batching: false, webhooks: [{ url: receiver.url, events: ['channel_occupied'] }] });
  const to = await startServer(t, { app });
  const reader = await open(t, to);
  for (const channel of ['a1', 'a2', 'a3']) await reader.subscribe(channel);
  for (let n = 0; n < 3; n++) assert.equal(JSON.parse((await receiver.requests.next()).body).events.length, 1);
});

test('P-12.9: a channel that stays empty tells one cache_miss, however many subscribe', async (t) => {
  const { receiver, server: to } = await hooked(t, undefined, { events: ['cache_miss'] });
  const readers = await Promise.all(Array.from({ length: 5 }, () => open(t, to)));
  for (const reader of readers) {
    await reader.subscribe('cache-shared');
    await reader.message('pusher:cache_miss');
  }
  await readers[0].subscribe('cache-fence');
  await receiver.events.next((one) => one.channel === 'cache-fence');
  assert.deepEqual(receiver.events.all.map((one) => one.channel), ['cache-shared', 'cache-fence']);
});

test('P-12.10: an endpoint that never answers delays no event', async (t) => {
  const silent = await silentReceiver(t);
  const app = newApp({ client_events: true, webhook_private_targets: true, webhooks: [{ url: silent.url }] });
  const to = await startServer(t, { app });
  const [one, two] = [await open(t, to), await open(t, to)];
  await one.subscribe('private-quick');
  await two.subscribe('private-quick');
  await silent.asked;
  for (let n = 0; n < 10; n++) one.send({ event: 'client-n', channel: 'private-quick', data: n });
  for (let n = 0; n < 10; n++) assert.equal((await two.message('client-n')).data, String(n));
});
