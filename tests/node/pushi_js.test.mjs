// What pushi.js does, against the server: connections, channels, authorisation, personal and peer channels, reconnects.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { cleanup } from './support/cleanup.mjs';
import { Pushi } from './support/pushi_js.mjs';
import { login, pushiApp, pushiAuth, rest, startPushi } from './support/pushi.mjs';
import { startServer } from './support/server.mjs';
import { within } from './support/wait.mjs';

/** The page's own backend: signs for every socket, and says who it is. */
async function authEndpoint(t, app, members = {}) {
  const http = createServer((request, response) => {
    const [, socketId, channel] = request.url.match(/socket_id=([^&]*)&channel=(.*)$/);
    const channel_data = members[channel];
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify(channel === 'private-refused' ? {} : { auth: pushiAuth(app, socketId, decodeURI(channel)), channel_data }));
  });
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
  cleanup(t, () => new Promise((resolve) => http.close(resolve)));
  return `http://127.0.0.1:${http.address().port}/auth`;
}

const server = await startPushi({ after });

async function connect(t, members, on = server) {
  const client = new Pushi(on, on.app.key, { authEndpoint: await authEndpoint(t, on.app, members) });
  cleanup(t, () => client.stop());
  await within(once(client, 'connect'), 'connect');
  cleanup(t, () => assert.deepEqual(client.faults, []));
  return client;
}

/** The next emission whose first argument is `first`. */
function next(emitter, event, first) {
  const seen = new Promise((resolve) => {
    const look = (...given) => {
      if (first !== undefined && given[0] !== first) return;
      emitter.off(event, look);
      resolve(given);
    };
    emitter.on(event, look);
  });
  return within(seen, `${event} ${first}`);
}

async function on(client, name) {
  const subscribed = next(client, 'subscribe', name);
  const channel = client.subscribe(name);
  await subscribed;
  return channel;
}

test('I-7.1 I-7.3 handlers get the data as a string, with mid and timestamp when it is stored', async (t) => {
  const [a, b] = [await connect(t), await connect(t)];
  const [channel] = [await on(a, 'js-news'), await on(b, 'js-news')];
  const global = next(b, 'event', 'chat');
  channel.send('chat', { text: 'hi' });
  const [name, data, where, mid, timestamp] = await global;
  assert.deepEqual([name, data, where, typeof mid, typeof timestamp], ['chat', '{"text":"hi"}', 'js-news', 'string', 'number']);
  const volatile = next(b.channels['js-news'], 'chat');
  const own = next(a.channels['js-news'], 'chat');
  channel.send('chat', 'again', true, false);
  assert.deepEqual(await volatile, ['chat', 'again', undefined, undefined]);
  assert.equal((await own)[1], 'again', 'an echo');
});

test('I-7.4 the auth endpoint is asked by GET; without a signature nothing is sent', async (t) => {
  const client = await connect(t, { 'presence-js': { user_id: 'ann', user_info: { name: 'Ann' } } });
  const channel = await on(client, 'presence-js');
  assert.deepEqual(channel.record.members, { ann: { user_id: 'ann', user_info: { name: 'Ann' } } });
  client.subscribe('private-refused');
  await on(client, 'private-js');
  assert.equal(client.channels['private-refused'].subscribed, false);
});

test('I-7.3 members come and go', async (t) => {
  const a = await connect(t, { 'presence-room': { user_id: 'ann' } });
  const b = await connect(t, { 'presence-room': { user_id: 'ben' } });
  const channel = await on(a, 'presence-room');
  const added = next(channel, 'member_added');
  await on(b, 'presence-room');
  assert.deepEqual(await added, [{ user_id: 'ben' }]);
  const removed = next(channel, 'member_removed');
  const left = next(b, 'unsubscribe', 'presence-room');
  b.unsubscribe('presence-room');
  assert.deepEqual((await left)[1].members, { ann: { user_id: 'ann' } });
  assert.deepEqual(await removed, [{ user_id: 'ben' }]);
});

