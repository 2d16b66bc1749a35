// tidings-client against the binary: each statement of pusher-client's README, and what tidings-client has besides.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import { connect as tcpConnect } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { cleanup } from './support/cleanup.mjs';
import { authEndpoint, listen } from './support/http_peer.mjs';
import { RawSocket } from './support/raw_socket.mjs';
import { recorder } from './support/recorder.mjs';
import { scripted } from './support/scripted.mjs';
import { HOST, freePort, newApp, startServer } from './support/server.mjs';
import { Ours as Pusher, client, subscribe, told } from './support/tidings_client.mjs';
import { Inbox } from './support/wait.mjs';

const folder = mkdtempSync(join(tmpdir(), 'tidings-client-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const [ca, key] = [join(folder, 'ca.pem'), join(folder, 'key.pem')];
execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost',
  '-addext', `subjectAltName=IP:${HOST}`, '-addext', 'basicConstraints=critical,CA:FALSE', '-keyout', key, '-out', ca], { stdio: 'ignore' });

const wssPort = await freePort();
const server = await startServer({ after }, {
  app: newApp({ client_events: true, watchlist_events: true, subscription_count_events: true }),
  listeners: [{ address: `${HOST}:${wssPort}`, dialects: ['pusher'], tls: { certificate: ca, key } }],
});
const { app } = server;
const api = server.api();
const masterKey = Buffer.alloc(32, 7).toString('base64');
const sealing = server.api({ encryptionMasterKeyBase64: masterKey });

async function connected(t, options, to = server) {
  const one = client(t, Pusher, to, options);
  one.connect();
  await told(one, 'connected', 'connection');
  return one;
}

async function subscribed(one, name) {
  const channel = subscribe(one, name);
  await told(one, 'pusher:subscription_succeeded', name);
  return channel;
}

/** The data of the next event of this name. */
const data = async (one, event, emitter) => (await told(one, event, emitter))[2];

// --- What the README says

test('README, Connection: it connects as it is made', async (t) => {
  const one = new Pusher(app.key, { host: HOST, wsPort: server.port });
  cleanup(t, () => one.disconnect());
  assert.equal(one.connection.state, 'connecting');
  await new Promise((resolve) => one.connection.bind('connected', resolve));
  assert.deepEqual([one.key, one.connection.key, one.isEncrypted()], [app.key, app.key, false]);
});

test('README, `encrypted`, `wssPort`: through TLS, with the certificate that `ca` names', async (t) => {
  const one = await connected(t, { encrypted: true, wssPort, ca });
  assert.ok(one.isEncrypted());
  await subscribed(one, 'secure');
  await api.trigger('secure', 'said', 1);
  assert.equal(await data(one, 'said', 'secure'), 1);
});

test('a certificate that no authority signed is not believed', async (t) => {
  const one = client(t, Pusher, server, { encrypted: true, wssPort });
  one.connect();
  const { type, error } = await data(one, 'error', 'connection');
  assert.equal(type, 'WebSocketError');
  assert.match(error, /^no TLS with https:/);
});

test('README, `secret` and `channel_data`: it signs by itself, with what was given', async (t) => {
  const one = await connected(t, { secret: app.secret, channel_data: { user_id: 'unique_user_id', user_info: { name: 'User Name' } } });
  const { members } = await subscribed(one, 'presence-readme');
  assert.deepEqual(members.me, { id: 'unique_user_id', info: { name: 'User Name' } });
  const other = await connected(t, { secret: app.secret });
  assert.equal((await subscribed(other, 'presence-readme')).members.myID, `node-process-${process.pid}`);
});

test('README, `authEndpoint` and `auth`: it asks, with parameters, headers and a password', async (t) => {
  const heads = new Inbox('heads of requests');
  const url = await listen(t, (asked, body, response) => {
    heads.push({ ...asked.headers, form: Object.fromEntries(new URLSearchParams(body)) });
    const { socket_id, channel_name } = Object.fromEntries(new URLSearchParams(body));
    response.end(JSON.stringify(api.authorizeChannel(socket_id, channel_name)));
  });
  const auth = { params: { username: 'user123', password: 'password456' }, headers: { 'X-Token': 'token' }, username: 'ada', password: 'secret' };
  await subscribed(await connected(t, { authEndpoint: url, auth }), 'private-asked');
  const head = await heads.next();
  assert.deepEqual([head.form.username, head.form.password, head['x-token']], ['user123', 'password456', 'token']);
  assert.equal(head.authorization, `Basic ${Buffer.from('ada:secret').toString('base64')}`);
  const headers = { Authorization: 'Basic Zm9yZWlnbg==' };
  await subscribed(await connected(t, { authEndpoint: url, auth: { headers } }), 'private-asked');
  assert.equal((await heads.next()).authorization, 'Basic Zm9yZWlnbg==');
});

