// Old Node clients: pusher-client 1.1.0 (protocol 7, ping frames) and pusher-node-client 0.0.8 (protocol 5).
import assert from 'node:assert/strict';
import { once as onceEvent } from 'node:events';
import { createRequire } from 'node:module';
import { after, test } from 'node:test';
import { cleanup } from './support/cleanup.mjs';
import { balancer } from './support/balancer.mjs';
import { authEndpoint } from './support/http_peer.mjs';
import { newApp, startServer } from './support/server.mjs';
import { Inbox, within } from './support/wait.mjs';

const require = createRequire(import.meta.url);
const PusherClient = require('pusher-client');
const { client: OldSocket } = require('websocket');
const { PusherClient: OldClient } = require('pusher-node-client');

const server = await startServer({ after }, { app: newApp({ client_events: true }) });
const api = server.api();

function connect(t, to = server, options = {}) {
  const client = new PusherClient(options.key ?? to.app.key, { host: to.host, wsPort: to.port, ...options });
  client.states = new Inbox('states');
  client.errors = new Inbox('errors');
  client.connection.on('state_change', ({ current }) => client.states.push(current));
  client.connection.on('error', (error) => client.errors.push(error));
  cleanup(t, () => client.disconnect());
  return client;
}

const arrived = (client, state = 'connected') => client.states.next((one) => one === state, state);

async function subscribe(client, name) {
  const channel = client.subscribe(name);
  channel.inbox = new Inbox(name);
  const { emit } = channel;
  channel.emit = (event, data) => channel.inbox.push({ name: event, data }) ?? emit.call(channel, event, data);
  channel.confirmation = (await channel.inbox.next((one) => one.name === 'pusher:subscription_succeeded')).data;
  return channel;
}

test('P-20.6 P-20.7 P-20.10: it connects, subscribes and reads text and JSON', async (t) => {
  const client = connect(t);
  await arrived(client);
  assert.match(client.connection.socket_id, /^[0-9]+\.[0-9]+$/);
  const channel = await subscribe(client, 'public-old');
  await api.trigger('public-old', 'json', { a: [1] });
  await api.trigger('public-old', 'text', 'not json');
  assert.deepEqual((await channel.inbox.next((one) => one.name === 'json')).data, { a: [1] });
  assert.equal((await channel.inbox.next((one) => one.name === 'text')).data, 'not json');
});

test('P-20.8: with a secret it signs private and presence channels itself', async (t) => {
  const clients = ['ada', 'bob'].map((id) => connect(t, server, { secret: server.app.secret, channel_data: { user_id: id } }));
  await Promise.all(clients.map((client) => arrived(client)));
  const first = await subscribe(clients[0], 'presence-old');
  await subscribe(clients[1], 'presence-old');
  assert.equal((await first.inbox.next((one) => one.name === 'pusher:member_added')).data.id, 'bob');
  const [one, two] = [await subscribe(clients[0], 'private-old'), await subscribe(clients[1], 'private-old')];
  one.trigger('client-hi', { from: 'ada' });
  assert.deepEqual((await two.inbox.next((event) => event.name === 'client-hi')).data, { from: 'ada' });
});

test('P-20.8 P-6.6: without one it asks the endpoint', async (t) => {
  const endpoint = await authEndpoint(t, api);
  const client = connect(t, server, { authEndpoint: endpoint.channels });
  await arrived(client);
  await subscribe(client, 'private-remote');
  assert.deepEqual((await endpoint.forms.next()).form, { socket_id: client.connection.socket_id, channel_name: 'private-remote' });
});

test('P-20.9 P-13.4: a cache miss arrives as an ordinary event', async (t) => {
  const client = connect(t);
  await arrived(client);
  const channel = await subscribe(client, 'cache-old');
  await channel.inbox.next((one) => one.name === 'pusher:cache_miss');
});

test('P-20.11 P-16.6 P-16.7 P-16.3: its ping frames keep it connected without a reconnect', async (t) => {
  const short = await startServer(t, { app: newApp({ activity_timeout: '1 s' }) });
  // The library waits for a message; with a short wait it would reconnect if only a pong frame came back.
  const client = connect(t, short, { pongTimeout: 3_000 });
  const pongs = new Inbox('pongs');
  client.connection.on('pong', () => pongs.push(1));
  await arrived(client);
  const socketId = client.connection.socket_id;
  for (let n = 0; n < 4; n++) await pongs.next();
  assert.equal(client.connection.socket_id, socketId);
  assert.deepEqual(client.states.all, ['connected']);
});

test('P-20.12 P-17.3: a wrong key makes it give up', async (t) => {
  const client = connect(t, server, { key: 'nobody' });
  await arrived(client, 'disconnected');
});

test('P-20.12 P-17.4: after 4200 it reconnects at once and subscribes again', async (t) => {
  const app = newApp();
  const [former, next] = [await startServer(t, { app }), await startServer(t, { app })];
  const front = await balancer(t, former);
  const client = connect(t, front);
  await arrived(client);
  const channel = await subscribe(client, 'public-drain');
  front.target = next;
  await former.stop();
  await channel.inbox.next((one) => one.name === 'pusher:subscription_succeeded');
  await next.api().trigger('public-drain', 'back', 1);
  await channel.inbox.next((one) => one.name === 'back');
});

test('P-20.13 P-2.4 P-3.1 P-6.3: pusher-node-client speaks protocol 5 and signs public channels too', async (t) => {
  // The package has its host built in; its socket is sent to the server under test, everything else is the package.
  const dial = OldSocket.prototype.connect;
  const sockets = [];
  OldSocket.prototype.connect = function connectHere(url, ...rest) {
    assert.match(url, /\/app\/[^?]+\?client=node-pusher-server&version=0\.0\.1&protocol=5&flash=false$/);
    this.on('connect', (socket) => sockets.push(socket));
    return dial.call(this, url.replace('wss://ws.pusherapp.com:443', `ws://${server.host}:${server.port}`), ...rest);
  };
  const log = console.log;
  console.log = () => {}; // the package writes every step to standard output
  const client = new OldClient({ appId: server.app.id, key: server.app.key, secret: server.app.secret });
  cleanup(t, () => {
    console.log = log;
    OldSocket.prototype.connect = dial;
    clearTimeout(client.activityTimeout);
    for (const socket of sockets) socket.removeAllListeners().drop();
  });
  client.connect();
  await within(onceEvent(client, 'connect'), 'connected');
  const inbox = new Inbox('events of an old client');
  for (const [name, data] of [['news', undefined], ['private-news', undefined], ['presence-news', { user_id: 'old' }]]) {
    const channel = client.subscribe(name, data);
    channel.on('said', (event) => inbox.push({ name, event }));
    await within(onceEvent(channel, 'success'), `the subscription of ${name}`);
    await api.trigger(name, 'said', { on: name });
    assert.deepEqual(await inbox.next(), { name, event: { on: name } });
  }
});
