// Hostile peers: what is broken, too big, too slow or forged gets the documented answer, and only that connection is affected.
import assert from 'node:assert/strict';
import { after, afterEach, describe, test } from 'node:test';
import { BINARY, CLOSE, PING, RawSocket, TEXT, frame, tcp } from './support/raw_socket.mjs';
import { newApp, startServer } from './support/server.mjs';
import { request, signedQuery } from './support/sign.mjs';
import { Inbox, within } from './support/wait.mjs';

const server = await startServer({ after }, { app: newApp({ client_events: true, limits: { outbox_bytes: '64 KiB' } }) });
const events = `/apps/${server.app.id}/events`;
const publish = (channel, data, to = server) => request(to, 'POST', `/apps/${to.app.id}/events`, { body: { name: 'e', data, channels: [channel] } });

// A well-behaved subscriber lives through the whole file: after each test it still gets events, in order.
const control = await RawSocket.open(server);
after(() => control.end());
await control.subscribe('control');
let beat = 0;
afterEach(async () => {
  beat += 1;
  assert.equal((await publish('control', String(beat))).status, 200);
  assert.equal((await control.message('e')).data, String(beat), 'the control subscriber missed an event');
});

describe('frames', () => {
  const close = (code) => Buffer.from([code >> 8, code & 255]);
  const rows = [
    ['P-2.7: a binary message', [frame(BINARY, 'bytes')], 1003],
    ['P-2.7: text that is not UTF-8', [frame(TEXT, Buffer.from([0x7b, 0xff, 0xfe, 0x7d]))], 1007],
    ['P-2.7: a code point cut by the end of the message', [frame(TEXT, Buffer.from([0x22, 0xe2, 0x82]))], 1007],
    ['P-2.8 P-18.17: a message over 65,536 bytes', [frame(TEXT, ' '.repeat(65_537))], 1009],
    ['P-2.8: a header that announces far too much', [frame(TEXT, '', { length: 0x7fff_ffff })], 1009],
    ['P-2.8: fragments that add up to too much', [frame(TEXT, ' '.repeat(40_000), { fin: false }), frame(0, ' '.repeat(40_000))], 1009],
    ['RFC 6455: no mask', [frame(TEXT, '{}', { mask: false })], 1002],
    ['RFC 6455: a reserved bit', [frame(TEXT, '{}', { rsv: 2 })], 1002],
    ['RFC 6455: an unknown opcode', [frame(3, '')], 1002],
    ['RFC 6455: an unknown control opcode', [frame(11, '')], 1002],
    ['RFC 6455: a control frame over 125 bytes', [frame(PING, 'x'.repeat(126))], 1002],
    ['RFC 6455: a control frame in fragments', [frame(PING, 'x', { fin: false })], 1002],
    ['RFC 6455: a continuation of nothing', [frame(0, 'x')], 1002],
    ['RFC 6455: a new message inside another', [frame(TEXT, '{', { fin: false }), frame(TEXT, '}')], 1002],
    ['RFC 6455: a close frame of one byte', [frame(CLOSE, 'x')], 1002],
    ['RFC 6455: a close code that may not be sent', [frame(CLOSE, close(1005))], 1002],
  ];
  for (const [name, frames, code] of rows) {
    test(name, async () => {
      const raw = await RawSocket.open(server);
      for (const one of frames) raw.write(one);
      assert.equal((await raw.close()).code, code);
      await raw.gone();
    });
  }

  test('P-2.8: exactly 65,536 bytes are a message', async () => {
    const raw = await RawSocket.open(server);
    const text = JSON.stringify({ event: 'pusher:subscribe', data: { channel: 'padded' } });
    raw.send(text + ' '.repeat(65_536 - text.length));
    await raw.message('pusher_internal:subscription_succeeded');
    raw.end();
  });

  test('a message byte by byte, its ping in between, is still a message', async () => {
    const raw = await RawSocket.open(server);
    const text = JSON.stringify({ event: 'pusher:subscribe', data: { channel: 'slow' } });
    const bytes = Buffer.concat([frame(TEXT, text.slice(0, 10), { fin: false }), frame(PING, 'between'), frame(0, text.slice(10))]);
    for (const byte of bytes) raw.write(Buffer.from([byte]));
    assert.equal((await raw.control(10)).payload.toString(), 'between');
    await raw.message('pusher_internal:subscription_succeeded');
    raw.end();
  });

  test('P-3.3: deep and odd JSON costs an error message at most', async () => {
    const raw = await RawSocket.open(server);
    const odd = ['['.repeat(30_000), `{"event":"pusher:subscribe","data":${'['.repeat(20_000)}${']'.repeat(20_000)}}`, '{"event":"pusher:ping","event":5}', '\u0000', '{"event":"\\ud800"}', '1e999'];
    for (const text of odd) {
      raw.send(text);
      assert.equal((await raw.message('pusher:error')).data.code, null, text.slice(0, 40));
    }
    await raw.settled();
    raw.end();
  });

  test('a connection that ends in the middle of a frame leaves its channels', async () => {
    const raw = await RawSocket.open(server);
    await raw.subscribe('cut');
    raw.write(frame(TEXT, 'never whole').subarray(0, 7));
    raw.end();
    const watcher = await RawSocket.open(server);
    await watcher.subscribe('presence-cut', '{"user_id":"w"}');
    const other = await RawSocket.open(server);
    await other.subscribe('presence-cut', '{"user_id":"gone"}');
    await watcher.message('pusher_internal:member_added');
    other.write(frame(TEXT, 'never whole').subarray(0, 3));
    other.socket.resetAndDestroy();
    assert.equal(JSON.parse((await watcher.message('pusher_internal:member_removed')).data).user_id, 'gone');
    watcher.end();
  });
});