test('README, `cluster`: the host follows from it, unless one is given', () => {
  Pusher.autoConnect = false;
  const hosts = [{}, { cluster: 'eu' }, { cluster: 'eu', host: 'here' }].map((options) => new Pusher('key', options).config);
  Pusher.autoConnect = true;
  assert.deepEqual(hosts.map(({ host }) => host), ['ws.pusherapp.com', 'ws-eu.pusher.com', 'here']);
  assert.deepEqual([hosts[0].wsPort, hosts[0].wssPort], [80, 443]);
});

test('README, Socket IDs: by its socket id a connection is left out', async (t) => {
  const [one, other] = [await connected(t), await connected(t)];
  for (const each of [one, other]) await subscribed(each, 'ids');
  await api.trigger('ids', 'said', 'to the others', { socket_id: one.connection.socket_id });
  await api.trigger('ids', 'said', 'to all');
  assert.equal(await data(one, 'said', 'ids'), 'to all');
  assert.equal(await data(other, 'said', 'ids'), 'to the others');
});

test('README, Subscribing: channels, by name and all of them', async (t) => {
  const one = await connected(t, { secret: app.secret });
  const mine = await subscribed(one, 'my-channel');
  const hidden = await subscribed(one, 'private-my-channel');
  assert.equal(one.channel('private-my-channel'), hidden);
  assert.equal(one.subscribe('my-channel'), mine);
  assert.deepEqual(one.allChannels(), [mine, hidden]);
  assert.deepEqual([mine.name, mine.subscribed, mine.pusher], ['my-channel', true, one]);
  one.unsubscribe('my-channel');
  assert.deepEqual([one.allChannels(), one.channel('my-channel')], [[hidden], undefined]);
});

test('README, Binding: to the events of all channels, of one, and to everything, in that order', async (t) => {
  const one = await connected(t);
  const channel = await subscribed(one, 'APPL');
  await subscribed(one, 'other');
  const got = [];
  const last = new Promise((resolve) => one.bind('new-comment', (comment) => got.push(['global', comment]) && comment === 2 && resolve()));
  channel.bind('new-comment', (comment) => got.push(['channel', comment]));
  channel.bind_all((event, comment) => got.push(['all of the channel', event, comment]));
  one.bind_all((event, comment) => got.push(['all', event, comment]));
  await api.trigger('APPL', 'new-comment', 1);
  await api.trigger('other', 'new-comment', 2);
  await last;
  assert.deepEqual(got, [
    ['all of the channel', 'new-comment', 1], ['channel', 1], ['all', 'new-comment', 1], ['global', 1],
    ['all', 'new-comment', 2], ['global', 2],
  ]);
});

test('README, Default events: `connection_established` and `subscribe`, for those who ask for them', async (t) => {
  const one = client(t, Pusher, server);
  const got = new Inbox('default events');
  for (const event of ['connection_established', 'subscribe']) one.bind(event, (value) => got.push([event, value]));
  one.connect();
  one.subscribe('defaults');
  assert.deepEqual(await got.next(), ['connection_established', { socket_id: one.connection.socket_id, activity_timeout: 120 }]);
  assert.deepEqual(await got.next(), ['subscribe', { channel: 'defaults' }]);
  assert.ok(!one.told.all.some(([from, event]) => from === 'all' && ['connection_established', 'subscribe'].includes(event)));
});

// --- What the README does not say

test('listeners are given up one by one, by event, and all at once', async (t) => {
  const one = await connected(t);
  const channel = await subscribed(one, 'unbound');
  const got = [];
  const [first, second] = [() => got.push('first'), () => got.push('second')];
  for (const emitter of [one, channel]) {
    emitter.bind('said', first).bind('said', second).bind('said', first).unbind('said', first).unbind('said', () => {});
    emitter.bind('more', first).unbind('more').unbind('nothing').bindAll(second).unbindAll(second).bind_all(second).unbind_all();
  }
  await api.trigger('unbound', 'said', {});
  await told(one, 'said', 'unbound');
  assert.deepEqual(got.sort(), ['first', 'first', 'second', 'second']);
  one.unbind();
  channel.unbind();
  await api.trigger('unbound', 'said', {});
  await api.trigger('unbound', 'end', {});
  await told(one, 'end', 'unbound');
  assert.equal(got.length, 4);
  for (const refuse of [() => one.bind('said'), () => one.bindAll(), () => channel.bind('said'), () => channel.bindAll('x')]) assert.throws(refuse, TypeError);
});

