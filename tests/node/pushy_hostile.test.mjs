// What hurt the original: each of its known faults with the right answer, and what is without limit there with its limit here.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { CLOSE, RawSocket, TEXT, frame, tcp } from './support/raw_socket.mjs';
import { cleanup } from './support/cleanup.mjs';
import { newApp, startServer } from './support/server.mjs';
import { OK, PREFIX, SECRET, TRANSPORTS, ask, connect, open, post, refused, seconds, sha256, startPushy, subscriptionAuth, trigger, triggerKey } from './support/pushy.mjs';
import { once } from './support/wait.mjs';

// One server has a certificate of its own making, which nobody in this process checks.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
process.removeAllListeners('warning');

const ALL = [...TRANSPORTS, 'websocket-raw'];
const FORM = 'application/x-www-form-urlencoded';
const BOGUS = { code: '100', message: 'Bogus message recieved' };
const server = await startPushy({ after }, { limits: { commandsPerSecond: 100_000, commandsBurst: 100_000 } });
const bystander = await open({ after }, server);
await bystander.subscribe('bystander');

/** The process lives, and who did nothing wrong has noticed nothing. */
async function unharmed() {
  assert.equal((await trigger(server, 'bystander', 'still', { here: true })).text, OK[201]);
  assert.deepEqual(await bystander.message(), { event: 'still', channel: 'bystander', data: { here: true } });
}

/** A request with this body, whose signed text is `signed`. */
function signedPost(to, channel, event, signed, { type, body, secret = to.app.secret, extra = {} } = {}) {
  const timestamp = seconds();
  return post(to, channel, { event, timestamp, auth_key: triggerKey(channel, event, timestamp, signed, secret), ...extra }, { type, body });
}

for (const transport of ALL) {
  test(`Y-10.1 Y-3.5 Y-3.6 Y-3.8 Y-10.13 no message ends the process over ${transport}`, async (t) => {
    const peer = await open(t, server, transport);
    const told = async (text, expected) => {
      await peer.send(text);
      const { event, data } = await peer.message();
      assert.deepEqual([event, data.code ?? data.reason ?? data.channel], expected, text);
    };
    const error = (text, code) => told(text, ['pushy:error', code]);
    for (const text of ['', ' ', 'null', '5', '-0', '"text"', '[]', '[null]', 'true', '{}', '{', 'undefined', '\0', '\ud800', '{"command":null}', '{"command":null,"event":null}', '{"command":"a","event":"b"}', '{"command":5}', '{"command":{}}', '{"command":[]}', '{"command":true}']) {
      // A raw WebSocket's empty message is none, as SockJS has it.
      if (text === '' && transport !== 'websocket' && transport !== 'websocket-raw') continue;
      if (text.includes('\ud800') && transport === 'websocket-raw') continue;
      await error(text, '100');
    }
    for (const name of ['', 'constructor', '__proto__', 'toString', 'hasOwnProperty', 'x'.repeat(5000)]) {
      await error(JSON.stringify({ command: name, data: {} }), '200');
    }
    for (const command of ['subscribe', 'UNSUBSCRIBE']) {
      const about = (data) => JSON.stringify({ command, data });
      for (const text of [JSON.stringify({ command }), about(null), about([]), about({}), about({ channel: null }), about({ channel: '' }), about({ channel: 0 }), about({ channel: false })]) await error(text, '300');
      for (const data of ['text', 5, true]) await error(about(data), '400');
      for (const channel of [5, true, {}, ['a'], 'a\u0000b', '\u007f', 'x'.repeat(201), '#private']) await error(about({ channel }), '301');
    }
    for (const channel of ['push', 'constructor', 'length', '__proto__', 'toString', ' ', 'x'.repeat(200), '😀'.repeat(200)]) {
      await told(JSON.stringify({ command: 'subscribe', data: { channel } }), ['pushy:subscription-success', channel]);
      await told(JSON.stringify({ command: 'unsubscribe', data: { channel } }), ['pushy:subscription-end', channel]);
    }
    for (const auth of [5, {}, [], true, 'x', '0'.repeat(64), '0'.repeat(63), 'é'.repeat(32)]) {
      await told(JSON.stringify({ command: 'subscribe', data: { channel: 'private-x', auth } }), ['pushy:subscription-failed', 'Invalid credentials']);
    }
    for (const data of [null, '"text"', '\ud800']) {
      const auth = subscriptionAuth(peer, 'private-x', data);
      await told(JSON.stringify({ command: 'subscribe', data: { channel: 'private-x', auth, data } }), ['pushy:subscription-success', 'private-x']);
      await told('{"command":"unsubscribe","data":{"channel":"private-x"}}', ['pushy:subscription-end', 'private-x']);
    }
    await error(`{"command":"subscribe","data":${'['.repeat(30_000)}`, '100');
    await error(`{"command":${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}}`, '100');
    await unharmed();
  });
}

