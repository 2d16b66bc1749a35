// SockJS, what needs no session: greeting, info, iframe page, URLs and methods, who may read what, caching, the cookie (sockjs.md 2, 4, 9).
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, describe, test } from 'node:test';
import { ALL, RECEIVERS, Receiver, assertCacheable, assertCors, assertNoCors, assertNotCached, fresh, opened, poll, send, sent, startTrial } from './support/sockjs.mjs';
import { ask } from './support/wire.mjs';

const TEXT = 'text/plain; charset=UTF-8';
const server = await startTrial({ after });
const get = (path, headers) => ask(server, 'GET', path, { headers });
const post = (path, options) => ask(server, 'POST', path, { body: '', ...options });
const options = (path, headers) => ask(server, 'OPTIONS', path, { headers });

function assertUnknown(answer) {
  assert.equal(answer.status, 404, answer.line);
  assert.equal(answer.headers['content-type'], TEXT);
  assert.equal(answer.body, '404 Error: Page not found\n');
}

describe('greeting', () => {
  for (const path of ['/echo', '/echo/', '/close', '/disabled_websocket_echo/', '/cookie_needed_echo', '/echo?t=1']) {
    test(`S-2.5 S-10.1: GET ${path}`, async () => {
      const answer = await get(path);
      assert.equal(answer.status, 200);
      assert.equal(answer.headers['content-type'], TEXT);
      assert.equal(answer.headers['content-length'], '19');
      assert.equal(answer.headers['set-cookie'], undefined);
      assert.equal(answer.body, 'Welcome to SockJS!\n');
      assertNoCors(answer);
    });
  }

  for (const path of ['/a', '/a.html', '//', '///', '/a/a', '/a/a/', '/a/', '/chunking_test', '/Info', '/info.html', '/a/a/a', '/a/a/xhr/x', '/a/a/xhr//']) {
    test(`S-2.6 S-11: GET and POST /echo${path} are unknown`, async () => {
      assertUnknown(await get(`/echo${path}`));
      assertUnknown(await post(`/echo${path}`));
    });
  }

  test('S-1.1: a prefix ends where a segment does', async () => {
    for (const path of ['/echoes/info', '/ECHO/info', '/echo.html']) assert.equal((await get(path)).status, 404, path);
  });
});

describe('the iframe page', () => {
  const body = (script) => `<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="${script}"></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>`;
  const good = [
    '/iframe.html', '/iframe-.html', '/iframe-a.html', '/iframe-0.1.2.html', '/iframe-0.1.2abc-dirty.2144.html', '/iframe_x.html', '/iframe.html/',
    '/iframe-a.html?t=1234', '/iframe-0.1.2.html?t=123414', '/iframe-0.1.2abc-dirty.2144.html?t=qweqweqwe',
  ];
  for (const path of good) {
    test(`S-2.4 S-4.4 S-4.5: ${path}`, async () => {
      const answer = await get(`/echo${path}`, { Origin: 'http://a.example' });
      assert.equal(answer.status, 200);
      assert.equal(answer.headers['content-type'], 'text/html; charset=UTF-8');
      assert.equal(answer.headers['set-cookie'], undefined);
      assert.equal(answer.headers['content-length'], String(Buffer.byteLength(answer.body)));
      assert.equal(answer.body, body('https://cdn.jsdelivr.net/npm/sockjs-client@1/dist/sockjs.min.js'));
      assert.equal(answer.headers.etag, `"${createHash('md5').update(answer.body).digest('hex')}"`);
      assertCacheable(answer);
      assertNoCors(answer);
    });
  }

  for (const path of ['/iframe.htm', '/iframe', '/IFRAME.HTML', '/IFRAME', '/iframe.HTML', '/iframe.xml', '/iframe-/.html', '/iframe-A.html', '/iframe-%20.html', '/xiframe.html']) {
    test(`S-2.4: ${path} is unknown`, async () => assertUnknown(await get(`/echo${path}`)));
  }

  test('S-4.4: who has the page is told so', async () => {
    const first = await get('/echo/iframe-1.html');
    const second = await get('/echo/iframe-2.html');
    assert.equal(first.headers.etag, second.headers.etag);
    const answer = await get('/echo/iframe-1.html', { 'If-None-Match': first.headers.etag });
    assert.equal(answer.status, 304);
    assert.equal(answer.headers['content-type'], undefined);
    assert.equal(answer.body, '');
    assert.equal((await get('/echo/iframe-1.html', { 'If-None-Match': '"other"' })).status, 200);
  });
});