/** Writes bytes on a fresh connection, ends its half once an answer begins, and resolves with all that came until the server closed. */
async function exchange(bytes) {
  const socket = await tcp(server);
  const parts = [];
  socket.on('data', (part) => parts.push(part));
  socket.on('error', () => {});
  const closed = new Promise((resolve) => socket.once('close', resolve));
  for (const part of [bytes].flat()) socket.write(part);
  socket.once('data', () => socket.end());
  await within(closed, () => `the end of the connection; got ${Buffer.concat(parts)}`, 60_000);
  return Buffer.concat(parts).toString();
}

describe('HTTP', () => {
  const host = `Host: ${server.host}\r\n`;

  test('what is not HTTP is answered 400 or closed', async () => {
    for (const bytes of ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 'GET\r\n\r\n', `GET / HTTP/1.1\r\nno colon\r\n\r\n`, `GET / HTTP/3.7\r\n${host}\r\n`]) {
      const answer = await exchange(bytes);
      assert.ok(answer === '' || /^HTTP\/1\.[01] (400|505) /.test(answer), JSON.stringify(answer));
    }
  });

  test('headers without end are cut off by size', async () => {
    const answer = await exchange([`GET / HTTP/1.1\r\n${host}`, ...Array.from({ length: 600 }, (_, n) => `X-Filler-${n}: ${'x'.repeat(200)}\r\n`)]);
    assert.ok(answer === '' || /^HTTP\/1\.1 (400|413|431) /.test(answer), JSON.stringify(answer.slice(0, 200)));
  });

  test('slow headers are cut off by time', async () => {
    const answer = await exchange(`GET /app/${server.app.key}?protocol=7 HTTP/1.1\r\n${host}X-Slow: `);
    assert.ok(answer === '' || /^HTTP\/1\.1 (400|408) /.test(answer), JSON.stringify(answer));
  });

  test('a body that never comes is cut off by time', async () => {
    const query = new URLSearchParams(signedQuery(server.app, 'POST', events, { body: 'x'.repeat(1_000) }));
    const answer = await exchange(`POST ${events}?${query} HTTP/1.1\r\n${host}Content-Length: 1000\r\n\r\nfew`);
    assert.ok(answer === '' || /^HTTP\/1\.1 (400|408) /.test(answer), JSON.stringify(answer));
  });

  test('P-10.7 P-10.13 P-18.18: a body over 1 MiB is 413, before it is read whole', async () => {
    const query = new URLSearchParams(signedQuery(server.app, 'POST', events));
    const answer = await exchange(`POST ${events}?${query} HTTP/1.1\r\n${host}Content-Length: 1073741824\r\nConnection: close\r\n\r\n`);
    assert.match(answer, /^HTTP\/1\.1 413 /);
    const body = JSON.stringify({ name: 'e', channels: ['c'], data: 'x', filler: 'y'.repeat(1_100_000) });
    const whole = await request(server, 'POST', events, { body }).catch((error) => ({ status: 413, early: error.cause?.code }));
    assert.equal(whole.status, 413);
  });

  test('P-10.13: a chunked body over 1 MiB is 413 too', async () => {
    const query = new URLSearchParams(signedQuery(server.app, 'POST', events));
    const chunk = `10000\r\n${'z'.repeat(65_536)}\r\n`;
    const answer = await exchange([`POST ${events}?${query} HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n`, ...Array.from({ length: 20 }, () => chunk)]);
    assert.ok(answer === '' || /^HTTP\/1\.1 413 /.test(answer), JSON.stringify(answer.slice(0, 200)));
  });

  test('RFC 9112: a length and chunks at once smuggle nothing', async () => {
    const answer = await exchange(`POST ${events} HTTP/1.1\r\n${host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /ready HTTP/1.1\r\n${host}Connection: close\r\n\r\n`);
    const statuses = answer.match(/^HTTP\/1\.1 \d+/gm) ?? [];
    assert.ok(statuses.length <= 2 && !/^HTTP\/1\.1 200/.test(answer), answer);
  });

  test('P-10.11: unknown paths are 404, wrong methods 405 with Allow', async () => {
    assert.equal((await fetch(`${server.url}/no/such/path`)).status, 404);
    const answer = await fetch(`${server.url}${events}`, { method: 'DELETE' });
    assert.equal(answer.status, 405);
    assert.match(answer.headers.get('allow') ?? '', /POST/);
  });

  test('an upgrade with a wrong version or without a key is refused', async () => {
    const upgrade = `GET ${server.path()} HTTP/1.1\r\n${host}Upgrade: websocket\r\nConnection: Upgrade\r\n`;
    assert.match(await exchange(`${upgrade}Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`), /^HTTP\/1\.1 (400|426) /);
    assert.match(await exchange(`${upgrade}Sec-WebSocket-Version: 13\r\n\r\n`), /^HTTP\/1\.1 400 /);
  });
});