test('Y-3.6 S-3.3 S-3.7 elements of a SockJS array that are no strings are told one by one', async (t) => {
  for (const transport of TRANSPORTS) {
    const peer = await open(t, server, transport);
    await peer.pass('[null,5,{"command":"subscribe","data":{"channel":"x"}},["{}"],true,"bogus"]');
    for (let at = 0; at < 6; at += 1) assert.deepEqual((await peer.message()).data, BOGUS);
    // Over a WebSocket one string needs no array.
    if (transport === 'websocket') {
      await peer.pass('"{}"');
      assert.deepEqual((await peer.message()).data, BOGUS);
    }
    await peer.silent();
    peer.end();
  }
});

test('Y-10.1 two thousand messages of a hostile mind', async (t) => {
  // The same ones each time.
  let state = 20_131_121;
  const random = (max) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % max;
  };
  const pick = (list) => list[random(list.length)];
  const values = ['null', '5', '""', '"a"', '"private-x"', '"__proto__"', '{}', '[]', 'true', '1e999', '"\\ud800"', '{"__proto__":{}}', '[[[]]]'];
  const member = () => `"${pick(['command', 'event', 'data', 'channel', 'auth', '__proto__'])}":${pick(['"subscribe"', '"unsubscribe"', '"constructor"', ...values])}`;
  const made = () => `{${member()},"command":${pick(['"subscribe"', '"UnSubscribe"', ...values])},"data":{"channel":${pick(values)},"auth":${pick(values)},"data":${pick(values)}}}`;
  const peer = await open(t, server);
  for (let at = 0; at < 2000; at += 1) {
    const text = made();
    const cut = random(4) === 0 ? text.slice(0, random(text.length)) : text;
    await peer.send(cut, cut.replaceAll('"', '\''));
  }
  await peer.command('unsubscribe', { channel: 'the end' });
  await peer.messages.next((text) => text.includes('"code":"404"') && text.includes('Channel not found'));
  await unharmed();
});

test('Y-10.2 Y-6.7 Y-7.6 a key that is wrong in one digit is wrong', async (t) => {
  const timestamp = seconds();
  const right = triggerKey('hello', 'test', timestamp, '{}', SECRET);
  const peer = await open(t, server);
  const auth = subscriptionAuth(peer, 'private-x');
  const spoil = (key, at) => key.slice(0, at) + (key[at] === '0' ? '1' : '0') + key.slice(at + 1);
  for (const at of [0, 1, 31, 32, 62, 63]) {
    const wrong = spoil(right, at);
    const answer = await post(server, 'hello', { event: 'test', timestamp, auth_key: wrong });
    assert.deepEqual([answer.status, answer.text], [403, refused('403', `Invalid credentials (${wrong})`)]);
    await peer.ask('subscribe', { channel: 'private-x', auth: spoil(auth, at) }, 'pushy:subscription-failed');
  }
  for (const key of [`${right}0`, right.slice(1), `${right} `, right.replace(/./, 'g'), 'é', '<script>"']) {
    const answer = await post(server, 'hello', { event: 'test', timestamp, auth_key: key });
    assert.deepEqual([answer.status, answer.text], [403, refused('403', `Invalid credentials (${key})`)]);
  }
  assert.equal((await post(server, 'hello', { event: 'test', timestamp, auth_key: right })).status, 200);
});

test('Y-10.3 Y-6.10 a form cannot reach what it does not send', async (t) => {
  const peer = await open(t, server);
  await peer.subscribe('forms');
  for (const [body, delivered] of [
    ['a[__proto__][x]=1', '{"a":{}}'],
    ['__proto__[x]=1', '{}'],
    ['a[constructor][prototype][x]=1', '{"a":{"constructor":{"prototype":{"x":"1"}}}}'],
    ['a[b][__proto__]=1&c=2', '{"a":{"b":{}},"c":"2"}'],
    ['toString=1', '{"toString":"1"}'],
  ]) {
    assert.equal((await post(server, 'forms', { event: 'x', timestamp: seconds(), auth_key: 'unsigned' }, { type: FORM, body })).status, 403);
    const answer = await signedPost(server, 'forms', 'x', delivered, { type: FORM, body });
    assert.equal(answer.status, 201, `${body}: ${answer.text}`);
    assert.equal(await peer.text(), `{"event":"x","channel":"forms","data":${delivered}}`);
  }
  await unharmed();
});

test('Y-10.4 Y-5.2 Y-8.9 members of a channel have ids of their own', async (t) => {
  const ids = new Set();
  let presence;
  for (let at = 0; at < 60; at += 1) {
    const peer = await open(t, server, ALL[at % 4]);
    const told = await peer.subscribe('private-crowd', '{"username":"same"}');
    assert.match(told.memberId, /^[0-9a-f]{8}$/);
    ids.add(told.memberId);
    presence = told.presence;
  }
  assert.equal(ids.size, 60);
  assert.deepEqual(presence.map((one) => one.memberId), [...ids], 'all are listed, in the order in which they came');
  for (const one of presence) assert.deepEqual({ ...one, memberId: '', subscribed: 0 }, { username: 'same', subscribed: 0, memberId: '', idle: false });
});

