// Who may read what by server-sent events: keys, signed URLs, and every way in which they can be wrong (design section 7).
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, describe, test } from 'node:test';
import { cleanup } from './support/cleanup.mjs';
import { BINARY, newApp, startServer } from './support/server.mjs';
import { Stream, soon, streamAuth, streamPath } from './support/sse.mjs';
import { eventually } from './support/wspush.mjs';
import { ask } from './support/wire.mjs';

const CLOSED = ['private-x', 'presence-x', 'personal-u', 'peer-room:a&b', 'private-cache-x', 'private-encrypted-x', 'presence-cache-x'];
const now = () => Math.floor(Date.now() / 1000);

const second = { key: 'second-key', secret: 'another-secret-of-the-app' };
const apps = [newApp({ keys: [second] }), newApp(), newApp({ dialects: ['pusher'] }), newApp({ enabled: false }), newApp({ force_tls: true }), newApp({ origins: ['https://good.example'] })];
const [app, other, elsewhere, disabled, secure, choosy] = apps;
const server = await startServer({ after }, { apps, listener: { dialects: ['pusher', 'sse'] }, settings: { log: { level: 'debug', access: true } } });

/** Expects that a stream opens; gives what it begins with. */
async function admitted(path, options) {
  const events = await Stream.open(server, path, options);
  const begin = await events.event();
  events.end();
  assert.equal(begin.type, 'tidings:subscribed');
  return JSON.parse(begin.data);
}

/** Expects a refusal with a text for whoever is looking for the fault. */
async function refused(path, expected, say, options) {
  const { status, headers, body } = await ask(server, 'GET', path, options);
  assert.equal(status, expected, `${path} ${body}`);
  assert.match(headers['content-type'], /^text\/plain/);
  assert.ok(body.length > 10, body);
  assert.match(body, say, path);
  return headers;
}

describe('public channels', () => {
  test('design 7: the key is enough', async () => {
    for (const channels of [['news'], ['a', 'b'], ['cache-x'], ['a,b', 'c;d=e@f.g_h-i'], ['with space', 'ü 😀', 'x&y=z', '+%2B', '"quoted"'], ['x'.repeat(1024)], ['Private-x', 'privates']]) {
      assert.deepEqual(await admitted(streamPath(app, channels)), { channels });
    }
  });

  test('design 7: names may be written in any way that means the same', async () => {
    for (const query of [`key=${app.key}&channel=a+b`, `channel=a%20b&key=${app.key}`, `channel=%61+b&key=${app.key}&unknown=1&channels=x`]) {
      assert.deepEqual(await admitted(`/apps/${app.id}/sse?${query}`), { channels: ['a b'] });
    }
  });

  test('design 7: further keys of the app are as good', async () => {
    assert.deepEqual(await admitted(streamPath({ ...app, ...second }, ['a'])), { channels: ['a'] });
    assert.deepEqual(await admitted(streamPath({ ...app, ...second }, ['private-a'], { expires: soon() })), { channels: ['private-a'] });
  });

  test('design 7: no key, a wrong one, another app\'s, no app', async () => {
    const path = streamPath(app, ['a']);
    await refused(path.replace(`key=${app.key}`, ''), 400, /key/);
    await refused(path.replace(app.key, `${app.key}x`), 401, /key/);
    await refused(path.replace(app.key, other.key), 401, /key/);
    await refused(path.replace(app.key, ''), 401, /key/);
    await refused(`${path}&key=${app.key}`, 400, /twice/);
    await refused(path.replace(app.id, '0'), 404, /app/);
    await refused(streamPath(elsewhere, ['a']), 404, /app/);
  });

  test('design 7: channels that are none, too many, or named twice', async () => {
    const hundred = Array.from({ length: 100 }, (_, at) => `channel-${at}`);
    assert.deepEqual(await admitted(streamPath(app, hundred)), { channels: hundred });
    await refused(streamPath(app, [...hundred, 'one-more']), 400, /100/);
    await refused(streamPath(app, Array.from({ length: 300 }, (_, at) => `c${at}`)), 400, /100/);
    await refused(streamPath(app, []), 400, /channel/);
    for (const bad of ['', 'x'.repeat(1025), 'a\nb', 'a\rb', 'a\0', '\u007f', '\u0085']) await refused(streamPath(app, ['good', bad]), 400, /channel|character|empty|bytes/);
    await refused(streamPath(app, ['a', 'b', 'a']), 400, /twice/);
    await refused(`${streamPath(app, ['a'])}&channel=%ff`, 400, /UTF-8/);
  });
});

