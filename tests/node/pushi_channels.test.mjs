// How Pushi's channels behave beyond its vectors, and how they meet Pusher's on the same app.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import Pusher from 'pusher';
import { channelAuth } from './support/sign.mjs';
import { cleanup } from './support/cleanup.mjs';
import { login, open, pushiApp, pushiAuth, refusal, rest, silent, startPushi, subscribe } from './support/pushi.mjs';
import { RawSocket } from './support/raw_socket.mjs';
import { HOST } from './support/server.mjs';

const alone = await startPushi({ after }, { pushi: { open_apps: true, cors_origins: ['https://page.example'] } });
const token = await login(alone);
const shared = await startPushi({ after }, { dialects: ['pushi', 'pushi-api', 'pusher'], app: pushiApp({ client_events: true }) });

const send = (raw, channel, data, more = {}) => raw.send({ event: 'm', channel, data, persist: false, ...more });
const publish = (server, sid, json) => rest(server, 'POST', '/events', { query: { sid }, json });

/** A Pusher client on a server that speaks both. */
async function openPusher(t, server) {
  const raw = await RawSocket.open(server, server.path());
  cleanup(t, () => raw.end());
  return raw;
}

test('I-2.4 I-8.10 a repeated subscribe flickers nothing; another user is another member', async (t) => {
  const [a, b] = [await open(t, alone), await open(t, alone)];
  await subscribe(a, 'presence-r1', { user_id: 'a' });
  await subscribe(b, 'presence-r1', { user_id: 'b' });
  await a.message('pusher:member_added');
  await subscribe(b, 'presence-r1', { user_id: 'b', mood: 'new' });
  await silent(a);
  const { members } = await subscribe(a, 'presence-r1', { user_id: 'a' });
  assert.deepEqual(members, { a: { user_id: 'a' }, b: { user_id: 'b', mood: 'new' } });
  await subscribe(b, 'presence-r1', { user_id: 'c' });
  assert.deepEqual(JSON.parse((await a.message('pusher:member_removed')).member), { user_id: 'b', mood: 'new' });
  assert.deepEqual(JSON.parse((await a.message('pusher:member_added')).member), { user_id: 'c' });
  await silent(b);
});

test('I-2.5 I-2.7 I-2.16 I-8.4 whoever leaves a presence channel leaves its pairs; a lost connection leaves everything', async (t) => {
  const [a, b] = [await open(t, alone), await open(t, alone)];
  await subscribe(a, 'presence-r2', { user_id: 'a', peer: true });
  await subscribe(b, 'presence-r2', { user_id: 'b' });
  send(a, 'peer-r2:a&b', 'hello');
  assert.equal((await b.message('m')).data, 'hello');
  b.send({ event: 'pusher:unsubscribe', data: { channel: 'presence-r2' } });
  const left = JSON.parse((await b.message('pusher_internal:unsubscription_succeeded')).data);
  assert.deepEqual(left.members, { a: { user_id: 'a', peer: true } });
  await a.message('pusher:member_removed');
  send(a, 'peer-r2:a&b', 'anybody?');
  assert.equal((await refusal(a)).code, 403);
  send(b, 'peer-r2:a&b', 'not any more');
  assert.equal((await refusal(b)).code, 403);
  await subscribe(b, 'presence-r2', { user_id: 'b' });
  await a.message('pusher:member_added');
  b.end();
  assert.deepEqual(JSON.parse((await a.message('pusher:member_removed')).member), { user_id: 'b' });
  const listed = await rest(alone, 'GET', `/sockets/${b.socketId}`, { query: { sid: token } });
  assert.deepEqual(listed.body, { channels: [] });
});