test('Y-10.5 Y-6.8 Y-6.10 Y-11.1 Y-11.2 a form is refused before it costs anything', async () => {
  for (const [body, message] of [
    ['a[5000000]=x', /^Invalid form/],
    ['a[1001]=x', /^Invalid form/],
    ['a[99999999999999999999]=x', /^Invalid form/],
    [`a${'[b]'.repeat(40)}=x`, /^Invalid form/],
    [`a${'[0]'.repeat(100_000)}=x`, /^Invalid form/],
    [Array.from({ length: 1001 }, (_, at) => `k${at}=`).join('&'), /^Invalid form/],
    ['&'.repeat(500_000), /^Invalid form/],
  ]) {
    const began = process.hrtime.bigint();
    const answer = await post(server, 'hello', { event: 'x', timestamp: seconds(), auth_key: '0'.repeat(64) }, { type: FORM, body });
    assert.equal(answer.status, 400, body.slice(0, 40));
    assert.equal(answer.body.error.code, '400');
    assert.match(answer.body.error.message, message);
    assert.ok(process.hrtime.bigint() - began < 10_000_000_000n);
  }
  const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`;
  assert.equal((await post(server, 'hello', { event: 'x', timestamp: seconds(), auth_key: 'x' }, { type: 'application/json', body: deep })).text, refused('400', 'Invalid JSON'));
  assert.equal((await post(server, 'hello', { event: 'x', timestamp: seconds(), auth_key: 'x' }, { type: 'multipart/form-data; boundary=x', body: '--x--' })).status, 415);
  await unharmed();
});

test('Y-11.1 Y-6.8 a body has a megabyte', async (t) => {
  const peer = await open(t, server);
  await peer.subscribe('large');
  const text = 'x'.repeat(1024 * 1024 - '{"t":""}'.length);
  assert.equal((await trigger(server, 'large', 'fits', { t: text })).status, 201);
  assert.equal((await peer.message('fits')).data.t.length, text.length);
  const answer = await trigger(server, 'large', 'over', { t: `${text}x` });
  assert.deepEqual([answer.status, answer.text], [413, refused('413', 'Request body too large')]);
  // Without a length that could be looked at before: as soon as it is too much.
  const socket = await tcp(server);
  cleanup(t, () => socket.destroy());
  socket.write('POST /pushy/channel/large/trigger?event=x&timestamp=1&auth_key=x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n');
  socket.write(`100001\r\n${'x'.repeat(0x100001)}`);
  const got = await once((resolve) => socket.once('data', (part) => resolve(part.toString())), 'an answer to half a body');
  assert.match(got, /^HTTP\/1\.1 413 /);
  await peer.silent();
});

test('Y-10.6 Y-6.12 a socket_id leaves out that connection, or nobody', async (t) => {
  const [one, other] = [await open(t, server), await open(t, server, 'xhr-polling')];
  for (const peer of [one, other]) await peer.subscribe('except');
  assert.equal((await trigger(server, 'except', 'a', {}, { socketId: one.socketId })).status, 201);
  assert.equal((await other.message()).event, 'a');
  await one.silent();
  for (const socketId of ['', 'x', '1234.5678', one.socketId.slice(1), `${one.socketId} `, 'c0ffee00-0000-4000-8000-000000000001', '__proto__']) {
    assert.equal((await trigger(server, 'except', 'b', {}, { socketId })).status, 201, socketId);
    for (const peer of [one, other]) assert.equal((await peer.message()).event, 'b');
  }
  const original = await startPushy(t, { honorSocketId: false });
  const there = await open(t, original);
  await there.subscribe('except');
  assert.equal((await trigger(original, 'except', 'c', {}, { socketId: there.socketId })).status, 201);
  assert.equal((await there.message()).event, 'c');
});

test('Y-10.7 Y-5.4 Y-8.1 Y-8.2 the first one on a channel decides nothing for others, unless that is wanted', async (t) => {
  for (const [channelNames, spelled] of [['subscriber', ['HELLO', 'Hello', 'hello']], ['creator', ['HELLO', 'HELLO', 'HELLO']], ['lower', ['hello', 'hello', 'hello']]]) {
    const own = await startPushy(t, { channelNames });
    const peers = [];
    for (const channel of ['HELLO', 'Hello', 'hello']) {
      const peer = await open(t, own);
      peers.push([peer, await peer.subscribe(channel)]);
    }
    assert.deepEqual(peers.map(([, success]) => success.channel), spelled, channelNames);
    await trigger(own, 'heLLo', 'x');
    for (const [at, [peer]] of peers.entries()) assert.equal((await peer.message()).channel, spelled[at], channelNames);
    // What the connection itself asked for is repeated as it wrote it.
    assert.equal((await peers[0][0].ask('unsubscribe', { channel: 'hELLO' }, 'pushy:subscription-end')).channel, 'hELLO');
  }
  const any = await startPushy(t, { presence: 'any' });
  const [first, second] = [await open(t, any), await open(t, any)];
  assert.equal((await first.subscribe('private-room')).presence, undefined);
  const { presence } = await second.subscribe('private-room', '{"username":"bob"}');
  assert.deepEqual(presence.map((one) => one.username), [undefined, 'bob']);
  assert.equal((await first.message('pushy:presence-add')).data.member.username, 'bob');
});

test('Y-10.8 Y-6.5 a timestamp is digits', async () => {
  const now = String(seconds());
  for (const timestamp of ['abc', 'NaN', 'Infinity', '-1', `-${now}`, `+${now}`, ` ${now}`, `${now} `, `${now}zz`, `${now}.0`, '1e9', '0x5f', '٣', `${now}\0`, '9'.repeat(30)]) {
    for (const signed of [timestamp, 'NaN', now]) {
      const answer = await post(server, 'hello', { event: 'x', timestamp, auth_key: sha256(`hello:x:${signed}:{}:${SECRET}`) });
      assert.deepEqual([answer.status, answer.text], [403, refused('501', 'Timestamp out of bounds (600 seconds)')], timestamp);
    }
  }
});

test('Y-10.8 a trigger is accepted once where that is wanted; otherwise again and again, as in the original', async (t) => {
  const strict = await startPushy(t, { limits: { replayCache: 2 } });
  const peer = await open(t, strict);
  await peer.subscribe('hello');
  const timestamp = seconds();
  const send = (event) => post(strict, 'hello', { event, timestamp, auth_key: triggerKey('hello', event, timestamp, '{}', SECRET) });
  assert.equal((await send('one')).status, 201);
  const again = await send('one');
  assert.deepEqual([again.status, again.text], [403, refused('403', `Invalid credentials (${triggerKey('hello', 'one', timestamp, '{}', SECRET)})`)]);
  // In capitals it is the same key.
  const key = triggerKey('hello', 'one', timestamp, '{}', SECRET).toUpperCase();
  assert.equal((await post(strict, 'hello', { event: 'one', timestamp, auth_key: key })).status, 403);
  assert.equal((await send('two')).status, 201);
  for (const event of ['one', 'two']) assert.equal((await peer.message()).event, event);
  await peer.silent();
  const loose = { event: 'x', timestamp, auth_key: triggerKey('hello', 'x', timestamp, '{}', SECRET) };
  for (let at = 0; at < 3; at += 1) assert.equal((await post(server, 'hello', loose)).status, 200);
});

test('Y-10.8 Y-9.3 no log names keys, secrets, queries or what was said', async (t) => {
  const app = newApp({ secret: 'a-secret-of-this-test' });
  const settings = { log: { level: 'trace', access: true }, pushy: [{ app: app.id, sockjs: { prefix: PREFIX } }] };
  const loud = await startServer(t, { app, listener: { dialects: ['pushy'] }, settings });
  const peer = await open(t, loud, 'xhr-polling');
  const auth = subscriptionAuth(peer, 'private-logged', '{"name":"needle-presence"}');
  await peer.command('subscribe', { channel: 'private-logged', auth, data: '{"name":"needle-presence"}' });
  await peer.message('pushy:subscription-success');
  const timestamp = seconds();
  const body = '{"needle":"body"}';
  const key = triggerKey('private-logged', 'needle-event', timestamp, body, app.secret);
  assert.equal((await post(loud, 'private-logged', { event: 'needle-event', timestamp, auth_key: key }, { type: 'application/json', body })).status, 201);
  assert.equal((await post(loud, 'private-logged', { event: 'needle-event', timestamp, auth_key: 'needle-key' })).status, 403);
  await peer.message('needle-event');
  peer.end();
  await loud.stop();
  assert.match(loud.log, /listening/);
  for (const word of [app.secret, auth, key, 'needle', 'auth_key']) assert.ok(!loud.log.includes(word), `${word} in ${loud.log}`);
});

test('Y-10.9 what a permissive handler signs is no trigger where triggers have a secret of their own', async (t) => {
  const timestamp = seconds();
  // A handler that signs whatever the browser names: the connection `hello:test:<now>` on the channel `{}`.
  const forged = sha256(`hello:test:${timestamp}:{}:${SECRET}`);
  const parameters = { event: 'test', timestamp, auth_key: forged };
  assert.equal((await post(server, 'hello', parameters)).status, 200, 'with one secret for both it is');
  const own = await startPushy(t, { triggerSecretKey: 'a-key-for-triggers', limits: { colonInChannel: false } });
  assert.equal((await post(own, 'hello', parameters)).status, 403);
  assert.equal((await trigger(own, 'hello', 'test', {}, { secret: 'a-key-for-triggers' })).status, 200);
  // Channels are signed with the other one still.
  const peer = await open(t, own);
  await peer.subscribe('private-room');
  const auth = subscriptionAuth(peer, 'private-other', undefined, 'a-key-for-triggers');
  await peer.ask('subscribe', { channel: 'private-other', auth }, 'pushy:subscription-failed');
  // `a:b` with event `c` signs like `a` with event `b:c`.
  assert.equal(triggerKey('a:b', 'c', timestamp, '{}', SECRET), triggerKey('a', 'b:c', timestamp, '{}', SECRET));
  assert.equal((await peer.ask('subscribe', { channel: 'a:b' }, 'pushy:error')).code, '301');
  const answer = await trigger(own, 'a:b', 'c', {}, { secret: 'a-key-for-triggers' });
  assert.deepEqual([answer.status, answer.text], [400, refused('301', 'Invalid channel name')]);
  assert.equal((await trigger(own, 'a', 'b:c', {}, { secret: 'a-key-for-triggers' })).status, 200);
});

test('Y-10.10 Y-8.3 Y-8.4 presence data of every kind makes a member with an id', async (t) => {
  const peer = await open(t, server);
  const data = [{ username: 'ann' }, '{"username":"ann"}', 5, [1], true, null, '5', '[]', 'null', '{oops', '{"memberId":"forged","x":1,"idle":true}', { memberId: 'forged', x: 1 }];
  for (const [at, one] of data.entries()) {
    const { presence, memberId } = await peer.subscribe(`private-kind-${at}`, one);
    const object = typeof one === 'string' && one.startsWith('{"') ? JSON.parse(one) : one;
    const own = typeof object === 'object' && object !== null && !Array.isArray(object) ? object : {};
    assert.deepEqual(presence, [{ ...own, subscribed: presence[0].subscribed, memberId, idle: false }], JSON.stringify(one));
  }
});

test('Y-10.11 Y-7.2 Y-7.4 presence data is signed as it stands or quoted once more, unless only the latter is wanted', async (t) => {
  const double = await startPushy(t, { authData: 'double' });
  const data = '{"username":"ann"}';
  for (const [own, single] of [[server, 'pushy:subscription-success'], [double, 'pushy:subscription-failed']]) {
    const peer = await open(t, own);
    const signed = (text) => sha256(`${peer.socketId}:private-room:${text}:${SECRET}`);
    await peer.ask('subscribe', { channel: 'private-room', data, auth: signed(data) }, single);
    if (single.endsWith('success')) await peer.ask('unsubscribe', { channel: 'private-room' }, 'pushy:subscription-end');
    await peer.ask('subscribe', { channel: 'private-room', data, auth: signed(JSON.stringify(data)) }, 'pushy:subscription-success');
  }
});

test('Y-10.12 Y-6.9 what PHP signs is accepted, unless only the original is wanted', async (t) => {
  const strict = await startPushy(t, { phpCompat: false });
  for (const [type, body, signed] of [[FORM, '', '[]'], [FORM, 'n=5', '{"n":5}'], [FORM, 'u=a%2Fb', '{"u":"a\\/b"}'], ['application/json', '{ "a" : 1 }', '{ "a" : 1 }']]) {
    assert.equal((await signedPost(server, 'php', 'x', signed, { type, body })).status, 200, body);
    assert.equal((await signedPost(strict, 'php', 'x', signed, { type, body })).status, 403, body);
  }
  assert.equal((await signedPost(strict, 'php', 'x', '{"n":"5"}', { type: FORM, body: 'n=5' })).status, 200);
});

test('Y-10.14 Y-6.8 bad JSON is told in a line', async () => {
  for (const body of ['{"a":', '{', '5', '"text"', 'null', '', ' ', '{"a":1}x', '\xff']) {
    const answer = await post(server, 'hello', { event: 'x', timestamp: seconds(), auth_key: 'x' }, { type: 'application/json', body: Buffer.from(body, 'latin1') });
    assert.deepEqual([answer.status, answer.text], [400, refused('400', 'Invalid JSON')], body);
  }
});

test('Y-6.1 Y-6.2 Y-6.3 Y-6.4 Y-6.16 the path, and what is asked for first', async (t) => {
  const peer = await open(t, server);
  await peer.subscribe('path');
  const key = (timestamp) => triggerKey('path', 'x', timestamp, '{}', SECRET);
  for (const path of ['/pushy/channel/path/trigger', '/Pushy/CHANNEL/pAtH/Trigger', '/pushy/channel/path/trigger/', '/pushy/channel/%70ath/trigger']) {
    const timestamp = seconds();
    assert.equal((await post(server, '', { event: 'x', timestamp, auth_key: key(timestamp) }, { path })).status, 201, path);
    await peer.message('x');
  }
  for (const method of ['GET', 'PUT', 'DELETE', 'HEAD', 'OPTIONS', 'PATCH', 'post']) {
    const timestamp = seconds();
    assert.equal((await ask(server, method, `/pushy/channel/path/trigger?event=x&timestamp=${timestamp}&auth_key=${key(timestamp)}`)).status, 404, method);
  }
  for (const path of ['/pushy/channel/path', '/pushy/channel//trigger', '/pushy/channel/a/b/trigger', '/pushy/channel/path/trigger//', '/channel/path/trigger', '/']) {
    assert.equal((await ask(server, 'POST', `${path}?event=x&timestamp=1&auth_key=x`)).status, 404, path);
  }
  for (const channel of ['%2523', '%00', '%7f', '%23x', 'x'.repeat(201)]) {
    const decoded = decodeURIComponent(channel);
    const timestamp = seconds();
    const answer = await post(server, '', { event: 'x', timestamp, auth_key: triggerKey(decoded, 'x', timestamp, '{}', SECRET) }, { path: `/pushy/channel/${channel}/trigger` });
    // Percent signs are read once: `%2523` is the channel `%23`.
    assert.equal(answer.status, channel === '%2523' ? 200 : 400, channel);
  }
  const missing = refused('400', 'Missing required parameters');
  const full = { event: 'x', timestamp: seconds(), auth_key: 'x' };
  for (const name of Object.keys(full)) {
    for (const parameters of [{ ...full, [name]: '' }, Object.fromEntries(Object.entries(full).filter(([one]) => one !== name))]) {
      const answer = await post(server, 'path', parameters);
      assert.deepEqual([answer.status, answer.text], [400, missing], name);
    }
  }
  // The body is read before parameters, these before the time, that before the signature.
  const bad = { type: 'application/json', body: '{' };
  assert.equal((await post(server, 'path', {}, bad)).text, refused('400', 'Invalid JSON'));
  assert.equal((await post(server, 'path', { event: 'x', timestamp: '1' })).text, missing);
  assert.equal((await post(server, 'path', { ...full, timestamp: '1' })).body.error.code, '501');
  await peer.silent();
});

test('Y-10.15 Y-1.2 Y-1.3 Y-5.7 subscribing and leaving in a loop leaves nothing behind', async (t) => {
  const memory = () => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${server.process.pid}/status`, 'utf8'))[1]);
  const peer = await open(t, server);
  const round = async (from, count) => {
    for (let at = from; at < from + count; at += 500) {
      const channels = Array.from({ length: 500 }, (_, one) => `loop-${at + one}`);
      await peer.send(...channels.flatMap((channel) => [{ command: 'subscribe', data: { channel } }, { command: 'unsubscribe', data: { channel } }]));
      for (let one = 0; one < 500; one += 1) {
        assert.match(await peer.text(), /^\{"event":"pushy:subscription-success"/);
        assert.match(await peer.text(), /^\{"event":"pushy:subscription-end"/);
      }
    }
  };
  await round(0, 2000);
  const before = memory();
  await round(2000, 20_000);
  assert.ok(memory() - before < 16 * 1024, `${memory() - before} KiB more`);
  assert.equal((await trigger(server, 'loop-7', 'x')).status, 200);
});

