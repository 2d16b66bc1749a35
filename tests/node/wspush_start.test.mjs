// wspush's flags and variables, how the program ends, and what it shows of its secrets.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, describe, test } from 'node:test';
import { cleanup } from './support/cleanup.mjs';
import { startRedis } from './support/redis.mjs';
import { BINARY, HOST, freePort } from './support/server.mjs';
import { within } from './support/wait.mjs';
import { KEY, KEY_FLAG, PREFIX, Relay, signed, startRelay, stream, tokenQuery, websocket } from './support/wspush.mjs';

const redis = await startRedis({ after });
const publisher = await redis.client({ after });
const SECRET = 'a-secret-that-must-not-show';
const SECRET_FLAG = Buffer.from(SECRET).toString('base64url');

/** Runs it until it ends by itself. */
async function run(flags, environment = {}) {
  const child = spawn(BINARY, ['wspush', ...flags], { env: { ...process.env, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { out: '', error: '' };
  child.stdout.on('data', (text) => (said.out += text));
  child.stderr.on('data', (text) => (said.error += text));
  try {
    const status = await within(new Promise((resolve) => child.once('close', resolve)), () => `the end of the program; it said ${JSON.stringify(said)}`);
    return { status, ...said };
  } finally {
    child.kill('SIGKILL');
  }
}

describe('flags', () => {
  const NAMES = ['addr', 'redis', 'prefix', 'expvar', 'hmac', 'ping', 'ws-frames', 'queue', 'slow', 'max-per-token', 'ping-interval', 'origins', 'hmac-sha256', 'compat'];

  test('W-1.1 what is no flag: usage on standard error, status 2', async () => {
    for (const flags of [['-nope'], ['--nope=1'], ['-addr'], ['-queue', 'many'], ['-ping-interval', 'soon'], ['-expvar'], ['-'.repeat(3)], ['-=x']]) {
      const { status, out, error } = await run(flags);
      assert.equal(status, 2, `${flags}: ${error}`);
      assert.equal(out, '');
      for (const name of NAMES) assert.match(error, new RegExp(`^\\s*-{1,2}${name}\\b`, 'm'), `${flags}`);
    }
  });

  test('W-1.1 W-1.5 W-9.2 -h tells all flags and their defaults, but no secret', async () => {
    for (const flag of ['-h', '-help', '--help']) {
      const { status, out, error } = await run([flag], { WSPUSH_KEY: SECRET_FLAG, WSPUSH_PING: 'shown' });
      assert.equal(status, 0);
      const text = out + error;
      for (const name of NAMES) assert.match(text, new RegExp(`^\\s*-{1,2}${name}\\b`, 'm'));
      for (const value of ['localhost:8080', 'localhost:6379', 'example.', '***', 'shown', '45s', '256', '15']) assert.ok(text.includes(value), `${value} in ${text}`);
      assert.ok(!text.includes(SECRET_FLAG) && !text.includes(SECRET), text);
    }
  });

  test('W-1.1 one dash or two, the value behind it or after an equals sign', async (t) => {
    for (const form of [(name, value) => [`-${name}`, value], (name, value) => [`--${name}`, value], (name, value) => [`-${name}=${value}`], (name, value) => [`--${name}=${value}`]]) {
      const prefix = `form-${Math.random()}.`;
      const relay = new Relay(await freePort(), await freePort(), []);
      relay.arguments = () => ['wspush', ...form('addr', `${HOST}:${relay.port}`), ...form('expvar', `${HOST}:${relay.statistics.port}`), ...form('redis', redis.address), ...form('prefix', prefix), ...form('max-per-token', '1'), ...form('hmac', KEY_FLAG)];
      cleanup(t, () => relay.stop());
      await relay.start();
      const frames = await websocket(t, relay, signed('x'));
      await publisher.publish(prefix + signed('x'), 'm');
      assert.equal(await frames.text(), 'm');
      await (await websocket(t, relay, signed('x'))).closed(1013, 'too many connections');
      frames.end();
      await relay.stop();
    }
  });

  test('W-1.1 W-1.5 addresses without a host, and by name', async (t) => {
    for (const written of [(port) => `:${port}`, (port) => `localhost:${port}`, (port) => `0.0.0.0:${port}`]) {
      const relay = new Relay(await freePort(), await freePort(), []);
      relay.arguments = () => ['wspush', '-addr', written(relay.port), '-expvar', written(relay.statistics.port), '-redis', written(redis.port).replace(/^(0\.0\.0\.0)?:/, `${HOST}:`), '-prefix', 'at.'];
      cleanup(t, () => relay.stop());
      await relay.start();
      const frames = await websocket(t, relay, 'x');
      await publisher.publish('at.x', 'm');
      assert.equal(await frames.text(), 'm');
      frames.end();
      await relay.stop();
    }
  });

  test('W-1.2 a flag wins over its variable, an empty one too; no other variable is read', async (t) => {
    const environment = { WSPUSH_KEY: SECRET_FLAG, WSPUSH_PING: 'of the variable', WSPUSH_PREFIX: 'x.', WSPUSH_ADDR: 'localhost:1', WSPUSH_REDIS: 'localhost:1', WSPUSH_EXPVAR: '' };
    const status = async (relay, token) => (await fetch(`${relay.url}/?${tokenQuery(token)}`, { headers: { Accept: 'text/event-stream' }, signal: AbortSignal.timeout(20_000) }).then((answer) => answer.body.cancel().then(() => answer.status)));
    const [own, flags, off] = [
      await startRelay(t, redis, { environment, flags: ['-ping-interval', '1s'] }),
      await startRelay(t, redis, { environment, flags: ['-hmac', KEY_FLAG, '-ping', 'of the flag', '-ping-interval', '1s'] }),
      await startRelay(t, redis, { environment, flags: ['-hmac', '', '-ping', '', '-ping-interval', '1s'] }),
    ];
    const tokens = [signed('u', { key: SECRET }), signed('u', { key: KEY }), 'unsigned'];
    const statuses = async (relay) => Promise.all(tokens.map((token) => status(relay, token)));
    assert.deepEqual(await statuses(own), [200, 400, 400]);
    assert.deepEqual(await statuses(flags), [400, 200, 400]);
    assert.deepEqual(await statuses(off), [200, 200, 200]);
    assert.equal(await (await stream(t, own, tokens[0])).block(), 'data:of the variable\n\n');
    assert.equal(await (await stream(t, flags, tokens[1])).block(), 'data:of the flag\n\n');
    assert.equal(await (await stream(t, off, 'x')).block(), 'ping:\n\n');
  });

  test('W-1.3 a key that does not decode, or to nothing, stops the start', async () => {
    for (const key of ['!!!', 'c3VwZXI=', '+/+/', 'a', 'ä', ' ', '\n']) {
      for (const [flags, environment] of [[['-hmac', key], {}], [[], { WSPUSH_KEY: key }], [['-hmac-sha256', key], {}]]) {
        const { status, error } = await run(['-addr', `${HOST}:0`, ...flags], environment);
        assert.equal(status, 1, `${JSON.stringify(key)} ${error}`);
        assert.match(error, /hmac|WSPUSH_KEY/);
      }
    }
  });

  test('W-1.1 values that mean nothing stop the start, and are said', async () => {
    for (const [flags, say] of [
      [['-addr', 'nowhere'], /addr/], [['-addr', `${HOST}:99999`], /addr/], [['-redis', 'host'], /redis/], [['-redis', 'http://host:1'], /redis/], [['-slow', 'never'], /slow/],
      [['-ws-frames', 'both'], /ws-frames|frames/], [['-queue', '0'], /queue/], [['-max-per-token', '0'], /max-per-token/], [['-redis', 'redis://:s3cret@host:x'], /redis/],
    ]) {
      const { status, error } = await run(flags);
      assert.ok(status === 1 || status === 2, `${flags}: ${status}`);
      assert.match(error, say);
      assert.ok(!error.includes('s3cret'), error);
    }
  });

  test('an address that is taken stops the start', async (t) => {
    const relay = await startRelay(t, redis);
    const { status, error } = await run(['-addr', `${HOST}:${relay.port}`, '-redis', redis.address]);
    assert.equal(status, 1);
    assert.ok(error.includes(String(relay.port)), error);
  });
});

describe('the end', () => {
  for (const signal of ['SIGTERM', 'SIGINT']) {
    test(`W-1.4 W-10.12 ${signal}: streams end as they should, WebSockets with 1001, the program with 0`, async (t) => {
      const relay = await startRelay(t, redis);
      const [sockets, streams] = [[], []];
      for (let at = 0; at < 10; at += 1) {
        sockets.push(await websocket(t, relay, `${at}`));
        streams.push(await stream(t, relay, `${at}`, { version: at % 3 ? '1.1' : '1.0' }));
      }
      // One that does not answer holds nobody up for ever.
      await websocket(t, relay, 'silent');
      await publisher.publish(`${PREFIX}0`, 'the last');
      assert.equal(await sockets[0].text(), 'the last');
      relay.signal(signal);
      for (const one of sockets) {
        const { head, payload } = await one.frame();
        assert.deepEqual([head.slice(0, 2), payload.readUInt16BE(0)], ['88', 1001]);
        one.send(8, payload.subarray(0, 2));
      }
      for (const one of streams) await one.over();
      assert.deepEqual(await within(relay.exited, 'the end of the program'), { code: 0, signal: null });
    });
  }
});

test('W-9.2 neither arguments nor log show a secret', async (t) => {
  const locked = await startRedis(t, { requirepass: SECRET });
  const forms = [['-hmac', SECRET_FLAG], ['--hmac', SECRET_FLAG], [`-hmac=${SECRET_FLAG}`], [`--hmac=${SECRET_FLAG}`], ['-hmac-sha256', SECRET_FLAG], [`--hmac-sha256=${SECRET_FLAG}`]];
  for (const [at, form] of forms.entries()) {
    const relay = await startRelay(t, { address: `redis://:${SECRET}@${locked.address}` }, { flags: form });
    const token = signed('user', { key: SECRET, hash: at < 4 ? 'md5' : 'sha256' });
    await stream(t, relay, token);
    const text = await (await fetch(`${relay.statistics.url}/debug/vars`)).text();
    const { cmdline } = JSON.parse(text);
    assert.ok(cmdline.includes('-prefix') && cmdline.includes(PREFIX), text);
    assert.ok(cmdline.some((one) => one.endsWith('***')), text);
    for (const shown of [text, relay.log, await (await fetch(`${relay.statistics.url}/metrics`)).text()]) {
      for (const secret of [SECRET, SECRET_FLAG, token]) assert.ok(!shown.includes(secret), shown);
    }
    await relay.stop();
  }
});

test('W-9.3 W-9.4 the statistics address tells the same in the form of Prometheus', async (t) => {
  const relay = await startRelay(t, redis);
  const frames = await websocket(t, relay, 'x');
  for (let at = 0; at < 7; at += 1) await publisher.publish(`${PREFIX}x`, 'm');
  for (let at = 0; at < 7; at += 1) await frames.text();
  const vars = await relay.vary(({ successful_deliveries: count }) => count === 7);
  const answer = await fetch(`${relay.statistics.url}/metrics`);
  assert.equal(answer.status, 200);
  const text = await answer.text();
  const value = (name) => Number(new RegExp(`^tidings_wspush_${name}(?:\\{[^}]*\\})? (\\d+)$`, 'm').exec(text)?.[1]);
  for (const name of ['sessions_seen', 'messages_seen', 'successful_deliveries', 'sessions_refused', 'dropped', 'closed_slow', 'invalid_utf8', 'redis_reconnects']) assert.equal(value(`${name}_total`), vars[name], `${name}\n${text}`);
  assert.equal(value('sessions_open'), vars.sessions_open, text);
  assert.match(text, /^tidings_redis_connected(?:\{[^}]*\})? 1$/m);
  // The clients' own address tells nobody.
  for (const path of ['/debug/vars', '/metrics']) assert.equal((await fetch(relay.url + path)).status, 400, path);
  // It says whether it is well, unless it is asked with a token, which has all paths.
  for (const path of ['/ready', '/health']) assert.equal((await fetch(relay.url + path)).status, 200, path);
  assert.equal((await fetch(`${relay.url}/ready?token=${'x'.repeat(65)}`)).status, 400);
});