test('I-2.8 I-8.1 I-8.18 members by the text of their ids, numbers and names mixed, whoever came first', async (t) => {
  const ids = [10, 9, 'Zed', 'alice', 'a&b', 1.5];
  const clients = [];
  for (const [at, user_id] of ids.entries()) {
    const raw = await open(t, alone);
    await subscribe(raw, 'presence-r3', { user_id, ...(at === 3 ? { peer: true } : {}) });
    clients.push(raw);
  }
  const { members } = await subscribe(clients[0], 'presence-r3', { user_id: 10 });
  assert.deepEqual(Object.keys(members).sort(), ['1.5', '10', '9', 'Zed', 'a&b', 'alice']);
  assert.deepEqual(members['9'], { user_id: 9 });
  const listed = await rest(alone, 'POST', `/sockets/${clients[3].socketId}`, { query: { sid: token } });
  assert.deepEqual(listed.body.channels, ['presence-r3', 'peer-r3:1.5&alice', 'peer-r3:10&alice', 'peer-r3:9&alice', 'peer-r3:Zed&alice', 'peer-r3:a&b&alice']);
  send(clients[3], 'peer-r3:Zed&alice', 'hi');
  assert.equal((await clients[2].message('m')).channel, 'peer-r3:Zed&alice');
});

test('I-2.9 I-2.17 I-8.12 what a user follows is followed by all its connections at once, and personal events reach it', async (t) => {
  const raw = await open(t, alone);
  await subscribe(raw, 'personal-p1');
  await rest(alone, 'POST', '/subscriptions', { query: { sid: token }, json: { user_id: 'p1', event: 'presence-r4' } });
  await publish(alone, token, { channel: 'presence-r4', data: 'live' });
  assert.equal((await raw.message('message')).channel, 'presence-r4');
  await publish(alone, token, { channel: 'personal-p1', data: 'for you' });
  assert.equal((await raw.message('message')).data, 'for you');
  await rest(alone, 'DELETE', '/subscriptions/p1/presence-r4', { query: { sid: token } });
  await publish(alone, token, { channel: ['presence-r4', 'personal-p1'], data: 'last' });
  assert.equal((await raw.message('message')).channel, 'personal-p1');
  raw.send({ event: 'pusher:latest', data: { channel: 'personal-p1' } });
  const { events, alias } = JSON.parse((await raw.message('pusher_internal:latest')).data);
  assert.deepEqual([alias, events.map((one) => one.data.data)], [[], ['last', 'for you', 'live']]);
  raw.send({ event: 'pusher:unsubscribe', data: { channel: 'personal-p1' } });
  await raw.message('pusher_internal:unsubscription_succeeded');
  await publish(alone, token, { channel: 'personal-p1', data: 'unheard', persist: false });
  await silent(raw);
});

test('I-1.4 I-8.13 nobody can forge the protocol\'s events', async (t) => {
  const raw = await open(t, alone);
  await subscribe(raw, 'forged');
  for (const event of ['pusher:member_added', 'pusher_internal:subscription_succeeded', 'tidings:gap', 'pushy:presence-add', 'pusher:error']) {
    raw.send({ event, channel: 'forged', data: 'x' });
    assert.equal((await refusal(raw)).code, 400, event);
    assert.equal((await publish(alone, token, { event, channel: 'forged', data: 'x' })).status, 400, event);
  }
});

test('I-4.7 I-4.10 I-4.51 I-8.6 I-8.9 I-8.15 sessions are of one app, pages of listed origins may use them, errors tell nothing', async (t) => {
  const made = await rest(alone, 'POST', '/apps', { json: { name: 'other' } });
  assert.equal(made.status, 200);
  const { ident, key, secret } = made.body;
  const theirs = await login(alone, { id: ident, key, secret });
  const raw = await open(t, alone);
  await subscribe(raw, 'mine');
  await publish(alone, theirs, { channel: 'mine', data: 'theirs' });
  await publish(alone, token, { channel: 'mine', data: 'ours' });
  assert.equal((await raw.message('message')).data, 'ours');
  assert.equal((await rest(alone, 'GET', `/apps/${alone.app.id}`, { query: { sid: theirs } })).status, 404);
  const page = await rest(alone, 'OPTIONS', '/events', { headers: { Origin: 'https://page.example', 'Access-Control-Request-Method': 'POST' } });
  assert.equal(page.status, 204);
  assert.equal(page.headers.get('access-control-allow-origin'), 'https://page.example');
  assert.equal(page.headers.get('access-control-allow-credentials'), 'true');
  const stranger = await rest(alone, 'GET', '/health/live', { headers: { Origin: 'https://else.example' } });
  assert.deepEqual([stranger.body, stranger.headers.get('access-control-allow-origin')], [{ status: 'ok' }, '*']);
  assert.equal(stranger.headers.get('access-control-allow-credentials'), null);
  const wrong = await rest(alone, 'GET', '/login', { query: { app_id: alone.app.id, app_key: alone.app.key, app_secret: 'guess' } });
  const text = JSON.stringify(wrong.body);
  assert.ok(wrong.status === 403 && !text.includes('guess') && !text.includes(alone.app.key), text);
  assert.ok(!alone.log.includes(alone.app.secret) && !alone.log.includes(token), 'the log tells no secrets');
});