test('Y-10.16 Y-2.2 Y-2.3 Y-2.5 Y-2.6 a file that cannot be meant stops the start, one that can is warned of', async (t) => {
  for (const [settings, told] of [
    [{ secretKey: undefined }, /config\.json: secretKey: is missing/],
    [{ secretKey: null }, /config\.json: secretKey: is missing/],
    [{ secretKey: '' }, /config\.json: secretKey: is empty/],
    [{ secretKey: 5 }, /config\.json: secretKey: must be a string/],
    [{ ssl: true }, /config\.json: ssl: .* needs the paths of a certificate and a key/],
    [{ ssl: true, sslCert: '/nowhere/cert.pem', sslKey: '/nowhere/key.pem' }, /config\.json: sslCert: /],
    [{ sockjs: { heartbeat_delay: 0 } }, /config\.json: sockjs\.heartbeat_delay: must be more than 0/],
    [{ sockjs: { disconnect_delay: -5 } }, /config\.json: sockjs\.disconnect_delay: must be more than 0/],
    [{ channelNames: 'mine' }, /config\.json: channelNames: /],
    [{ limits: { channelName: 0 } }, /config\.json: limits\.channelName: /],
    [{ commands: { chat: { url: 'ftp://x' } } }, /config\.json: commands\.chat\.url: /],
  ]) {
    await assert.rejects(startPushy(t, settings), told);
  }
  const sample = await startPushy(t, { secretKey: 'mySuperSecretKey', host: '0.0.0.0', colour: 'red' });
  for (const setting of ['secretKey', 'sockjs.heartbeat_delay', 'sockjs.disconnect_delay', 'sockjs.response_limit', 'colour']) {
    assert.match(sample.log, new RegExp(`WARN .*setting=${setting.replace('.', '\\.')} `));
  }
  const peer = await open(t, sample);
  assert.deepEqual(await peer.subscribe('private-room').then(({ channel }) => channel), 'private-room');
});

