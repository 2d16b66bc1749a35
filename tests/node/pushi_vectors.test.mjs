// The vectors of Pushi's protocol: dialogues, errors and REST exchanges that were taken from the original.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { cleanup } from './support/cleanup.mjs';
import { login, open, pushiApp, pushiAuth, rest, silent, startPushi, subscribe } from './support/pushi.mjs';
import { BINARY, PING, PONG, RawSocket, TEXT, frame } from './support/raw_socket.mjs';

const file = new URL('../../crates/dialect/tests/pushi-vectors.json', import.meta.url);
const vectors = JSON.parse(readFileSync(file, 'utf8'));
const KINDS = {
  $INT: Number.isInteger,
  $UNIX_SECONDS: (value) => Number.isInteger(value) && Math.abs(value - Date.now() / 1000) < 300,
  $OID: (value) => /^[0-9a-f]{24}$/.test(value),
  $UUID: (value) => /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(value),
  $ANY: () => true,
};

/** What placeholders stand for: given ones are replaced, unknown ones are learnt from what comes. */
class Values {
  constructor(server, token) {
    const { id, key, secret } = server.app;
    this.known = { $APP_ID: id, $APP_KEY: key, $APP_SECRET: secret, $SID_TOKEN: token };
  }

  /** What is sent. */
  fill(value) {
    if (typeof value === 'string') return value.replace(/\$(SID:\w+|APP_\w+|SID_TOKEN)/g, (name) => this.known[name]);
    if (Array.isArray(value)) return value.map((one) => this.fill(one));
    if (value && typeof value === 'object') {
      if ('$json' in value) return JSON.stringify(this.fill(value.$json));
      return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, this.fill(one)]));
    }
    return value;
  }

  /** Whether what came is as expected: further members are allowed. */
  match(expected, actual, where = '') {
    if (typeof expected === 'string' && expected.startsWith('$')) {
      if (expected in KINDS) return assert.ok(KINDS[expected](actual), `${where}: ${expected} is ${JSON.stringify(actual)}`);
      if (expected.startsWith('$MID:')) assert.ok(KINDS.$UUID(actual), `${where}: ${actual} is no UUID of version 4`);
      if (expected.startsWith('$TS:')) assert.ok(Math.abs(actual - Date.now() / 1000) < 300, `${where}: ${actual}`);
      this.known[expected] ??= actual;
      return assert.equal(actual, this.known[expected], where);
    }
    if (Array.isArray(expected)) {
      assert.ok(Array.isArray(actual), `${where}: ${JSON.stringify(actual)}`);
      assert.equal(actual.length, expected.length, `${where}: ${JSON.stringify(actual)}`);
      return expected.forEach((one, at) => this.match(one, actual[at], `${where}[${at}]`));
    }
    if (expected && typeof expected === 'object') {
      if ('$json' in expected) return this.match(expected.$json, JSON.parse(actual), `${where} as JSON`);
      for (const [name, one] of Object.entries(expected)) this.match(one, actual?.[name], `${where}.${name}`);
      // Members by their id are all there are.
      if (where.endsWith('.members')) assert.deepEqual(Object.keys(actual).sort(), Object.keys(expected).sort(), where);
      return undefined;
    }
    return assert.deepEqual(actual, this.fill(expected), where);
  }
}

/** After the greeting every frame has these, whoever sends it (I-1.2). */
function complete(message) {
  for (const name of ['event', 'channel', 'data']) assert.equal(typeof message[name], 'string', `${name} of ${JSON.stringify(message)}`);
}

async function playRest(server, values, { rest: asked, status, body }) {
  const { method, path, query = {}, json } = values.fill(asked);
  const answer = await rest(server, method, path, { query, json });
  assert.equal(answer.status, status, `${method} ${path}: ${JSON.stringify(answer.body)}`);
  values.match(body, answer.body, `${method} ${path}`);
}

