// The HTTP API as no library would use it: parameters in odd places, escaped paths, old calls.
import assert from 'node:assert/strict';
import { Agent, request as httpRequest } from 'node:http';
import { after, test } from 'node:test';
import { cleanup } from './support/cleanup.mjs';
import { RawSocket } from './support/raw_socket.mjs';
import { newApp, startServer } from './support/server.mjs';
import { request, signedQuery } from './support/sign.mjs';

const server = await startServer({ after }, { app: newApp() });
const base = `/apps/${server.app.id}`;

async function open(t, to = server) {
  const raw = await RawSocket.open(to);
  cleanup(t, () => raw.end());
  return raw;
}

test('P-10.1: requests follow each other on one connection', async (t) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  cleanup(t, () => agent.destroy());
  const sockets = new Set();
  for (let n = 0; n < 5; n++) {
    const body = JSON.stringify({ name: 'e', data: String(n), channels: ['c'] });
    const path = `${base}/events?${new URLSearchParams(signedQuery(server.app, 'POST', `${base}/events`, { body }))}`;
    const status = await new Promise((resolve, refuse) => {
      const sent = httpRequest({ host: server.host, port: server.port, path, method: 'POST', agent }, (answer) => answer.resume().on('end', () => resolve(answer.statusCode)));
      sent.on('socket', (socket) => sockets.add(socket)).on('error', refuse).end(body);
    });
    assert.equal(status, 200);
  }
  assert.equal(sockets.size, 1);
});

test('P-10.2: the body is JSON whatever its type says, and parameters may stand in the query', async (t) => {
  const reader = await open(t);
  await reader.subscribe('odd-places');
  const body = JSON.stringify({ name: 'typed', data: 'd', channels: ['odd-places'] });
  const query = new URLSearchParams(signedQuery(server.app, 'POST', `${base}/events`, { body }));
  const typed = await fetch(`${server.url}${base}/events?${query}`, { method: 'POST', body, headers: { 'content-type': 'text/plain' } });
  assert.equal(typed.status, 200);
  await reader.message('typed');
  const params = { name: 'queried', data: 'from the query', channel: 'odd-places' };
  assert.equal((await request(server, 'POST', `${base}/events`, { params })).status, 200);
  assert.equal((await reader.message('queried')).data, 'from the query');
  assert.equal((await request(server, 'POST', `${base}/events`, { params, body: { name: 'both', data: 'body wins' } })).status, 200);
  assert.equal((await reader.message('both')).data, 'body wins');
});

test('P-10.3 P-10.15: empty answers are objects', async () => {
  const channels = await request(server, 'GET', `${base}/channels`, { params: { filter_by_prefix: 'nobody-' } });
  assert.deepEqual([channels.status, channels.text.trim()], [200, '{"channels":{}}']);
  const batch = await request(server, 'POST', `${base}/batch_events`, { body: { batch: [{ name: 'e', data: 'd', channel: 'c' }] } });
  assert.deepEqual([batch.status, batch.text.trim()], [200, '{}']);
  assert.equal((await request(server, 'POST', `${base}/batch_events`, { body: { batch: [] } })).status, 400);
});

test('P-11.7 P-10.9: the name in a path may be escaped, and either form may be the signed one', async (t) => {
  await (await open(t)).subscribe('a;b,c=d@e');
  const [plain, escaped] = [`${base}/channels/a;b,c=d@e`, `${base}/channels/a%3Bb%2Cc%3Dd%40e`];
  for (const [signed, wire] of [[plain, plain], [escaped, escaped], [plain, escaped]]) {
    const answer = await request(server, 'GET', signed, { wire });
    assert.deepEqual([answer.status, JSON.parse(answer.text)], [200, { occupied: true }], wire);
  }
  assert.equal((await request(server, 'GET', `${base}/channels/a%20b`)).status, 400);
});

test('P-10.4 P-10.9: a query is signed decoded', async (t) => {
  await (await open(t)).subscribe('q=@;1');
  const answer = await request(server, 'GET', `${base}/channels`, { params: { filter_by_prefix: 'q=@;' } });
  assert.deepEqual(JSON.parse(answer.text), { channels: { 'q=@;1': {} } });
});

test('P-11.12: the old publish takes its body as the data and answers 202', async (t) => {
  const reader = await open(t);
  await reader.subscribe('old');
  const path = `${base}/channels/old/events`;
  const answer = await request(server, 'POST', path, { params: { name: 'legacy' }, body: 'any text, ö' });
  assert.deepEqual([answer.status, answer.text], [202, '']);
  assert.deepEqual(await reader.message('legacy'), { event: 'legacy', channel: 'old', data: 'any text, ö' });
  assert.equal((await request(server, 'POST', path, { params: { name: 'legacy', socket_id: reader.socketId }, body: 'not for me' })).status, 202);
  assert.equal((await request(server, 'POST', path, { params: { name: 'legacy' }, body: 'x'.repeat(10_241) })).status, 413);
  assert.equal((await request(server, 'POST', path, { body: 'no name' })).status, 400);
  await request(server, 'POST', path, { params: { name: 'fence' }, body: 'end' });
  await reader.message('fence');
  assert.equal(reader.messages().filter((one) => one.event === 'legacy').length, 1);
});

test('P-11.3 P-13.3: a socket id of nobody is ignored, one that is left out still fills the cache', async (t) => {
  const reader = await open(t);
  await reader.subscribe('cache-left-out');
  await reader.message('pusher:cache_miss');
  const publish = (data, id) => request(server, 'POST', `${base}/events`, { body: { name: 'e', data, channels: ['cache-left-out'], socket_id: id } });
  assert.equal((await publish('first', '1.1')).status, 200);
  assert.equal((await reader.message('e')).data, 'first');
  assert.equal((await publish('second', reader.socketId)).status, 200);
  reader.send({ event: 'pusher:unsubscribe', data: { channel: 'cache-left-out' } });
  await reader.subscribe('cache-left-out');
  assert.equal((await reader.message('e')).data, 'second');
});

test('P-10.11: a disabled app is 403, whose secret is right', async (t) => {
  const to = await startServer(t, { app: newApp({ enabled: false }) });
  const answer = await request(to, 'POST', `/apps/${to.app.id}/events`, { body: { name: 'e', data: 'd', channels: ['c'] } });
  assert.equal(answer.status, 403);
  assert.match(answer.headers.get('content-type'), /^text\/plain/);
});

test('P-10.10: under a prefix the path is signed without it, or with it', async (t) => {
  const to = await startServer(t, { listener: { path_prefix: '/rt' } });
  const path = `/apps/${to.app.id}/channels`;
  assert.equal((await request(to, 'GET', path, { wire: `/rt${path}` })).status, 200);
  assert.equal((await request(to, 'GET', `/rt${path}`)).status, 200);
  assert.equal((await request(to, 'GET', path, { wire: `/other${path}` })).status, 404);
});