test('P-3.3: what no server should send harms nobody', async (t) => {
  const peers = await scripted(t, { app });
  const one = await connected(t, { secret: app.secret }, peers);
  const peer = await peers.peers.next();
  subscribe(one, 'odd');
  const texts = ['5', '"text"', '[1]', '{}', '{"event":7}', '{"event":null,"channel":"odd"}', '{"event":"said","channel":5,"data":"1"}', '{"event":"said","channel":{"a":1}}',
    '{"event":"pusher_internal:subscription_succeeded","channel":"presence-odd","data":"{}"}', `{"event":"deep","data":${'['.repeat(500)}${']'.repeat(500)}}`];
  const names = ['error', 'newListener', 'removeListener', '__proto__', 'constructor', 'toString', 'state_change', ''];
  subscribe(one, 'presence-odd-2');
  for (const text of texts) peer.text(text);
  for (const event of names) peer.say(event, '1', 'odd');
  peer.say('pusher_internal:member_added', '{"user_id":"__proto__","user_info":{"a":1}}', 'presence-odd-2');
  peer.say('pusher_internal:member_removed', '{"user_id":"toString"}', 'presence-odd-2');
  peer.say('end', '1', 'odd');
  await told(one, 'end', 'odd');
  assert.deepEqual(one.told.all.filter(([from]) => from === 'odd').map(([, event]) => event), [...names, 'end']);
  assert.deepEqual(one.channel('presence-odd-2').members.get('__proto__'), { id: '__proto__', info: { a: 1 } });
  assert.equal(one.connection.state, 'connected');
  assert.equal({}.a, undefined);
});

test('what cannot be of use is refused as it is given', () => {
  Pusher.autoConnect = false;
  for (const [options, message] of [
    [{ secret: 5 }, /secret must be a string/], [{ wsPort: 'x' }, /wsPort must be a port/], [{ wssPort: 70_000 }, /wssPort/], [{ pongTimeout: 0 }, /pongTimeout/],
    [{ activityTimeout: 'soon' }, /activityTimeout/], [{ proxy: 'http://here' }, /proxy must be true/], [{ host: 'no host' }, /address/],
    [{ channel_data: { user_id: 1.5 } }, /channel_data/], [{ userData: { id: 5 } }, /user_data/], [{ encryptionMasterKey: masterKey }, /needs a secret/],
    [{ secret: 's', encryptionMasterKey: 'short' }, /encryptionMasterKey: the master key must be 32/], [{ ca: '/nowhere.pem' }, /ca: cannot read/],
    [{ authEndpoint: 'not a url' }, /endpoint/], [{ authEndpoint: 'http://here', auth: { headers: { 'a b': 'c' } } }, /header/],
  ]) {
    assert.throws(() => new Pusher('key', options), message, JSON.stringify(options));
  }
  const one = new Pusher('key');
  for (const name of ['private-x', 'presence-x']) assert.throws(() => one.subscribe(name), /Cannot authorize channel/);
  assert.deepEqual(one.allChannels(), []);
  Pusher.autoConnect = true;
});

test('P-5.2: a channel that was refused is asked for again by `subscribe`', async (t) => {
  let refuse = true;
  const endpoint = await authEndpoint(t, api, { refuse: () => refuse });
  const one = await connected(t, { authEndpoint: endpoint.channels });
  const channel = subscribe(one, 'private-again');
  assert.equal(await data(one, 'pusher:subscription_error', 'private-again'), 403);
  refuse = false;
  assert.equal(one.subscribe('private-again'), channel);
  await told(one, 'pusher:subscription_succeeded', 'private-again');
  assert.equal(endpoint.forms.all.length, 2);
});

test('P-6.7: an endpoint that answers otherwise, or not at all, is told to the channel', async (t) => {
  const url = await listen(t, (asked, body, response) => response.end(asked.url === '/text' ? 'sorry' : '{"auth":"a:b"}'));
  for (const [authEndpointUrl, name, message] of [[`${url}/text`, 'private-x', /JSON/], [`${url}/short`, 'presence-x', /channel_data/], ['http://127.0.0.1:1', 'private-x', /cannot reach/]]) {
    const one = await connected(t, { authEndpoint: authEndpointUrl });
    subscribe(one, name);
    assert.match(await data(one, 'pusher:subscription_error', name), message);
  }
});