describe('signatures of the HTTP API', () => {
  const body = { name: 'e', data: 'forged', channels: ['control'] };
  const now = Math.floor(Date.now() / 1000);
  const spoiled = {
    'P-10.7: no key': (query) => ({ ...query, auth_key: undefined }),
    'P-10.7: unknown key': (query) => ({ ...query, auth_key: 'nobody' }),
    'P-10.5: no version': (query) => ({ ...query, auth_version: undefined }),
    'P-10.5: wrong version': (query) => ({ ...query, auth_version: '2.0' }),
    'P-10.5: no time': (query) => ({ ...query, auth_timestamp: undefined }),
    'P-10.5: no signature': (query) => ({ ...query, auth_signature: undefined }),
    'P-6.1: upper-case signature': (query) => ({ ...query, auth_signature: query.auth_signature.toUpperCase() }),
    'P-10.4: one more parameter': (query) => ({ ...query, extra: '1' }),
    'P-10.5: no body_md5': (query) => ({ ...query, body_md5: undefined }),
    'P-10.4: another time than signed': (query) => ({ ...query, auth_timestamp: String(now - 1) }),
  };
  const present = (query) => Object.fromEntries(Object.entries(query).filter(([, value]) => value !== undefined));
  for (const [name, spoil] of Object.entries(spoiled)) {
    test(name, async () => {
      const answer = await request(server, 'POST', events, { body, timestamp: now, spoil: (query) => present(spoil(query)) });
      assert.equal(answer.status, 401);
      assert.ok(!answer.text.includes(server.app.secret));
    });
  }

  test('P-10.6 P-18.12: a time 600 seconds off is refused, both ways', async () => {
    for (const offset of [-601, -600, 602]) {
      const answer = await request(server, 'POST', events, { body, timestamp: Math.floor(Date.now() / 1000) + offset });
      assert.equal(answer.status, 401, String(offset));
    }
    assert.equal((await request(server, 'POST', events, { body: { ...body, channels: ['other'] }, timestamp: Math.floor(Date.now() / 1000) - 590 })).status, 200);
  });

  test('P-10.5 P-10.7: a body that is not the signed one', async () => {
    const query = new URLSearchParams(signedQuery(server.app, 'POST', events, { body: JSON.stringify(body) }));
    const answer = await fetch(`${server.url}${events}?${query}`, { method: 'POST', body: JSON.stringify({ ...body, data: 'swapped' }) });
    assert.equal(answer.status, 401);
  });

  test('P-11.1 P-11.2 P-18.1 P-18.2 P-3.10: parameters that are refused with 400', async () => {
    const good = { name: 'e', data: 'd', channels: ['c'] };
    const wrong = [
      { ...good, name: undefined }, { ...good, name: '' }, { ...good, name: 'x'.repeat(201) }, { ...good, name: 'pusher:ping' }, { ...good, name: 'pusher_internal:x' },
      { ...good, name: 'tidings:resumed' }, { ...good, data: undefined }, { ...good, data: null }, { ...good, channels: [] }, { ...good, channels: undefined },
      { ...good, channels: ['a b'] }, { ...good, channels: ['x'.repeat(201)] }, { ...good, channels: 'c' }, { ...good, socket_id: 'x' }, { ...good, info: 'nonsense' }, [good], 'text', 'not json{',
    ];
    for (const one of wrong) assert.equal((await request(server, 'POST', events, { body: one })).status, 400, JSON.stringify(one).slice(0, 120));
    assert.equal((await request(server, 'POST', events, { body: { ...good, channels: undefined, channel: 'c', data: { json: 1 }, more: 1 } })).status, 200);
  });
});