describe('info', () => {
  test('S-4.1: its members, in order', async () => {
    const answer = await get('/echo/info');
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['content-type'], 'application/json; charset=UTF-8');
    assert.equal(answer.headers['set-cookie'], undefined);
    assertNotCached(answer);
    assertCors(answer);
    const { entropy } = JSON.parse(answer.body);
    assert.ok(Number.isInteger(entropy) && entropy >= 0 && entropy < 2 ** 32, answer.body);
    assert.equal(answer.body, `{"websocket":true,"origins":["*:*"],"cookie_needed":false,"entropy":${entropy}}`);
  });

  test('S-4.1: its entropy is fresh', async () => {
    const seen = new Set();
    for (let at = 0; at < 8; at += 1) seen.add(JSON.parse((await get('/echo/info?t=1')).body).entropy);
    assert.equal(seen.size, 8);
  });

  test('S-4.1 S-2.8: without WebSocket', async () => {
    assert.equal(JSON.parse((await get('/disabled_websocket_echo/info')).body).websocket, false);
    assertUnknown(await get('/disabled_websocket_echo/websocket'));
    assertUnknown(await get('/disabled_websocket_echo/a/b/websocket'));
  });

  test('S-4.2: OPTIONS', async () => {
    for (const path of ['/echo/info', '/echo/info/']) {
      const answer = await options(path, { Origin: 'http://a.example' });
      assert.equal(answer.status, 204);
      assert.equal(answer.body, '');
      assert.equal(answer.headers['access-control-allow-methods'], 'OPTIONS, GET');
      assert.equal(answer.headers['access-control-max-age'], '31536000');
      assertCacheable(answer);
      assertCors(answer, 'http://a.example');
    }
  });

  test('S-4.6: origins that are no address', async () => {
    for (const origin of ['null', 'test']) {
      assertCors(await get('/echo/info', { Origin: origin }), origin);
      assertCors(await options('/echo/info', { Origin: origin }), origin);
    }
  });
});

describe('session URLs', () => {
  for (const parts of ['/a/a', '/_/_', '/1/1', '/abcdefgh_i-j%20/abcdefg_i-j%20', '/%2e/%2f', `/x/${'y'.repeat(128)}`]) {
    test(`S-2.2 S-2.3: ${parts.slice(0, 40)}`, async () => assert.equal(await poll(server, `/echo${parts}`), 'o\n'));
  }

  for (const parts of ['//', '/a./a', '/a/a.', '/./.', '/', '///', '//a', '/a/', `/x/${'y'.repeat(129)}`]) {
    test(`S-2.2 S-2.3: ${parts.slice(0, 40)} is none`, async () => {
      assertUnknown(await get(`/echo${parts}/xhr`));
      assertUnknown(await post(`/echo${parts}/xhr`));
    });
  }

  test('S-2.2 S-13: the server part does not matter', async () => {
    const id = fresh('').split('/')[2];
    assert.equal(await poll(server, `/echo/000/${id}`), 'o\n');
    await sent(server, `/echo/000/${id}`, ['a']);
    assert.equal(await poll(server, `/echo/999/${id}`), 'a["a"]\n');
  });

  test('S-1.4: each service has sessions of its own', async () => {
    const url = await opened(server);
    assertUnknown(await send(server, url.replace('/echo', '/close'), ['a']));
    assert.equal(await poll(server, url.replace('/echo', '/close')), 'o\n');
  });

  test('S-2.3: the id is the raw text', async () => {
    const id = fresh('').split('/')[2];
    assert.equal(await poll(server, `/echo/0/${id}a`), 'o\n');
    assert.equal((await send(server, `/echo/0/${id}%61`, ['x'])).status, 404);
  });

  test('S-2.1: one slash may follow, and a query', async () => {
    const url = fresh();
    assert.equal((await post(`${url}/xhr/?t=1`)).body, 'o\n');
    assert.equal((await post(`${url}/xhr_send/`, { body: '["a"]' })).status, 204);
    assert.equal((await post(`${url}/xhr?x=%&y`)).body, 'a["a"]\n');
  });
});

