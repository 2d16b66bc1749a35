// What nobody should send to Pushi's dialect and its REST API: clear errors, and nobody else is affected.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { randomBytes } from 'node:crypto';
import { cleanup } from './support/cleanup.mjs';
import { login, open, pushiAuth, refusal, rest, silent, startPushi, subscribe } from './support/pushi.mjs';
import { BINARY, TEXT, frame, tcp } from './support/raw_socket.mjs';
import { within } from './support/wait.mjs';

const server = await startPushi({ after }, { pushi: { open_apps: true, client_events_per_second: 1_000_000 } });
const sid = await login(server);
let bystander;

/** Somebody who must never notice. */
before(async (t) => {
  bystander = await open(t, server);
  await subscribe(bystander, 'calm');
});

async function unharmed() {
  bystander.send({ event: 'm', channel: 'calm', data: 'still', echo: true, persist: false });
  assert.equal((await bystander.message('m')).data, 'still');
}

const call = (method, path, options = {}) => rest(server, method, path, { query: { sid, ...options.query }, ...options });

function isError(answer, status, name) {
  assert.equal(answer.status, status, JSON.stringify(answer.body));
  assert.deepEqual([answer.body.result, answer.body.code], ['error', status]);
  if (name) assert.equal(answer.body.name, name);
  assert.ok(answer.body.message.length > 0);
  assert.ok(!JSON.stringify(answer.body).includes('traceback'));
}

const SQL = ["'; DROP TABLE events; --", '" OR 1=1', "%' _ \\", '${x}', '$1', 'a\u2028b', '😀', '\u200b', "x'||(select 1)||'"];

test('I-8 SQL and other metacharacters are text everywhere', async (t) => {
  for (const [place, text] of SQL.entries()) {
    const channel = `c${place} ${text}`;
    const made = await call('POST', '/subscriptions', { json: { user_id: text, event: channel } });
    assert.deepEqual([made.status, made.body.user_id, made.body.event], [200, text, channel], JSON.stringify(made.body));
    const sent = await call('POST', '/events', { json: { channel, data: text, event: text, more: text } });
    assert.equal(sent.status, 200, JSON.stringify(sent.body));
    const { body } = await call('GET', '/events', { query: { channel, sid } });
    assert.deepEqual([body.events.length, body.events[0].channel, body.events[0].data.data, body.events[0].data.more], [1, channel, text, text]);
    const raw = await open(t, server);
    const record = await subscribe(raw, `personal-${text}`);
    assert.deepEqual([record.alias, record.events.length], [[channel], 1]);
    const listed = await call('GET', '/subscriptions', { query: { user_id: text, sid } });
    assert.equal(listed.body.subscriptions.length, 1);
    const gone = await call('DELETE', `/subscriptions/${encodeURIComponent(text)}/${encodeURIComponent(channel)}`);
    assert.equal(gone.body.event, channel);
    const hook = `https://x.example/${encodeURIComponent(text)}`;
    assert.equal((await call('POST', '/webs', { json: { url: hook, event: channel } })).body.url, hook);
    assert.equal((await call('DELETE', '/webs', { query: { url: hook, event: channel, sid } })).status, 200);
  }
  await unharmed();
});

test('I-1.14 I-4.8 what is too large is refused, and the connection that sent it at most is closed', async (t) => {
  const raw = await open(t, server);
  await subscribe(raw, 'big');
  raw.send({ event: 'm', channel: 'big', data: 'x'.repeat(1024 * 1024 - 60) });
  raw.send({ event: 'pusher:ping' });
  await raw.message('pusher:pong');
  raw.send({ event: 'pusher:subscribe', data: { channel: 'x'.repeat(201) } });
  assert.equal((await refusal(raw)).code, 400);
  raw.send({ event: 'pusher:subscribe', data: { channel: 'presence-b', auth: pushiAuth(server.app, raw.socketId, 'presence-b'), channel_data: { user_id: 'u', more: 'x'.repeat(17_000) } } });
  assert.equal((await refusal(raw)).code, 413);
  raw.write(frame(TEXT, Buffer.alloc(10 * 1024 * 1024, 120)));
  assert.equal((await raw.close()).code, 1009);
  isError(await call('POST', '/events', { json: { data: 'x'.repeat(10 * 1024 * 1024) } }), 413);
  isError(await call('POST', '/events', { json: { data: 'x'.repeat(1_100_000) } }), 413);
  isError(await call('POST', '/events', { json: { data: 'x', channel: Array.from({ length: 101 }, (_, at) => `c${at}`) } }), 400);
  await unharmed();
});

