// Laravel Echo over pusher-js, with the broadcasters that Laravel projects configure.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import Echo from 'laravel-echo';
import Pusher from 'pusher-js';
import { cleanup } from './support/cleanup.mjs';
import { authEndpoint } from './support/http_peer.mjs';
import { newApp, startServer } from './support/server.mjs';
import { Inbox, once } from './support/wait.mjs';

const server = await startServer({ after }, { app: newApp({ client_events: true }) });
const api = server.api();

async function echo(t, broadcaster, member) {
  const endpoint = await authEndpoint(t, api, { member: () => member, refuse: (channel) => channel === 'private-orders.9' });
  const client = new Echo({
    ...server.client(),
    broadcaster,
    Pusher,
    key: server.app.key,
    authEndpoint: endpoint.channels,
    bearerToken: 'token',
  });
  cleanup(t, () => client.disconnect());
  return client;
}

for (const broadcaster of ['pusher', 'reverb']) {
  test(`P-20.4 P-11.1: ${broadcaster}: a public channel listens by class name`, async (t) => {
    const client = await echo(t, broadcaster);
    const channel = client.channel(`orders-${broadcaster}`);
    const inbox = new Inbox('listen');
    channel.listen('OrderShipped', (data) => inbox.push(data)).listen('.raw.name', (data) => inbox.push(data));
    await once((resolve) => channel.subscribed(resolve), 'subscribed');
    await api.trigger(`orders-${broadcaster}`, 'App\\Events\\OrderShipped', { id: 1 });
    await api.trigger(`orders-${broadcaster}`, 'raw.name', { id: 2 });
    assert.deepEqual([await inbox.next(), await inbox.next()], [{ id: 1 }, { id: 2 }]);
  });

  test(`P-7.3 P-7.4 P-6.7: ${broadcaster}: a presence channel says who is here, joins and leaves`, async (t) => {
    const [ada, bob] = [await echo(t, broadcaster, { user_id: 1, user_info: { name: 'Ada' } }), await echo(t, broadcaster, { user_id: 2, user_info: { name: 'Bob' } })];
    const room = `room.${broadcaster}`;
    const [joining, leaving] = [new Inbox('joining'), new Inbox('leaving')];
    const here = await once((resolve) => ada.join(room).joining((one) => joining.push(one)).leaving((one) => leaving.push(one)).here(resolve), 'here');
    assert.deepEqual(here, [{ name: 'Ada' }]);
    const both = await once((resolve) => bob.join(room).here(resolve), 'here');
    assert.deepEqual(both.map((one) => one.name).sort(), ['Ada', 'Bob']);
    assert.deepEqual(await joining.next(), { name: 'Bob' });
    bob.leave(room);
    assert.deepEqual(await leaving.next(), { name: 'Bob' });
  });
}

test('P-8.3: whispers reach the other side', async (t) => {
  const [one, two] = [await echo(t, 'reverb'), await echo(t, 'reverb')];
  const inbox = new Inbox('whispers');
  const listening = two.private('chat').listenForWhisper('typing', (data) => inbox.push(data));
  await once((resolve) => listening.subscribed(resolve), 'subscribed');
  const speaking = one.private('chat');
  await once((resolve) => speaking.subscribed(resolve), 'subscribed');
  speaking.whisper('typing', { name: 'Ada' });
  assert.deepEqual(await inbox.next(), { name: 'Ada' });
});

test('P-6.7: a refusal of the endpoint arrives as an error', async (t) => {
  const client = await echo(t, 'pusher');
  const error = await once((resolve) => client.private('orders.9').error(resolve), 'an error');
  assert.equal(error.status, 403);
});

test('P-11.3: toOthers leaves the socket out that Echo names', async (t) => {
  const [own, other] = [await echo(t, 'pusher'), await echo(t, 'pusher')];
  const inboxes = [];
  for (const client of [own, other]) {
    const inbox = new Inbox('updates');
    const channel = client.channel('others').listenToAll((name, data) => inbox.push(data));
    await once((resolve) => channel.subscribed(resolve), 'subscribed');
    inboxes.push(inbox);
  }
  await api.trigger('others', 'update', 'theirs', { socket_id: own.socketId() });
  await api.trigger('others', 'update', 'all');
  assert.deepEqual([await inboxes[1].next(), await inboxes[1].next()], ['theirs', 'all']);
  assert.equal(await inboxes[0].next(), 'all');
});