test('Y-2.2 Y-10.16 with ssl there is HTTPS, with a certificate of one\'s own', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidings-pushy-'));
  cleanup(t, () => rmSync(folder, { recursive: true, force: true }));
  const [sslCert, sslKey] = ['cert.pem', 'key.pem'].map((name) => join(folder, name));
  const made = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost'];
  execFileSync('openssl', ['req', ...made, '-keyout', sslKey, '-out', sslCert], { stdio: 'ignore' });
  const secure = await startPushy(t, { ssl: true, sslCert, sslKey });
  assert.match(secure.url, /^https:/);
  const info = await (await fetch(`${secure.url}${PREFIX}/info`)).json();
  assert.equal(info.websocket, true);
  await assert.rejects(ask(secure, 'GET', `${PREFIX}/info`).then(({ status }) => assert.equal(status, 200)));
});

test('Y-1.7 a new secretKey holds from SIGHUP on, for who is connected too', async (t) => {
  const changing = await startPushy(t, { secretKey: 'the-first-secret-of-all' });
  const peer = await open(t, changing);
  await peer.subscribe('private-before');
  changing.file.secretKey = 'the-second-secret-of-all';
  await changing.configure();
  changing.signal('SIGHUP');
  // The signal is handled whenever it is; a request tells when.
  for (let answer = {}; answer.status !== 200;) answer = await trigger(changing, 'signal', 'x', {}, { secret: 'the-second-secret-of-all' });
  assert.equal((await trigger(changing, 'private-before', 'x', {}, { secret: 'the-first-secret-of-all' })).status, 403);
  assert.equal((await trigger(changing, 'private-before', 'x', {}, { secret: 'the-second-secret-of-all' })).status, 201);
  assert.equal((await peer.message()).event, 'x');
  changing.app.secret = 'the-second-secret-of-all';
  await peer.subscribe('private-after');
});