test('I-1.11 I-8.1 garbage of a hundred connections', async (t) => {
  const clients = await Promise.all(Array.from({ length: 100 }, () => open(t, server)));
  await Promise.all(
    clients.map(async (raw, at) => {
      const garbage = [
        () => raw.write(randomBytes(500)),
        () => Array.from({ length: 10 }, () => raw.send('nope')),
        () => raw.write(frame(TEXT, Buffer.from([0xff, 0xfe]))),
        () => raw.write(frame(BINARY, randomBytes(50))),
        () => raw.send('['.repeat(100_000)),
        () => raw.send({ event: 'pusher:subscribe', data: { channel: 'presence-g', auth: {}, channel_data: [] } }),
        () => raw.send(JSON.stringify({ event: 'x', channel: 'g', data: 1 }).replace('"x"', '"\\ud800"')),
        () => raw.write(frame(TEXT, '{}', { mask: false })),
        () => raw.socket.resetAndDestroy(),
        () => raw.send({ event: '__proto__', channel: 'constructor', data: { toString: 1 } }),
      ];
      garbage[at % garbage.length]();
      await unharmed();
    }),
  );
});

test('I-8.1 ids of mixed types do no harm to those who are there', async (t) => {
  const [a, b] = [await open(t, server), await open(t, server)];
  await subscribe(a, 'presence-mixed', { user_id: 1, peer: true });
  for (const user_id of [null, true, [], {}, '', { a: 1 }]) {
    b.send({ event: 'pusher:subscribe', data: { channel: 'presence-mixed', auth: pushiAuth(server.app, b.socketId, 'presence-mixed'), channel_data: { user_id, peer: true } } });
    assert.equal((await refusal(b)).code, 400, JSON.stringify(user_id));
    b.send({ event: 'pusher:ping' });
    await b.message('pusher:pong');
  }
  await subscribe(b, 'presence-mixed', { user_id: '1x', peer: true });
  await a.message('pusher:member_added');
  await silent(a);
});

test('I-1.11 more often than may be: 429', async (t) => {
  const slow = await startPushi(t);
  const raw = await open(t, slow);
  await subscribe(raw, 'fast');
  for (let at = 0; at < 60; at += 1) raw.send({ event: 'm', channel: 'fast', data: at, persist: false });
  assert.equal((await refusal(raw)).code, 429);
});