describe('methods', () => {
  const rows = [
    ['', 'GET'], ['/', 'GET'], ['/info', 'GET, OPTIONS'], ['/iframe.html', 'GET'], ['/websocket', 'GET'], ['/a/b/websocket', 'GET'], ['/a/b/xhr', 'POST, OPTIONS'],
    ['/a/b/xhr_streaming', 'POST, OPTIONS'], ['/a/b/xhr_send', 'POST, OPTIONS'], ['/a/b/eventsource', 'GET'], ['/a/b/htmlfile', 'GET'], ['/a/b/jsonp', 'GET'], ['/a/b/jsonp_send', 'POST'],
  ];
  for (const [path, allowed] of rows) {
    test(`S-2.7: others than ${allowed} on /echo${path}`, async () => {
      for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS', 'QUERY']) {
        if (allowed.split(', ').includes(method)) continue;
        const answer = await ask(server, method, `/echo${path}`, method === 'POST' ? { body: '' } : {});
        assert.equal(answer.status, 405, `${method} ${answer.line}`);
        assert.equal(answer.headers['content-type'], undefined);
        assert.equal(answer.headers.allow, allowed);
        assert.equal(answer.body, '');
      }
    });
  }
});

describe('who may read', () => {
  for (const path of ['/xhr', '/xhr_streaming', '/xhr_send']) {
    test(`S-4.3: OPTIONS on ${path}`, async () => {
      const url = fresh();
      for (const origin of [undefined, 'http://a.example', 'null', 'test']) {
        const answer = await options(url + path, { Origin: origin });
        assert.equal(answer.status, 204);
        assert.equal(answer.headers['access-control-allow-methods'], 'OPTIONS, POST');
        assert.equal(answer.headers['access-control-max-age'], '31536000');
        assert.equal(answer.body, '');
        assertCacheable(answer);
        assertCors(answer, origin);
      }
      assert.equal((await send(server, url, ['a'])).status, 404, 'a preflight opens no session');
    });
  }

  for (const [asked, allowed] of [['a, b, c', 'a, b, c'], ['', undefined], [undefined, undefined]]) {
    test(`S-4.6: Access-Control-Request-Headers: ${asked}`, async () => {
      const headers = { 'Access-Control-Request-Headers': asked };
      for (const answer of [await post(`${fresh()}/xhr`, { headers }), await options(`${fresh()}/xhr`, headers), await get('/echo/info', headers)]) {
        assert.equal(answer.headers['access-control-allow-headers'], allowed);
      }
    });
  }

  for (const [name, { cors }] of ALL) {
    test(`S-4.6 S-5.1: what ${name} receives`, async () => {
      for (const origin of ['http://a.example', undefined, 'null']) {
        const receiver = await Receiver.open(server, fresh(), name, { headers: { Origin: origin } });
        // Events are sent without credentials by who is nobody in particular.
        if (cors) assertCors(receiver.head, name === 'eventsource' && origin === 'null' ? undefined : origin);
        else assertNoCors(receiver.head);
        assertNotCached(receiver.head);
        receiver.end();
      }
    });
  }

  test('S-4.6 S-4.8 S-5.8: answers to senders, whatever the status', async () => {
    const url = await opened(server);
    const headers = { Origin: 'http://a.example' };
    const rows = [
      [204, url, '["a"]', {}], [500, url, '["a', {}], [500, url, '', {}], [500, url, '{}', {}], [500, url, '["a"]', { 'Content-Type': 'image/png' }], [404, fresh(), '["a"]', {}],
      [413, url, '["', { 'Content-Length': 2 ** 20 + 1 }],
    ];
    for (const [status, to, body, more] of rows) {
      const answer = await send(server, to, body, { headers: { ...headers, ...more } });
      assert.equal(answer.status, status, body);
      assertCors(answer, 'http://a.example');
      assertNotCached(answer);
    }
    for (const body of ['["a"]', '["a', '']) {
      const answer = await post(`${url}/jsonp_send`, { headers: { ...headers, 'Content-Type': 'text/plain' }, body });
      assert.equal(answer.status, body === '["a"]' ? 200 : 500);
      assertNoCors(answer);
      assertNotCached(answer);
    }
  });

  test('S-4.6: no header is made of what could end one', async () => {
    const answer = await get('/echo/info', { Origin: 'http://a\u00e9\tb' });
    assertCors(answer);
  });
});