test('I-8.14 I-8.16 I-8.17 I-8.19 what never worked in the original works', async (t) => {
  assert.deepEqual((await rest(alone, 'GET', '/apps/ping', { query: { sid: token } })).body, { result: 'success' });
  assert.equal((await rest(alone, 'GET', '/sockets', { query: { sid: token } })).status, 200);
  const raw = await open(t, alone);
  await subscribe(raw, 'private-日本');
  await publish(alone, token, { channel: 'private-日本', data: [1] });
  const message = await raw.message('message');
  assert.deepEqual([message.channel, message.data], ['private-日本', '[1]']);
});

test('design: an event of the pusher library reaches Pushi, and one of Pushi reaches pusher\'s clients', async (t) => {
  const { id, key, secret } = shared.app;
  const library = new Pusher({ appId: id, key, secret, host: HOST, port: shared.port, useTLS: false });
  const [pushi, pusher] = [await open(t, shared), await openPusher(t, shared)];
  await subscribe(pushi, 'private-both');
  await pusher.subscribe('private-both');
  await library.trigger('private-both', 'App\\Shipped', { n: 1 });
  assert.deepEqual(await pushi.message('App\\Shipped'), { event: 'App\\Shipped', channel: 'private-both', data: '{"n":1}' });
  assert.deepEqual(await pusher.message('App\\Shipped'), { event: 'App\\Shipped', channel: 'private-both', data: '{"n":1}' });
  const sid = await login(shared);
  await publish(shared, sid, { channel: 'private-both', event: 'e', data: { n: 2 }, push: 'short' });
  const stored = await pushi.message('e');
  assert.deepEqual([stored.data, stored.push, typeof stored.mid], ['{"n":2}', 'short', 'string']);
  assert.deepEqual(await pusher.message('e'), { event: 'e', channel: 'private-both', data: '{"n":2}' });
  // Clients, each way.
  pushi.send({ event: 'client-x', channel: 'private-both', data: { from: 'pushi' } });
  assert.deepEqual(await pusher.message('client-x'), { event: 'client-x', channel: 'private-both', data: '{"from":"pushi"}' });
  pusher.send({ event: 'client-y', channel: 'private-both', data: { from: 'pusher' } });
  assert.equal((await pushi.message('client-y')).data, '{"from":"pusher"}');
  // The library leaves out a connection of either kind (P-11.1, P-11.3).
  await library.trigger('private-both', 'except', 'x', { socket_id: pusher.socketId });
  await pushi.message('except');
  const { status } = await library.post({ path: '/events', body: { name: 'uuid', data: 'x', channels: ['private-both'], socket_id: pushi.socketId } });
  assert.equal(status, 200);
  await pusher.message('uuid');
  await silent(pushi);
  // Several channels: Pushi's clients get the first, Pusher's each.
  await subscribe(pushi, 'private-more');
  await pusher.subscribe('private-more');
  await publish(shared, sid, { channel: ['private-more', 'private-both'], event: 'twice', data: 'x', persist: false });
  assert.equal((await pushi.message('twice')).channel, 'private-more');
  assert.deepEqual([(await pusher.message('twice')).channel, (await pusher.message('twice')).channel].sort(), ['private-both', 'private-more']);
  await silent(pushi);
});