test('I-7.3 I-2.9 a personal channel makes channels of its aliases, and takes them away', async (t) => {
  const sid = await login(server);
  for (const event of ['js-one', 'private-js-two']) await rest(server, 'POST', '/subscriptions', { query: { sid }, json: { user_id: 'js', event } });
  await rest(server, 'POST', '/events', { query: { sid }, json: { channel: 'js-one', data: 'while away' } });
  const client = await connect(t);
  const aliases = [];
  client.on('subscribe', (name) => aliases.push(name));
  const channel = await on(client, 'personal-js');
  assert.deepEqual(aliases, ['js-one', 'private-js-two', 'personal-js']);
  assert.deepEqual(channel.record.events.map((event) => event.data.data), ['while away']);
  const live = next(client.channels['private-js-two'], 'message');
  await rest(server, 'POST', '/events', { query: { sid }, json: { channel: 'private-js-two', data: 'live' } });
  assert.equal((await live)[1], 'live');
  const left = next(client, 'unsubscribe', 'personal-js');
  client.unsubscribe('personal-js');
  await left;
  assert.deepEqual(Object.keys(client.channels), []);
});

test('I-7.3 I-2.10 two who want it talk between them, and read what was said', async (t) => {
  const a = await connect(t, { 'presence-chat': { user_id: 'ann', peer: true } });
  const b = await connect(t, { 'presence-chat': { user_id: 'ben', peer: true } });
  await on(a, 'presence-chat');
  await on(b, 'presence-chat');
  const heard = next(b, 'event', 'message');
  a.sendChannel('message', 'psst', 'peer-chat:ann&ben');
  assert.deepEqual((await heard).slice(1, 3), ['psst', 'peer-chat:ann&ben']);
  const told = next(b, 'latest', 'peer-chat:ann&ben');
  b.latest('peer-chat:ann&ben', 0, 0);
  assert.deepEqual((await told)[1].events.map((event) => event.data.data), ['psst']);
});

test('I-7.2 I-3.6 after a restart the page subscribes anew and finds what it missed', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'tidings-'));
  cleanup(t, () => rm(folder, { recursive: true, force: true }));
  const app = pushiApp();
  const options = { app, listener: { dialects: ['pushi', 'pushi-api'] }, settings: { store: { url: `sqlite:${join(folder, 'tidings.db')}` } } };
  const first = await startServer(t, options);
  const sid = await login(first);
  await rest(first, 'POST', '/subscriptions', { query: { sid }, json: { user_id: 'u', event: 'news' } });
  const client = await connect(t, {}, first);
  await on(client, 'personal-u');
  const lost = next(client, 'disconnect');
  await first.stop();
  await lost;
  assert.deepEqual([client.socketId, Object.keys(client.channels)], [null, []]);
  const second = await startServer(t, options);
  // The login is kept too.
  assert.equal((await rest(second, 'POST', '/events', { query: { sid }, json: { channel: 'news', data: 'missed' } })).status, 200);
  const back = next(client, 'connect');
  client.server = second;
  await back;
  const channel = await on(client, 'personal-u');
  assert.deepEqual([channel.record.alias, channel.record.events.map((event) => event.data.data)], [['news'], ['missed']]);
});

test('I-7.5 the page logs in with a cookie', async () => {
  const { id, key, secret } = server.app;
  const answer = await rest(server, 'GET', '/login', { query: { app_id: id, app_key: key, app_secret: secret } });
  const cookie = answer.headers.get('set-cookie');
  assert.match(cookie, /^sid=[0-9a-f]{64}; Path=\/; Max-Age=2678400; HttpOnly; SameSite=Lax$/);
  const headers = { Cookie: `lang=en; ${cookie.split(';')[0]}` };
  assert.equal((await rest(server, 'GET', '/vapid_key', { headers })).status, 400, 'known, and no key is set');
  assert.equal((await rest(server, 'GET', '/logout', { headers })).status, 200);
  assert.equal((await rest(server, 'GET', '/vapid_key', { headers })).status, 403);
});