describe('channels that need proof', () => {
  test('design 8: without a signature they are refused, one by one and among others', async () => {
    for (const channel of [...CLOSED, '#server-to-user-u', '#wspush-news-x']) {
      await refused(streamPath(app, [channel]), 401, /auth/);
      await refused(streamPath(app, ['news', channel, 'more']), 401, /auth/);
    }
  });

  test('design 7: a signed URL opens its channels', async (t) => {
    for (const channels of [...CLOSED.map((one) => [one]), CLOSED, ['public', 'private-a,b', 'private-ü x'], ['public'], Array.from({ length: 100 }, (_, at) => `private-${at}`)]) {
      assert.deepEqual(await admitted(streamPath(app, channels, { expires: soon() })), { channels });
    }
    const events = await Stream.open(server, streamPath(app, ['private-x', 'presence-x'], { expires: now() + 60 }));
    cleanup(t, () => events.end());
    await events.named('tidings:subscribed');
    await server.api().trigger(['private-x', 'presence-x'], 'secret', 'for those who may');
    for (let at = 0; at < 2; at += 1) assert.equal((await events.event()).data, 'for those who may');
  });

  test('design 7: the formula, step by step', async () => {
    const expires = soon();
    const derived = createHmac('sha256', app.secret).update('tidings-sse').digest();
    const signature = createHmac('sha256', derived).update(`${app.id}\n${expires}\nprivate-a\npublic b`).digest('hex');
    const query = `key=${app.key}&channel=private-a&channel=public+b&expires=${expires}&auth=${app.key}:${signature}`;
    assert.deepEqual(await admitted(`/apps/${app.id}/sse?${query}`), { channels: ['private-a', 'public b'] });
    assert.equal(streamAuth(app, ['private-a', 'public b'], expires), `${app.key}:${signature}`);
  });

  test('design 7: what the documentation shows, and the command line, makes such URLs', async () => {
    const page = readFileSync(new URL('../../docs/operating/sse.md', import.meta.url), 'utf8');
    const code = (language) => page.split(`\`\`\`${language}\n`).slice(1).map((rest) => rest.split('```')[0]).find((text) => /sseUrl|sse_url/.test(text));
    const [channels, expires] = [['private-a', 'presence-ü b&c', 'news,+%'], soon()];
    const values = [server.url, app.id, app.key, app.secret, channels, expires];
    const require = createRequire(import.meta.url);
    const urls = [
      new Function('require', ...'base app key secret channels expires'.split(' '), `${code('js')}; return sseUrl(base, app, key, secret, channels, expires);`)(require, ...values),
      execFileSync('python3', ['-c', `${code('python')}\nimport json, sys\nprint(sse_url(*json.loads(sys.argv[1])))`, JSON.stringify(values)]).toString().trim(),
      execFileSync(BINARY, ['sse-url', ...channels, '--app', app.id, '--key', app.key, '--secret', app.secret, '--url', server.url, '--expires', '10 min']).toString().trim(),
    ];
    for (const url of urls) assert.deepEqual(await admitted(url.slice(server.url.length)), { channels }, url);
    assert.throws(() => execFileSync(BINARY, ['sse-url', 'private-a', '--app', app.id, '--key', app.key, '--url', server.url], { stdio: 'pipe' }), /secret/);
    const open = execFileSync(BINARY, ['sse-url', 'news', '--app', app.id, '--key', app.key, '--url', server.url]).toString().trim();
    assert.deepEqual(await admitted(open.slice(server.url.length)), { channels: ['news'] });
    // The worked example.
    const [, signature] = streamAuth({ id: 'app-id', key: 'app-key', secret: 'app-secret' }, ['private-news'], 1_700_000_060).split(':');
    assert.ok(page.includes(signature), signature);
  });

  test('design 7: it opens nothing else', async () => {
    const expires = soon();
    const channels = ['private-a', 'private-b'];
    const path = streamPath(app, channels, { expires });
    const auth = encodeURIComponent(streamAuth(app, channels, expires));
    const forged = (mine) => path.replace(auth, encodeURIComponent(mine));
    const hmac = (secret, text) => createHmac('sha256', secret).update(text).digest('hex');
    const lines = [app.id, expires, ...channels].join('\n');
    for (const [what, wrong] of [
      ['another channel', path.replace('private-b', 'private-c')],
      ['a channel more', path.replace('&expires', '&channel=private-c&expires')],
      ['a public channel more', path.replace('&expires', '&channel=news&expires')],
      ['a channel less', path.replace('&channel=private-b', '')],
      ['another order', path.replace('private-a', 'x').replace('private-b', 'private-a').replace('=x&', '=private-b&')],
      ['two in one', forged(streamAuth(app, ['private-a\nprivate-b'], expires)).replace('&channel=private-b', '')],
      ['another time', path.replace(`expires=${expires}`, `expires=${expires + 1}`)],
      ['another app', streamPath({ ...app, id: other.id, key: other.key }, channels, { expires })],
      ['a signature for another app', forged(streamAuth({ ...app, id: other.id }, channels, expires))],
      ['another secret', forged(streamAuth({ ...app, secret: other.secret }, channels, expires))],
      ['the secret of another key', forged(streamAuth({ ...app, secret: second.secret }, channels, expires))],
      ['the secret itself', forged(`${app.key}:${hmac(app.secret, lines)}`)],
      ['the secret as text', forged(`${app.key}:${hmac(hmac(app.secret, 'tidings-sse'), lines)}`)],
      ['a signature of Pusher', forged(`${app.key}:${hmac(app.secret, '1.1:private-a')}`)],
      ['nothing', forged(`${app.key}:`)],
      ['half of it', forged(streamAuth(app, channels, expires).slice(0, -32))],
      ['one digit', forged(streamAuth(app, channels, expires).replace(/.$/, (digit) => (digit === '0' ? '1' : '0')))],
      ['another key', forged(streamAuth(app, channels, expires).replace(app.key, second.key))],
    ]) {
      await refused(wrong, 401, /auth|key|signature/).catch((error) => assert.fail(`${what}: ${error.message}`));
    }
    for (const wrong of [forged('nonsense'), forged(''), path.replace(/&auth=.*/, ''), path.replace(/&expires=\d+/, ''), `${path}&auth=x`, path.replace(`expires=${expires}`, 'expires=soon'), path.replace(`expires=${expires}`, `expires=%2B${expires}`), path.replace(`expires=${expires}`, 'expires=')]) {
      await refused(wrong, 400, /auth|expires/);
    }
  });

  test('design 7: it holds for a day at most, and not longer than it says', async () => {
    for (const [ahead, status] of [[60, 200], [86_300, 200], [-1, 401], [-86_400, 401], [86_460, 401], [10 * 86_400, 401], [1e10, 401]]) {
      const path = streamPath(app, ['private-x'], { expires: now() + ahead });
      if (status === 200) await admitted(path);
      else await refused(path, status, /expire/);
    }
    await refused(streamPath(app, ['private-x'], { expires: 0 }), 401, /expire/);
    await refused(streamPath(app, ['private-x'], { expires: '99999999999999999999' }), 400, /expires/);
  });
});