for (const { name, rules, steps, tidings } of vectors.transcripts) {
  test(`${rules.join(' ')} ${name}`, async (t) => {
    const server = await startPushi(t);
    const values = new Values(server, await login(server));
    const connections = {};
    for (const step of steps) {
      const raw = connections[step.conn];
      if (step.rest) await playRest(server, values, step);
      else if (step.open) {
        connections[step.conn] = await RawSocket.connect(server, values.fill(step.open));
        cleanup(t, () => connections[step.conn].end());
      } else if (step.send) {
        const message = structuredClone(step.send);
        if (message.data?.auth === '$AUTH') message.data.auth = pushiAuth(server.app, values.known[`$SID:${step.conn}`], message.data.channel);
        raw.send(values.fill(message));
      } else if (step.recv) {
        const { message } = await raw.frames.next((one) => one.opcode === TEXT, JSON.stringify(step.recv));
        values.match(step.recv, message, name);
        if (message.event !== 'pusher:connection_established') complete(message);
        if (/^pusher:member_/.test(message.event)) assert.equal(message.data, message.member, tidings);
        if (step.recv.event === 'message' && !('data' in step.recv)) assert.equal(message.data, '', tidings);
        if (step.recv.event && !('mid' in step.recv) && !step.recv.event.startsWith('pusher')) assert.ok(!('mid' in message), 'not stored');
      } else if (step.silent) await silent(raw);
      else if (step.close) {
        raw.end();
        await raw.gone();
      }
    }
  });
}

const shared = await startPushi({ after }, { pushi: { open_apps: true } });
const closing = await startPushi({ after }, { pushi: { on_error: 'close' } });

for (const { case: name, text, send, tidings } of vectors.ws_errors) {
  const act = async (t, server) => {
    const raw = await open(t, server);
    await subscribe(raw, 'global');
    if (name.startsWith('latest of own personal')) await subscribe(raw, 'personal-zz');
    const values = new Values(server);
    const message = structuredClone(send);
    if (message?.data?.auth === '$AUTH') message.data.auth = pushiAuth(server.app, raw.socketId, message.data.channel);
    raw.send(text ?? values.fill(message));
    return raw;
  };
  test(`I-1.11 I-8.11 ${name}: ${tidings}`, async (t) => {
    const raw = await act(t, shared);
    if (tidings === 'ignored') return silent(raw);
    const { message } = await raw.frames.next();
    complete(message);
    if (typeof tidings === 'number') {
      assert.equal(message.event, 'pusher:error');
      const { code, message: why } = JSON.parse(message.data);
      assert.equal(code, tidings);
      assert.ok(why.length > 0);
      // The connection and its channels are as they were.
      raw.send({ event: 'm', channel: 'global', data: 'still here', echo: true, persist: false });
      assert.equal((await raw.message('m')).data, 'still here');
    } else assert.equal(message.event, tidings);
    return undefined;
  });
  if (typeof tidings !== 'number') continue;
  test(`I-6.2 ${name}: where errors close, ${4000 + tidings}`, async (t) => {
    const raw = await act(t, closing);
    assert.equal((await raw.close()).code, 4000 + tidings);
    assert.ok(!raw.messages().some((one) => one.event === 'pusher:error'), 'no error frame');
  });
}