test('P-18.19 P-2.3: a subscriber that reads nothing is closed as slow, a contiguous run of events behind it', async () => {
  const slow = await RawSocket.open(server);
  await slow.subscribe('flood');
  const fast = await RawSocket.open(server);
  await fast.subscribe('flood');
  slow.socket.pause();
  const data = 'x'.repeat(10_000);
  let sent = 0;
  const count = async () => {
    const answer = await request(server, 'GET', `/apps/${server.app.id}/channels/flood`, { params: { info: 'subscription_count' } });
    return JSON.parse(answer.text).subscription_count;
  };
  // The kernel holds some megabytes for a socket that is not read; the bound of the outbox comes after that.
  while ((await count()) === 2) {
    assert.ok(sent < 5_000, 'fifty megabytes were queued for a connection that reads nothing');
    for (let n = 0; n < 50; n++) assert.equal((await publish('flood', `${sent++} ${data}`)).status, 200);
    for (let n = sent - 50; n < sent; n++) assert.ok((await fast.message('e')).data.startsWith(`${n} `));
  }
  slow.socket.resume();
  const error = await slow.message('pusher:error');
  assert.equal(error.data.code, 4100);
  assert.equal((await slow.close()).code, 4100);
  const numbers = slow.messages().filter((one) => one.event === 'e').map((one) => Number(one.data.split(' ')[0]));
  assert.ok(numbers.length < sent);
  assert.deepEqual(numbers, numbers.map((_, n) => n));
  fast.end();
});

test('many broken connections at once cost nobody else', async () => {
  const closed = new Inbox('closed');
  const broken = Array.from({ length: 200 }, async (_, n) => {
    const raw = await RawSocket.open(server);
    raw.write(n % 2 ? frame(BINARY, 'x') : frame(TEXT, '{}', { mask: false }));
    closed.push((await raw.close()).code);
  });
  await Promise.all(broken);
  assert.deepEqual([...new Set(closed.all)].sort(), [1002, 1003]);
});