test('design: members are seen from both sides', async (t) => {
  const [pushi, pusher] = [await open(t, shared), await openPusher(t, shared)];
  const signed = JSON.stringify({ user_id: 'p', user_info: { name: 'Pushi' }, mood: 'good' });
  const join = (raw, text) => {
    const auth = channelAuth(shared.app, raw.socketId, 'presence-both', text);
    raw.send({ event: 'pusher:subscribe', data: { channel: 'presence-both', auth, channel_data: text } });
    return raw.message('pusher_internal:subscription_succeeded');
  };
  await join(pushi, signed);
  const listed = JSON.parse((await pusher.subscribe('presence-both', JSON.stringify({ user_id: 'q', user_info: { name: 'Pusher' } }))).data);
  assert.deepEqual(listed.presence.hash, { p: { name: 'Pushi' }, q: { name: 'Pusher' } });
  const added = await pushi.message('pusher:member_added');
  assert.deepEqual([JSON.parse(added.member), added.data], [{ user_id: 'q', user_info: { name: 'Pusher' } }, added.member]);
  const record = JSON.parse((await join(pushi, signed)).data);
  assert.deepEqual(record.members, { p: { user_id: 'p', user_info: { name: 'Pushi' }, mood: 'good' }, q: { user_id: 'q', user_info: { name: 'Pusher' } } });
  pushi.end();
  assert.deepEqual(JSON.parse((await pusher.message('pusher_internal:member_removed')).data), { user_id: 'p' });
});

test('I-2.13 I-8.5 I-8.8 beside other dialects strangers may not publish, and members are signed', async (t) => {
  const raw = await open(t, shared);
  await subscribe(raw, 'open');
  send(raw, 'open', 'x');
  assert.equal((await refusal(raw)).code, 403);
  raw.send({ event: 'pusher:subscribe', data: { channel: 'presence-s', auth: pushiAuth(shared.app, raw.socketId, 'presence-s'), channel_data: { user_id: 'anybody' } } });
  assert.equal((await refusal(raw)).code, 401);
  const free = await open(t, alone);
  await subscribe(free, 'open');
  send(free, 'open', 'x', { echo: true });
  assert.equal((await free.message('m')).data, 'x', 'alone, Pushi is as it was');
});

// The whole matrix of prefixes and dialects, without credentials.
const PREFIXES = { 'matrix-news': 'open', 'private-m': 'closed', 'presence-m': 'closed', 'personal-m': 'closed', 'peer-m': 'closed', '#m': 'never' };
for (const [channel, access] of Object.entries(PREFIXES)) {
  test(`design: ${channel} is ${access} in every dialect`, async (t) => {
    const pusher = await openPusher(t, shared);
    pusher.send({ event: 'pusher:subscribe', data: { channel } });
    const told = await pusher.message(undefined, (one) => /subscription_(succeeded|error)/.test(one.event));
    assert.equal(told.event.endsWith('succeeded'), access === 'open', JSON.stringify(told));
    const pushi = await open(t, shared);
    pushi.send({ event: 'pusher:subscribe', data: { channel } });
    const answer = await pushi.message();
    if (access === 'open') assert.equal(answer.event, 'pusher_internal:subscription_succeeded');
    else assert.equal(JSON.parse(answer.data).code, access === 'closed' ? 401 : 400);
    // Neither of the APIs takes a publish without credentials.
    assert.equal((await publish(shared, '', { channel, data: 'x' })).status, 403);
    const unsigned = await rest(shared, 'POST', `/apps/${shared.app.id}/events`, { query: { auth_key: shared.app.key }, json: { name: 'e', channel, data: 'x' } });
    assert.ok(unsigned.status === 401 || unsigned.status === 400, `${unsigned.status}`);
    if (access === 'open') return;
    // Who is not on it hears nothing of it.
    const { id, key, secret } = shared.app;
    const library = new Pusher({ appId: id, key, secret, host: HOST, port: shared.port, useTLS: false });
    if (access === 'closed') await library.trigger(channel, 'secret', 'x');
    await silent(pushi);
    await pusher.settled();
    assert.ok(!pusher.messages().some((one) => one.event === 'secret'));
  });
}