describe('apps', () => {
  test('a disabled app, one that wants TLS, one for pages of its own', async () => {
    await refused(streamPath(disabled, ['a']), 403, /disabled/);
    await refused(streamPath(secure, ['a']), 403, /TLS|https/);
    for (const Origin of [undefined, 'null', 'https://bad.example']) await refused(streamPath(choosy, ['a']), 403, /origin/, { headers: { Origin } });
    assert.deepEqual(await admitted(streamPath(choosy, ['a']), { headers: { Origin: 'https://good.example' } }), { channels: ['a'] });
  });

  test('a stream reads: no other method', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
      const { status, headers } = await ask(server, method, streamPath(app, ['a']), { body: '' });
      assert.equal(status, 405, method);
      assert.match(headers.allow, /GET/);
    }
  });

  test('design 7 S-4.6: pages of everywhere may read, and are told why they may not; without credentials', async () => {
    for (const [path, status] of [[streamPath(app, ['a']), 200], [streamPath(app, ['private-a']), 401], [streamPath(app, []), 400]]) {
      for (const Origin of ['https://a.example', 'null', undefined]) {
        const events = await Stream.ask(server, path, { headers: { Origin } });
        assert.equal(events.head.status, status);
        assert.equal(events.head.headers['access-control-allow-origin'], Origin ?? '*');
        assert.equal(events.head.headers['access-control-allow-credentials'], undefined);
        assert.equal(events.head.headers.vary, 'Origin');
        events.end();
      }
    }
  });

  test('design 10: when its key goes, or the app is disabled, a stream ends and does not come back', async (t) => {
    const [first, last] = [newApp({ keys: [second] }), newApp()];
    const own = await startServer(t, { apps: [first, last], listener: { dialects: ['pusher', 'sse'] } });
    const [by, ending, stays] = await Promise.all([{ ...first, ...second }, last, first].map((one) => Stream.open(own, streamPath(one, ['a']))));
    cleanup(t, () => stays.end());
    for (const one of [by, ending, stays]) await one.named('tidings:subscribed');
    await own.configure([{ ...first, keys: [] }, { ...last, enabled: false }]);
    own.signal('SIGHUP');
    for (const one of [by, ending]) await one.over();
    await eventually(() => ask(own, 'GET', streamPath({ ...first, ...second }, ['a'])), ({ status }) => status === 401);
    assert.equal((await ask(own, 'GET', streamPath(last, ['a']))).status, 403);
    await own.api().trigger('a', 'still', '');
    assert.equal((await stays.event()).type, 'still');
  });

  test('design 7: no query is in the log', async () => {
    const expires = soon();
    const path = streamPath(app, ['private-hush'], { expires });
    await admitted(path);
    await refused(path.replace('hush', 'husk'), 401, /auth|signature/);
    assert.ok(!server.log.includes(streamAuth(app, ['private-hush'], expires).split(':')[1]), 'a signature in the log');
    assert.ok(!/auth=|expires=|channel=/.test(server.log), server.log.split('\n').find((line) => /auth=|expires=|channel=/.test(line)));
  });
});
