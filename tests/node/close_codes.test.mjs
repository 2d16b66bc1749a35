// Every close code that a client can bring about from outside, with the error frame that precedes it (P-17.2, P-17.5).
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { cleanup } from './support/cleanup.mjs';
import { CLOSE, PING, RawSocket, frame } from './support/raw_socket.mjs';
import { newApp, startServer } from './support/server.mjs';

const server = await startServer({ after }, {
  apps: [
    newApp({ client_events: true }),
    newApp({ enabled: false }),
    newApp({ force_tls: true }),
    newApp({ limits: { connections: 1 } }),
    newApp({ authorized_connections: true, authorization_timeout: '1 s' }),
    newApp({ origins: ['https://example.com'] }),
    newApp({ default_protocol: 7 }),
  ],
});
const [main, disabled, secure, small, guarded, choosy, lenient] = server.apps;
const seven = 'protocol=7&client=test&version=1';

/** Expects the upgrade to succeed, then the error frame and the close frame with `code`. */
async function refused(raw, code) {
  const error = await raw.message('pusher:error');
  assert.equal(error.data.code, code);
  assert.equal(typeof error.data.message, 'string');
  assert.ok(!('channel' in error));
  const close = await raw.close();
  assert.equal(close.code, code);
  assert.ok(Buffer.byteLength(close.reason) <= 123);
  await raw.gone();
}

describe('checks on connect (P-2.3)', () => {
  const rows = [
    ['P-2.3 4005: a path that is no app', '/nowhere?protocol=7', 4005],
    ['P-2.3 4005: a path below an app', `/app/${main.key}/more?protocol=7`, 4005],
    ['P-2.3 P-17.6 4008: no protocol', `/app/${main.key}`, 4008],
    ['P-2.3 4008 comes before the key is looked at', '/app/unknown', 4008],
    ['P-2.3 4006: protocol is no number', `/app/${main.key}?protocol=seven`, 4006],
    ['P-2.3 P-2.4 4007: protocol 3', `/app/${main.key}?protocol=3`, 4007],
    ['P-2.3 4007: protocol 8', `/app/${main.key}?protocol=8`, 4007],
    ['P-2.3 4001: unknown key', `/app/unknown?${seven}`, 4001],
    ['P-2.3 P-1.5 4003: disabled app', `/app/${disabled.key}?${seven}`, 4003],
    ['P-2.3 4000: plain connection to an app that wants TLS', `/app/${secure.key}?${seven}`, 4000],
  ];
  for (const [name, path, code] of rows) test(name, async () => refused(await RawSocket.connect(server, path), code));

  test('P-2.3 P-1.5 4004: one more connection than the app may have', async (t) => {
    const first = await RawSocket.open(server, server.path(seven, small.key));
    cleanup(t, () => first.end());
    await refused(await RawSocket.connect(server, server.path(seven, small.key)), 4004);
    await first.settled();
  });

  test('P-2.3 4100: one more connection than the node may have', async (t) => {
    const full = await startServer(t, { settings: { limits: { connections: 1 } } });
    const first = await RawSocket.open(full);
    cleanup(t, () => first.end());
    await refused(await RawSocket.connect(full), 4100);
    await first.settled();
  });

  test('P-2.10 4009: an origin that is not on the list', async (t) => {
    const path = server.path(seven, choosy.key);
    await refused(await RawSocket.connect(server, path, { headers: { Origin: 'https://evil.example' } }), 4009);
    const fine = await RawSocket.open(server, path, { headers: { Origin: 'https://example.com' } });
    cleanup(t, () => fine.end());
  });

  test('P-17.6: default_protocol stands in for a missing one', async () => {
    const raw = await RawSocket.open(server, `/app/${lenient.key}`);
    assert.equal(raw.handshake.activity_timeout, 120);
    raw.end();
  });

  test('P-2.1: a plain request to the WebSocket path gets 426', async () => {
    const answer = await fetch(`${server.url}/app/${main.key}?${seven}`);
    assert.equal(answer.status, 426);
  });

  test('P-2.10: no subprotocol is selected', async () => {
    const raw = await RawSocket.open(server, server.path(), { headers: { 'Sec-WebSocket-Protocol': 'a, b' } });
    assert.ok(!/sec-websocket-protocol/i.test(raw.head), raw.head);
    raw.end();
  });

  for (const version of [4, 5, 6, 7]) {
    test(`P-2.4 P-2.5: protocol ${version} connects and ${version === 7 ? 'is told' : 'is not told'} the activity timeout`, async () => {
      const raw = await RawSocket.open(server, server.path(`protocol=${version}`));
      assert.deepEqual(Object.keys(raw.handshake).sort(), version === 7 ? ['activity_timeout', 'socket_id'] : ['socket_id']);
      raw.end();
    });
  }
});

test('P-15.12 4009: a connection that authorises nothing in time is closed, one that does stays', async (t) => {
  const path = server.path(seven, guarded.key);
  const [idle, active] = [await RawSocket.open(server, path), await RawSocket.open(server, path)];
  cleanup(t, () => active.end());
  active.app = guarded;
  await active.subscribe('private-proof');
  await idle.subscribe('public-is-no-proof');
  await refused(idle, 4009);
  await active.settled();
});

test('P-17.4 4200: a drain tells everybody to come back', async (t) => {
  const drained = await startServer(t);
  const raws = await Promise.all(Array.from({ length: 5 }, () => RawSocket.open(drained)));
  const ended = drained.stop();
  await Promise.all(raws.map((raw) => refused(raw, 4200)));
  assert.deepEqual(await ended, { code: 0, signal: null });
});

test('P-17.5 4003: an app that is disabled while its clients are connected', async (t) => {
  const app = newApp();
  const reloaded = await startServer(t, { app });
  const raw = await RawSocket.open(reloaded);
  await raw.subscribe('news');
  await reloaded.configure([{ ...app, enabled: false }]);
  reloaded.signal('SIGHUP');
  await refused(raw, 4003);
});

test('P-16.4 P-16.1 P-16.3: pong has no answer, a ping frame gets its payload back', async () => {
  const raw = await RawSocket.open(server);
  raw.send({ event: 'pusher:pong', data: {} });
  raw.write(frame(PING, 'echo me'));
  assert.equal((await raw.control(10)).payload.toString(), 'echo me');
  await raw.settled();
  assert.deepEqual(raw.messages(), []);
  raw.end();
});

test('P-16.5 4201: a silent connection is probed with a ping frame and then closed', async (t) => {
  const slow = await startServer(t, { app: newApp({ activity_timeout: '1 s' }) });
  const [dead, alive] = [await RawSocket.open(slow), await RawSocket.open(slow)];
  cleanup(t, () => alive.end());
  dead.answerPings = false;
  await dead.control(PING, 60_000);
  const error = await dead.message('pusher:error', undefined, 60_000);
  assert.equal(error.data.code, 4201);
  assert.equal((await dead.close()).code, 4201);
  await alive.settled();
  assert.ok(alive.frames.all.some((one) => one.opcode === PING), 'the other one was probed and answered');
});

test('a close of the client is answered with its code and ends the connection', async () => {
  const raw = await RawSocket.open(server);
  raw.write(frame(CLOSE, Buffer.from([0x03, 0xe8])));
  assert.equal((await raw.close()).code, 1000);
  await raw.gone();
});