test('I-4.1 to I-4.61: every REST exchange, in order', async (t) => {
  const server = await startPushi(t);
  const opened = await startPushi(t, { pushi: { open_apps: true } });
  const values = new Values(server, await login(server));
  // The exchanges begin where a dialogue has left the history.
  await rest(server, 'POST', '/events', { query: { sid: values.known.$SID_TOKEN }, json: { data: 'live', channel: 'news', push: 'short text' } });
  for (const exchange of vectors.rest) {
    const { tidings = {} } = exchange;
    const expected = { ...exchange, status: tidings.status ?? exchange.status, body: tidings.body ?? exchange.body };
    const named = `${exchange.rest.method} ${exchange.rest.path}`;
    if (exchange.rest.path.startsWith('/messaging/')) {
      // Nothing is sent to devices yet.
      const { method, path, query, json } = values.fill(exchange.rest);
      const answer = await rest(server, method, path, { query, json });
      assert.deepEqual([answer.status, answer.body.name, answer.body.code], [501, 'NotImplementedError', 501], named);
    } else if (tidings.rule === 'I-4.11') {
      assert.equal((await rest(server, 'POST', '/apps', { json: {} })).status, 403, 'apps are closed');
      await playRest(opened, new Values(opened), exchange);
    } else if (tidings.rule === 'I-4.14' || tidings.rule === 'I-4.36') {
      const { method, path, query, json } = values.fill(exchange.rest);
      const answer = await rest(server, method, path, { query, json });
      assert.equal(answer.status, 200, named);
      assert.match(answer.headers.get('content-type'), /json/);
      if (tidings.rule === 'I-4.14') assert.deepEqual([answer.body.vapid_email, answer.body.ident], ['ops@example.org', server.app.id]);
      else assert.equal(answer.body.url, 'https://hook.example/x');
    } else if (tidings.status && exchange.body.result === 'error') {
      const { status, name, message } = { ...exchange.body, status: tidings.status };
      const { method, path, query, json } = values.fill(exchange.rest);
      const answer = await rest(server, method, path, { query, json });
      assert.equal(answer.status, status, named);
      if (tidings.note === 'same name and message') assert.deepEqual([answer.body.name, answer.body.message], [name, message], named);
      if (tidings.body) values.match(tidings.body, answer.body, named);
      if (status >= 400) {
        assert.equal(answer.body.code, status, named);
        assert.equal(answer.headers.get('x-error-id'), answer.body.uid, named);
        assert.equal(answer.body.session, null, named);
      }
    } else if (tidings.note === 'own version') {
      const answer = await rest(server, 'GET', exchange.rest.path);
      const { version, ...others } = exchange.body;
      values.match(others, answer.body, named);
      assert.match(answer.body.version, /^\d+\.\d+\.\d+/);
      assert.equal(answer.body.server, 'tidings');
    } else await playRest(server, values, expected);
  }
});

test('I-1.13 control frames and binary messages are handled as RFC 6455 says', async (t) => {
  const raw = await open(t, shared);
  for (const payload of ['', 'abcd']) {
    raw.write(frame(PING, payload));
    assert.equal((await raw.control(PONG)).payload.toString(), payload);
  }
  const text = JSON.stringify({ event: 'pusher:subscribe', data: { channel: 'global' } });
  raw.write(frame(TEXT, text.slice(0, 10), { fin: false }));
  raw.write(frame(0, text.slice(10, 20), { fin: false }));
  raw.write(frame(0, text.slice(20)));
  await raw.message('pusher_internal:subscription_succeeded');
  raw.write(frame(BINARY, JSON.stringify({ event: 'pusher:subscribe', data: { channel: 'news' } })));
  await raw.message('pusher_internal:subscription_succeeded', (one) => one.channel === 'news');
  assert.ok(!raw.frames.all.some((one) => one.opcode === PING), 'never pinged');
});

test('I-2.2 I-2.3 I-8.5 every signature of the vectors', async (t) => {
  const app = pushiApp({ ...vectors.app });
  const server = await startPushi(t, { app });
  // A socket id cannot be chosen: the vectors' subjects are those of registrations here.
  const token = await login(server);
  const encoded = vectors.auth.filter((one) => one.channel_data === undefined);
  for (const { name, subject, channel, auth, valid } of encoded) {
    const answer = await rest(server, 'POST', '/webs', { query: { sid: token, auth }, json: { url: `https://x.example/${subject}`, event: channel } });
    // The signature is over the bare subject.
    assert.equal(answer.status, 400, name);
    if (!/^https?:/.test(subject)) continue;
    const family = name === 'web push' ? '/web_pushes' : '/webs';
    const record = family === '/webs' ? { url: subject } : { endpoint: subject, p256dh: 'P', auth: 'A' };
    const right = await rest(server, 'POST', family, { query: { sid: token, auth }, json: { ...record, event: channel } });
    assert.equal(right.status, valid ? 200 : 400, `${name}: ${JSON.stringify(right.body)}`);
  }
});