test('Y-10.17 S-1.1 any session id is only a name, and each prefix has its own', async (t) => {
  const app = newApp();
  const dialects = ['pushy:one', 'pushy:other'];
  const sections = ['one', 'other'].map((name) => ({ name, app: app.id, sockjs: { prefix: `/${name}` } }));
  const both = await startServer(t, { app, listener: { dialects }, settings: { pushy: sections } });
  for (const id of ['__proto__', 'constructor', 'hasOwnProperty', 'toString', 'a']) {
    for (const prefix of ['/one', '/other']) {
      const opened = await ask(both, 'POST', `${prefix}/000/${id}/xhr`);
      assert.deepEqual([opened.status, opened.body.includes('o\n')], [200, true], `${prefix} ${id}`);
    }
    assert.equal((await ask(both, 'POST', `/one/000/${id}/xhr_send`, { body: '["{}"]' })).status, 204);
    const { body } = await ask(both, 'POST', `/other/000/${id}/xhr`);
    assert.ok(body.includes('pushy:connect') && !body.includes('pushy:error'), body);
  }
  assert.equal((await ask(both, 'POST', '/one/000/unknown/xhr_send', { body: '["{}"]' })).status, 404);
});

test('Y-10.18 S-4.6 pages of any origin may connect, unless some are listed', async (t) => {
  const listed = await startPushy(t, { sockjs: { allowedOrigins: ['https://good.example'] } });
  for (const [own, origin, allowed] of [[server, 'https://any.example', true], [listed, 'https://good.example', true], [listed, 'https://evil.example', false]]) {
    const headers = { Origin: origin };
    const info = await ask(own, 'GET', `${PREFIX}/info`, { headers });
    assert.equal(info.headers['access-control-allow-origin'], allowed ? origin : undefined, origin);
    const opened = RawSocket.connect(own, `${PREFIX}/000/origin/websocket`, { json: false, headers });
    if (allowed) (await opened).end();
    else await assert.rejects(opened, /403/);
  }
});