describe('the cookie', () => {
  const service = '/cookie_needed_echo';
  test('S-9.2: not on greeting, iframe and info', async () => {
    for (const path of ['', '/iframe.html', '/info']) assert.equal((await get(service + path, { Cookie: 'JSESSIONID=abc' })).headers['set-cookie'], undefined, path);
    assert.equal(JSON.parse((await get(`${service}/info`)).body).cookie_needed, true);
  });

  const rows = [
    [undefined, 'dummy'],
    ['JSESSIONID=abcdef', 'abcdef'],
    ['a=b; JSESSIONID=abcdef; c=d', 'abcdef'],
    ['XJSESSIONID=abcdef', 'dummy'],
    ['JSESSIONID=', 'dummy'],
    ['JSESSIONID=a"b', 'dummy'],
    ['JSESSIONID=a\\b', 'dummy'],
    ['JSESSIONID=a,b', 'dummy'],
    [`JSESSIONID=${'x'.repeat(256)}`, 'x'.repeat(256)],
    [`JSESSIONID=${'x'.repeat(257)}`, 'dummy'],
  ];
  for (const [cookie, value] of rows) {
    test(`S-9.1 S-9.3: Cookie: ${cookie?.slice(0, 40)}`, async () => {
      const headers = { Cookie: cookie };
      const expected = `JSESSIONID=${value}; path=/`;
      for (const [name] of ALL) {
        const receiver = await Receiver.open(server, fresh(service), name, { headers });
        assert.equal(receiver.head.headers['set-cookie'], expected, name);
        receiver.end();
      }
      const url = fresh(service);
      for (const path of ['/xhr', '/xhr_streaming', '/xhr_send']) assert.equal((await options(url + path, headers)).headers['set-cookie'], expected, path);
      assert.equal((await options(`${service}/info`, headers)).headers['set-cookie'], expected);
      assert.equal((await send(server, url, ['a'], { headers })).headers['set-cookie'], expected, 'of an unknown session');
      assert.equal((await post(`${url}/jsonp_send`, { headers })).headers['set-cookie'], expected, 'of an empty body');
      assert.equal((await get(`${url}/jsonp`, headers)).headers['set-cookie'], expected, 'without a callback');
    });
  }

  test('S-9.1: off by default', async () => {
    for (const [name, { method, path }] of ALL) {
      if (!RECEIVERS[name].polls) continue;
      const answer = await ask(server, method, fresh() + path, { headers: { Cookie: 'JSESSIONID=abc' }, ...(method === 'POST' ? { body: '' } : {}) });
      assert.equal(answer.headers['set-cookie'], undefined, name);
    }
  });
});