test('I-4.3 I-4.8 I-4.17 I-4.18 I-4.31 REST: missing, mistyped, broken, nested', async () => {
  const deep = `{"data":${'['.repeat(10_000)}${']'.repeat(10_000)}}`;
  for (const [status, name, method, path, options] of [
    [400, 'RuntimeError', 'POST', '/events', { json: {} }],
    [400, 'RuntimeError', 'POST', '/events', { json: { data: 0 } }],
    [400, 'RuntimeError', 'POST', '/events', { body: 'not json', type: 'application/json' }],
    [400, 'RuntimeError', 'POST', '/events', { body: '{"data":"x"}', type: 'text/plain' }],
    [400, 'RuntimeError', 'POST', '/events', { body: Buffer.from([0xff, 0xfe]), type: 'application/json' }],
    [400, undefined, 'POST', '/events', { body: deep, type: 'application/json' }],
    [400, undefined, 'POST', '/events', { json: { data: 'x', channel: 7 } }],
    [400, undefined, 'POST', '/events', { json: { data: 'x', channel: ['a', 7] } }],
    [400, undefined, 'POST', '/events', { json: { data: 'x', channel: '#x' } }],
    [400, undefined, 'POST', '/events', { json: { data: 'x', channel: 'a\u0000b' } }],
    [400, 'AssertionError', 'POST', '/events', { json: { data: 'x', timestamp: 1 } }],
    [400, undefined, 'POST', '/events', { json: { data: 'x', event: 'pusher_internal:x' } }],
    [400, 'OperationalError', 'GET', '/events', { query: { sid, count: '1e3' } }],
    [400, 'ValidationError', 'POST', '/subscriptions', { json: { user_id: 'u' } }],
    [400, undefined, 'POST', '/subscriptions', { body: 'broken', type: 'multipart/form-data; boundary=x' }],
    [400, 'ValidationError', 'POST', '/webs', { json: { event: 'news' } }],
    [400, 'OperationalError', 'POST', '/webs', { json: { url: 'file:///etc/passwd', event: 'news' } }],
    [400, 'OperationalError', 'POST', '/smtps', { json: { email: 'nobody', event: 'news' } }],
    [400, 'OperationalError', 'POST', '/apns', { json: { token: 'xyz', event: 'news' } }],
    [400, 'RuntimeError', 'POST', '/webs', { json: { url: 'https://a.example/', event: 'private-x' } }],
    [404, 'NotFoundError', 'GET', '/apps/__proto__', {}],
    [404, 'NotFoundError', 'DELETE', '/subscriptions/a/b', { query: { sid, force: 'True' } }],
    [404, 'NotFoundError', 'GET', '/../etc/passwd/x', {}],
    [405, undefined, 'DELETE', '/events', {}],
    [405, undefined, 'PATCH', '/apps', {}],
  ]) {
    isError(await call(method, path, options), status, name);
  }
  for (const token of ['', 'x', sid.slice(1), `${sid}0`, sid.toUpperCase(), "' OR 1=1 --", 'a'.repeat(10_000)]) {
    isError(await rest(server, 'GET', '/apps', { query: { sid: token } }), 403, 'AppierException');
  }
  isError(await rest(server, 'POST', '/login', { json: { app_id: server.app.id } }), 400);
  await unharmed();
});

test('I-4.1 a body that never comes whole costs one connection', async (t) => {
  const socket = await tcp(server);
  cleanup(t, () => socket.destroy());
  socket.write(`POST /events?sid=${sid} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"data":`);
  socket.destroy();
  await unharmed();
  const { body } = await call('GET', '/events', { query: { sid, channel: 'global' } });
  assert.deepEqual(body.events, []);
});

/** Has the user follow `count` channels, by requests that do not wait for each other's answers. */
async function follow(t, first, count) {
  const socket = await tcp(server);
  cleanup(t, () => socket.destroy());
  const made = new Promise((resolve, refuse) => {
    let [text, answered] = ['', 0];
    socket.on('data', (bytes) => {
      const parts = (text + bytes).split('HTTP/1.1 ');
      text = parts.pop();
      for (const part of parts.filter((one) => one !== '')) {
        if (!part.startsWith('200 ')) refuse(new Error(part));
        answered += 1;
      }
      // The last answer has none behind it.
      if (answered === count - 1 && text.endsWith('}')) resolve();
    });
    socket.on('close', () => refuse(new Error(`closed after ${answered} answers`)));
  });
  for (let at = first; at < first + count; at += 1) {
    const body = JSON.stringify({ user_id: 'many', event: `many-${at}` });
    const written = socket.write(`POST /subscriptions?sid=${sid} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    if (!written) await new Promise((resolve) => socket.once('drain', resolve));
  }
  await within(made, 'all subscriptions', 120_000);
}

test('I-1.14 I-8.7 100,000 subscriptions of one user are too many for one connection, and harm nobody', async (t) => {
  const raw = await open(t, server);
  await Promise.all(Array.from({ length: 8 }, (_, worker) => follow(t, worker * 12_500, 12_500)));
  raw.send({ event: 'pusher:subscribe', data: { channel: 'personal-many', auth: pushiAuth(server.app, raw.socketId, 'personal-many') } });
  const { code, message } = await refusal(raw);
  assert.equal(code, 413);
  assert.match(message, /subscriptions/);
  await unharmed();
  // What the user is owed is told nevertheless to whoever asks for the channel itself.
  await call('POST', '/events', { json: { channel: 'many-99999', data: 'x' } });
  const { body } = await call('GET', '/subscriptions', { query: { user_id: 'many', event: 'many-99999', sid } });
  assert.equal(body.subscriptions.length, 1);
  await subscribe(raw, 'many-1');
});