test('disconnected and connected again it has its channels again, and nothing of the time between', async (t) => {
  const one = await connected(t, { secret: app.secret });
  const channel = await subscribed(one, 'presence-again');
  one.disconnect();
  one.disconnect();
  assert.deepEqual([one.connection.state, channel.subscribed, one.sendEvent('client-x', {}, 'presence-again')], ['disconnected', false, false]);
  one.connect();
  one.connect();
  one.disconnect();
  one.connect();
  await told(one, 'connected', 'connection');
  await told(one, 'pusher:subscription_succeeded', 'presence-again');
  assert.deepEqual(one.told.all.filter(([, event]) => event === 'state_change').map(([, , { current }]) => current), [
    'connecting', 'connected', 'disconnected', 'connecting', 'disconnected', 'connecting', 'connected',
  ]);
  await api.trigger('presence-again', 'said', 1);
  assert.equal(await data(one, 'said', 'presence-again'), 1);
});

test('P-17.3: a connection that is cut off comes back, with all channels', async (t) => {
  const front = await recorder(t, server);
  const one = await connected(t, {}, front);
  for (const name of ['cut', 'cut-too']) await subscribed(one, name);
  front.cut();
  assert.equal((await data(one, 'error', 'connection')).type, 'WebSocketError');
  for (const name of ['cut', 'cut-too']) await told(one, 'pusher:subscription_succeeded', name);
  await api.trigger('cut-too', 'said', 1);
  await told(one, 'said', 'cut-too');
});

test('without a connection for a while the state is `unavailable`, and it is tried on', async (t) => {
  const former = await scripted(t, { app });
  await former.stop();
  const one = client(t, Pusher, former, { unavailableTimeout: 20 });
  one.connect();
  await told(one, 'unavailable', 'connection');
  await scripted(t, { app, port: former.port });
  await told(one, 'connected', 'connection');
});

test('P-13.3 P-13.4: cache channels', async (t) => {
  const one = await connected(t, { secret: app.secret });
  subscribe(one, 'private-cache-empty');
  await told(one, 'pusher:cache_miss', 'private-cache-empty');
  await api.trigger('cache-full', 'said', { last: true });
  subscribe(one, 'cache-full');
  assert.deepEqual(await data(one, 'said', 'cache-full'), { last: true });
});

test('P-14.2 P-14.4: how many are subscribed', async (t) => {
  const one = await connected(t);
  const channel = await subscribed(one, 'counted');
  assert.deepEqual(await data(one, 'pusher:subscription_count', 'counted'), { subscription_count: 1 });
  await subscribed(await connected(t), 'counted');
  assert.deepEqual(await data(one, 'pusher:subscription_count', 'counted'), { subscription_count: 2 });
  assert.equal(channel.subscription_count, 2);
});

test('P-9.2 P-9.3: encrypted channels, by the master key or with the secret that the endpoint gives', async (t) => {
  const endpoint = await authEndpoint(t, sealing);
  for (const options of [{ secret: app.secret, encryptionMasterKey: masterKey }, { authEndpoint: endpoint.channels }]) {
    const one = await connected(t, options);
    const channel = await subscribed(one, 'private-encrypted-safe');
    await sealing.trigger('private-encrypted-safe', 'said', { to: 'few' });
    assert.deepEqual(await data(one, 'said', 'private-encrypted-safe'), { to: 'few' });
    const message = (await one.told.next(([, event, value]) => event === 'message' && value.event === 'said'))[2];
    assert.deepEqual(message, { event: 'said', channel: 'private-encrypted-safe', data: { to: 'few' } });
    assert.throws(() => channel.trigger('client-said', {}), /cannot be encrypted/);
    one.disconnect();
  }
});

test('P-9.7: what cannot be decrypted is told of', async (t) => {
  const one = await connected(t, { secret: app.secret, encryptionMasterKey: Buffer.alloc(32, 8).toString('base64') });
  await subscribed(one, 'private-encrypted-safe');
  await sealing.trigger('private-encrypted-safe', 'said', {});
  const { error, ...rest } = await data(one, 'error', 'connection');
  assert.deepEqual(rest, { type: 'DecryptionError', channel: 'private-encrypted-safe', event: 'said' });
  assert.equal(typeof error, 'string');
  assert.ok(!one.told.all.some(([from, event]) => from === 'all' && event === 'said'));
});