for (const transport of ['websocket', 'websocket-raw', 'xhr-streaming', 'xhr-polling']) {
  test(`Y-10.19 S-8.3 a slow reader over ${transport} is closed, and holds up nobody`, async (t) => {
    const [slow, watcher] = [await open(t, server, transport), await open(t, server)];
    for (const peer of [slow, watcher]) await peer.subscribe('private-flood', '{"x":1}');
    await slow.message('pushy:presence-add');
    // It takes nothing more: its sockets are not read, or it does not ask.
    slow.pause();
    const text = 'x'.repeat(256 * 1024);
    let sent = 0;
    while (!watcher.messages.all.some((one) => one.includes('pushy:presence-quit'))) {
      assert.equal((await trigger(server, 'private-flood', 'flood', { text, sent })).status, 201);
      sent += 1;
      assert.equal((await watcher.message('flood')).data.sent, sent - 1);
      assert.ok(sent < 400, 'somebody is buffered without bound');
    }
    slow.resume();
    assert.deepEqual(await slow.close(), { code: 3001, reason: 'Slow consumer' });
    await unharmed();
  });
}

for (const transport of TRANSPORTS) {
  test(`Y-11.1 S-8.1 a message has 64 KiB over ${transport}`, async (t) => {
    const peer = await open(t, server, transport);
    await peer.send('x'.repeat(65_536));
    assert.deepEqual((await peer.message()).data, BOGUS);
    if (transport === 'websocket') {
      await peer.send('x'.repeat(65_537));
      assert.equal((await peer.close()).code, 1009);
    } else await assert.rejects(peer.send('x'.repeat(65_537)), /413/);
    await unharmed();
  });
}