test('P-15.1 P-15.3 P-15.6: signing in, with the secret or by the endpoint, and events to the user', async (t) => {
  const userData = { id: 'ada', user_info: { name: 'Ada' } };
  const endpoint = await authEndpoint(t, api, { user: userData });
  for (const options of [{ secret: app.secret, userData }, { userAuthEndpoint: endpoint.users }]) {
    const one = await connected(t, options);
    one.signin();
    await told(one, 'pusher:signin_success', 'all');
    assert.deepEqual([one.user.id, one.user.user_data], ['ada', userData]);
    const letters = new Inbox('letters');
    one.user.bind('letter', (letter) => letters.push(letter));
    await one.told.next(([, event, value]) => event === 'message' && value.event === 'pusher_internal:subscription_succeeded');
    await api.sendToUser('ada', 'letter', { dear: 'Ada' });
    assert.deepEqual(await letters.next(), { dear: 'Ada' });
    one.disconnect();
    assert.equal(one.user.id, undefined);
    one.connect();
    await told(one, 'pusher:signin_success', 'all');
    one.disconnect();
  }
});

test('P-15.9: who of a watchlist comes and goes', async (t) => {
  const one = await connected(t, { secret: app.secret, userData: { id: 'watcher', watchlist: ['bob'] } });
  const changes = new Inbox('changes');
  for (const name of ['online', 'offline']) one.user.watchlist.bind(name, (change) => changes.push(change));
  one.signin();
  assert.deepEqual(await changes.next(), { name: 'offline', user_ids: ['bob'] });
  const bob = await RawSocket.open(server);
  await bob.signin({ id: 'bob' });
  assert.deepEqual(await changes.next(), { name: 'online', user_ids: ['bob'] });
  bob.end();
  assert.deepEqual(await changes.next(), { name: 'offline', user_ids: ['bob'] });
});

test('P-15.1: signing in where nobody signs, or the endpoint refuses', async (t) => {
  const url = await listen(t, (asked, body, response) => response.writeHead(403).end('no'));
  for (const [options, message] of [[{}, /nobody signs for users/], [{ userAuthEndpoint: url }, /403/]]) {
    const one = await connected(t, options);
    one.signin();
    const refused = await data(one, 'pusher:signin_error', 'all');
    assert.equal(refused.type, 'AuthError');
    assert.match(refused.error, message);
  }
});

test('P-2.9: below a path', async (t) => {
  const below = await startServer(t, { app, listener: { path_prefix: '/push' } });
  for (const options of [{ path: '/push' }, { wsPath: 'push/' }]) await connected(t, options, below);
});

test('through the proxy that the environment names, unless it is not to be', async (t) => {
  const asked = new Inbox('targets of CONNECT');
  const proxy = createServer();
  proxy.on('connect', (head, socket) => {
    asked.push(head.url);
    const back = tcpConnect(server.port, HOST, () => {
      socket.write('HTTP/1.1 200 Connected\r\n\r\n');
      socket.pipe(back).pipe(socket);
    });
    for (const [one, other] of [[socket, back], [back, socket]]) one.on('error', () => other.destroy()).on('close', () => other.destroy());
  });
  await new Promise((resolve) => proxy.listen(0, HOST, resolve));
  cleanup(t, () => {
    delete process.env.HTTP_PROXY;
    proxy.closeAllConnections();
    proxy.close();
  });
  process.env.HTTP_PROXY = `http://${HOST}:${proxy.address().port}`;
  (await connected(t, { proxy: false })).disconnect();
  assert.deepEqual(asked.all, []);
  const one = await connected(t, { host: 'push.example', wsPort: 6001 });
  assert.equal(await asked.next(), 'push.example:6001');
  one.disconnect();
});

test('P-20.10: more messages at once than there is room for are refused, and none is lost of the others', async (t) => {
  const peers = await scripted(t, { app });
  const one = await connected(t, {}, peers);
  const peer = await peers.peers.next();
  const filling = 'x'.repeat(100_000);
  let sent = 0;
  // Nothing else happens in this process meanwhile, so only what waits for the other thread counts.
  while (sent < 1_000 && one.sendEvent('client-much', { n: sent, filling }, 'private-x')) sent += 1;
  for (let n = 0; n < sent; n++) assert.equal((await peer.said.next()).data.n, n);
  assert.ok(sent > 5);
});