test('Y-11.1 a raw message has 64 KiB', async (t) => {
  const peer = await open(t, server, 'websocket-raw');
  await peer.send('x'.repeat(65_536));
  assert.deepEqual((await peer.message()).data, BOGUS);
  await peer.send('x'.repeat(65_537));
  assert.equal((await peer.close()).code, 1009);
});

test('Y-11.1 Y-11.2 Y-3.8 channels, names, presence data and messages have limits', async (t) => {
  const peer = await open(t, server);
  await peer.send(...Array.from({ length: 1000 }, (_, at) => ({ command: 'subscribe', data: { channel: `many-${at}` } })));
  for (let at = 0; at < 1000; at += 1) await peer.message('pushy:subscription-success');
  assert.equal((await peer.ask('subscribe', { channel: 'one-more' }, 'pushy:error')).code, '429');
  await peer.ask('unsubscribe', { channel: 'many-0' }, 'pushy:subscription-end');
  await peer.ask('subscribe', { channel: 'one-more' }, 'pushy:subscription-success');

  assert.equal((await trigger(server, 'hello', 'e'.repeat(200))).status, 200);
  assert.equal((await trigger(server, 'hello', '😀'.repeat(200))).status, 200);
  assert.equal((await trigger(server, 'hello', 'e'.repeat(201))).status, 400);

  const other = await open(t, server);
  const fits = `{"t":"${'x'.repeat(2048 - 8)}"}`;
  assert.equal(fits.length, 2048);
  assert.equal((await other.subscribe('private-data', fits)).presence[0].t.length, 2040);
  const data = `${fits} `;
  const reason = await other.ask('subscribe', { channel: 'private-other', auth: subscriptionAuth(other, 'private-other', data), data }, 'pushy:subscription-failed');
  assert.equal(reason.reason, 'Presence data too large');
});

test('Y-11.1 a connection has 100 messages a second, and 200 at once', async (t) => {
  const usual = await startPushy(t);
  const [peer, other] = [await open(t, usual), await open(t, usual)];
  await peer.send(...Array(600).fill('{}'));
  const codes = [];
  for (let at = 0; at < 600; at += 1) codes.push((await peer.message()).data.code);
  const taken = codes.filter((code) => code === '100').length;
  // While they were looked at some more became due.
  assert.ok(taken >= 200 && taken < 500, String(taken));
  assert.ok(codes.slice(0, 200).every((code) => code === '100'));
  assert.equal(new Set(codes).size, 2);
  assert.ok(codes.includes('429'));
  await other.silent();
});

test('Y-7.8 Y-5.1 who is refused a signature is told so the sixth time', async (t) => {
  const peer = await open(t, server);
  for (const auth of ['', ' \t', null, undefined, '\ufeff']) await peer.ask('subscribe', { channel: 'Private-Loop', auth }, 'pushy:subscription-needauth');
  const { channel, reason } = await peer.ask('subscribe', { channel: 'private-loop' }, 'pushy:subscription-failed');
  assert.deepEqual([channel, reason], ['private-loop', 'Invalid credentials']);
  await peer.ask('subscribe', { channel: 'private-else' }, 'pushy:subscription-needauth');
});

test('Y-5.6 Y-10.1 connections that begin and end in every way leave nothing behind', async (t) => {
  for (let at = 0; at < 40; at += 1) {
    const peer = await connect(t, server, ALL[at % 4]);
    if (at % 3 > 0) {
      peer.socketId = (await peer.message()).data.socketId;
      await peer.subscribe('private-brief', '{"x":1}');
    }
    if (at % 8 === 0) peer.raw.write(frame(CLOSE, Buffer.from([0x03, 0xe8])));
    if (at % 8 === 4) peer.raw.write(frame(TEXT, '["', { fin: false }));
    peer.end();
  }
  const last = await open(t, server);
  const told = await last.subscribe('private-brief', '{"x":1}');
  // Those that polled may be missed a little later.
  for (let left = told.presence.length - 1; left > 0; left -= 1) await last.message('pushy:presence-quit');
  await unharmed();
});
