// SockJS over HTTP: what each transport sends and takes, byte for byte; how text is encoded; HTTP/1.0 and 1.1 (sockjs.md 3 and 5).
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { ALL, Receiver, assertNotCached, fresh, opened, poll, send, sent, startTrial } from './support/sockjs.mjs';
import { Wire, ask } from './support/wire.mjs';

const TEXT = 'text/plain; charset=UTF-8';
const FORM = 'application/x-www-form-urlencoded';
const server = await startTrial({ after });

function assertRefused(answer, body) {
  assert.equal(answer.status, 500, answer.line);
  assert.equal(answer.headers['content-type'], TEXT);
  assert.equal(answer.body, body);
  assertNotCached(answer);
}

describe('receiving', () => {
  for (const [name, { type, polls, wrap }] of ALL) {
    test(`S-5.1 S-5.2 S-5.3 S-5.11 S-7.1: ${name} opens a session and brings what is sent`, async () => {
      const url = fresh();
      let receiver = await Receiver.open(server, url, name);
      const { headers } = receiver.head;
      assert.equal(headers['content-type'], type);
      assert.equal(headers['transfer-encoding'], 'chunked');
      assert.equal(headers['content-length'], undefined);
      assert.equal(headers['content-encoding'], undefined);
      assert.equal(headers['set-cookie'], undefined);
      assert.equal(headers['x-accel-buffering'], polls ? undefined : 'no');
      assert.equal(headers['x-content-type-options'], name === 'jsonp' ? 'nosniff' : undefined);
      assertNotCached(receiver.head);
      await receiver.frame('o');
      for (const text of ['a', '50%', '</script><script>alert(1)</script>', '"quoted" \\ and / \n']) {
        if (polls) {
          await receiver.over();
          receiver = await Receiver.open(server, url, name);
        }
        await sent(server, url, [text]);
        await receiver.frame(`a[${JSON.stringify(text)}]`);
      }
      receiver.end();
    });

    test(`S-5.1 S-7.5: ${name} brings the close frame and ends`, async () => {
      const url = fresh('/close');
      let receiver = await Receiver.open(server, url, name);
      await receiver.frame('o');
      if (polls) {
        await receiver.over();
        receiver = await Receiver.open(server, url, name);
      }
      await receiver.frame('c[3000,"Go away!"]');
      await receiver.over();
    });

    if (!polls) {
      test(`S-5.10: ${name} ends where its response is full, and the next goes on`, async () => {
        const url = fresh();
        const receiver = await Receiver.open(server, url, name);
        await receiver.frame('o');
        let total = wrap('o').length;
        const text = 'x'.repeat(128);
        let count = 0;
        while (total < 4096) {
          await sent(server, url, [text]);
          await receiver.frame(`a["${text}"]`);
          total += wrap(`a["${text}"]`).length;
          count += 1;
        }
        await receiver.over();
        if (name === 'xhr_streaming') assert.equal(count, 31);
        await sent(server, url, ['after']);
        const next = await Receiver.open(server, url, name);
        await next.frame('a["after"]');
        next.end();
      });

      test(`S-5.10: one frame over the limit goes whole over ${name}`, async () => {
        const url = fresh();
        const receiver = await Receiver.open(server, url, name);
        await receiver.frame('o');
        const text = 'y%'.repeat(20_000);
        await sent(server, url, [text]);
        await receiver.frame(`a["${text}"]`);
        await receiver.over();
      });
    }
  }

  test('S-5.2: the body of a poll does not matter, nor its type', async () => {
    const url = fresh();
    assert.equal((await ask(server, 'POST', `${url}/xhr`, { body: '["x"', headers: { 'Content-Type': 'image/png' } })).body, 'o\n');
    await sent(server, url, ['a']);
    assert.equal((await ask(server, 'POST', `${url}/xhr`, { body: 'x'.repeat(100_000) })).body, 'a["a"]\n');
  });

  test('S-5.2: a POST without Content-Length has an empty body', async () => {
    const url = fresh();
    assert.equal((await ask(server, 'POST', `${url}/xhr`)).body, 'o\n');
    assertRefused(await ask(server, 'POST', `${url}/xhr_send`), 'Payload expected.');
    await sent(server, url, ['still there']);
    assert.equal((await ask(server, 'POST', `${url}/xhr`)).body, 'a["still there"]\n');
  });

  for (const path of ['/htmlfile', '/jsonp']) {
    const longest = 'x'.repeat(32);
    const rows = [
      ['', '"callback" parameter required'], ['?', '"callback" parameter required'], ['?c=', '"callback" parameter required'], ['?b=x', '"callback" parameter required'],
      ...['%20', '*', 'abc(', 'abc%28', 'a%00', 'a;b', 'a%22', '%3Cscript%3E', 'a+b', '%C3%A9', '%ff', '%', `${longest}x`].map((given) => [`?c=${given}`, 'invalid "callback" parameter']),
    ];
    for (const [query, body] of rows) {
      test(`S-5.7: GET ${path}${query}`, async () => {
        const url = fresh();
        assertRefused(await ask(server, 'GET', url + path + query), body);
        assert.equal((await send(server, url, ['a'])).status, 404, 'no session is opened');
      });
    }

    for (const [query, name] of [['c=a-Z_9.b', 'a-Z_9.b'], ['callback=other', 'other'], ['callback=other&c=first', 'first'], ['c=%63b', 'cb'], [`c=${longest}`, longest]]) {
      test(`S-5.7: GET ${path}?${query}`, async () => {
        const wire = await Wire.open(server);
        const { status } = await wire.request('GET', `${fresh()}${path}?${query}`).head();
        assert.equal(status, 200);
        const first = await wire.chunk();
        if (path === '/jsonp') assert.equal(first, `/**/${name}("o");\r\n`);
        else assert.ok(first.includes(`var c = parent.${name};\n`), first);
        wire.end();
      });
    }
  }
});

describe('xhr_send', () => {
  const wrong = [
    ['', 'Payload expected.'], ['["a', 'Broken JSON encoding.'], ['[', 'Broken JSON encoding.'], ['["a"]x', 'Broken JSON encoding.'], ['["a",]', 'Broken JSON encoding.'], ['["\\x"]', 'Broken JSON encoding.'],
    ['["a\nb"]', 'Broken JSON encoding.'], [Buffer.from([0x5b, 0x22, 0xff, 0x22, 0x5d]), 'Broken JSON encoding.'], ['nonsense', 'Broken JSON encoding.'], [`${'['.repeat(100_000)}`, 'Broken JSON encoding.'],
    ['{}', 'Payload expected.'], ['"a"', 'Payload expected.'], ['17', 'Payload expected.'], ['null', 'Payload expected.'],
  ];
  for (const [body, answer] of wrong) {
    test(`S-5.8: ${JSON.stringify(body.toString().slice(0, 20))}`, async () => {
      const url = await opened(server);
      assertRefused(await send(server, url, body), answer);
      await sent(server, url, ['a']);
      assert.equal(await poll(server, url), 'a["a"]\n');
    });
  }

  test('S-5.8: the body is looked at before the session', async () => {
    assertRefused(await send(server, fresh(), '["a'), 'Broken JSON encoding.');
    assertRefused(await send(server, fresh(), ''), 'Payload expected.');
    const unknown = await send(server, fresh(), ['a']);
    assert.equal(unknown.status, 404);
    assert.equal(unknown.body, '404 Error: Page not found\n');
  });

  const types = [
    undefined, '', 'text/plain', 'T', 'application/json', 'application/xml', 'text/xml', 'application/json; charset=utf-8', 'text/xml; charset=utf-8', 'text/plain;charset=UTF-8', 'TEXT/Plain', 'Application/JSON ; x',
  ];
  test('S-5.8: types that are taken', async () => {
    const url = await opened(server);
    for (const type of types) {
      const answer = await send(server, url, ['a'], { headers: { 'Content-Type': type } });
      assert.equal(answer.status, 204, type);
      assert.equal(answer.headers['content-type'], TEXT);
      assert.equal(answer.body, '');
    }
    assert.equal(await poll(server, url), `a[${types.map(() => '"a"').join()}]\n`);
  });

  test('S-5.8: types that are not', async () => {
    const url = await opened(server);
    for (const type of ['image/png', FORM, 'multipart/form-data; boundary=x', 'application/jsonp', 'text/plainx', 'text', 'x; text/plain']) {
      assertRefused(await send(server, url, ['a'], { headers: { 'Content-Type': type } }), 'Payload expected.');
    }
  });

  test('S-3.8: an empty array means nothing', async () => {
    const url = await opened(server);
    await sent(server, url, []);
    await sent(server, url, ' [ ] ');
    await sent(server, url, ['a']);
    assert.equal(await poll(server, url), 'a["a"]\n');
  });

  test('S-3.7: what is no string is not echoed, and does no harm', async () => {
    const url = await opened(server);
    await sent(server, url, [1, null, { a: ['b'] }, ['c'], true, 'd']);
    await sent(server, url, `[${'['.repeat(50)}${']'.repeat(50)},"e"]`);
    assert.equal(await poll(server, url), 'a["d","e"]\n');
  });
});

describe('jsonp_send', () => {
  const post = (url, body, type = FORM, query = '') => ask(server, 'POST', `${url}/jsonp_send${query}`, { body, headers: { 'Content-Type': type ?? undefined } });
  const receive = async (url) => {
    const receiver = await Receiver.open(server, url, 'jsonp');
    receiver.end();
    return receiver;
  };

  async function session() {
    const url = fresh();
    const receiver = await receive(url);
    await receiver.frame('o');
    return url;
  }

  const good = [
    ['d=%5B%22a%22%5D', FORM, '', 'a'], ['d=["a"]', FORM, '?i=1', 'a'], ['x=1&d=%5B%22a%26b%22%5D&y', FORM, '', 'a&b'], ['d=%5B%22a+b%2Bc%22%5D', FORM, '', 'a b+c'], ['d=%5B%2250%25%22%5D', FORM, '', '50%'],
    ['d=%5B%22%C3%A9%22%5D', `${FORM}; charset=UTF-8`, '', 'é'], ['["a"]', 'text/plain', '', 'a'], ['["a"]', null, '', 'a'], ['["%20+"]', 'text/plain', '', '%20+'], ['"[\\"a\\"]"', 'text/plain', '', 'a'],
    ['d=%22%5B%5C%22a%5C%22%5D%22', FORM, '', 'a'],
  ];
  for (const [body, type, query, text] of good) {
    test(`S-5.9: ${body} as ${type}${query}`, async () => {
      const url = await session();
      const answer = await post(url, body, type, query);
      assert.equal(answer.status, 200, answer.body);
      assert.equal(answer.headers['content-type'], TEXT);
      assert.equal(answer.headers['content-length'], '2');
      assert.equal(answer.body, 'ok');
      assertNotCached(answer);
      const receiver = await Receiver.open(server, url, 'jsonp');
      await receiver.frame(`a[${JSON.stringify(text)}]`);
      receiver.end();
    });
  }

  const wrong = [
    ['', FORM, 'Payload expected.'], ['d=', FORM, 'Payload expected.'], ['p=p', FORM, 'Payload expected.'], ['d', FORM, 'Payload expected.'], ['', 'text/plain', 'Payload expected.'], ['d=%5B%22a%22%5D', 'image/png', 'Payload expected.'],
    ['["a"]', 'application/json', 'Payload expected.'], ['d=%5B%22a', FORM, 'Broken JSON encoding.'], ['d=%ff', FORM, 'Broken JSON encoding.'], ['["a', 'text/plain', 'Broken JSON encoding.'], ['d=%5B%22a%22%5D', 'text/plain', 'Broken JSON encoding.'],
    ['d={}', FORM, 'Payload expected.'], ['"a', 'text/plain', 'Broken JSON encoding.'],
  ];
  for (const [body, type, answer] of wrong) {
    test(`S-5.9: ${JSON.stringify(body)} as ${type} is refused`, async () => {
      const url = await session();
      assertRefused(await post(url, body, type), answer);
      assert.equal((await post(url, 'd=%5B%22b%22%5D')).status, 200);
      const receiver = await Receiver.open(server, url, 'jsonp');
      await receiver.frame('a["b"]');
      receiver.end();
    });
  }

  test('S-3.8 S-5.9: an empty array, and an unknown session', async () => {
    const url = await session();
    assert.equal((await post(url, 'd=[]')).body, 'ok');
    assert.equal((await post(fresh(), 'd=["a"]')).status, 404);
  });

  test('S-7.3: both ways of sending reach one session', async () => {
    const url = await session();
    await sent(server, url, ['a']);
    assert.equal((await post(url, 'd=["b"]')).status, 200);
    assert.equal(await poll(server, url), 'a["a","b"]\n');
  });
});

describe('encoding', () => {
  /** S-3.4: a character as the server must write it in a frame, for all that it may not leave as it is. */
  function escaped(unit) {
    const short = { 8: '\\b', 9: '\\t', 10: '\\n', 12: '\\f', 13: '\\r', 34: '\\"', 92: '\\\\' }[unit];
    return short ?? `\\u${unit.toString(16).padStart(4, '0')}`;
  }

  const ranges = [[0, 0x1f], [0x22, 0x22], [0x5c, 0x5c], [0x200c, 0x200f], [0x2028, 0x202f], [0x2060, 0x206f], [0xfff0, 0xffff]];
  const units = ranges.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, at) => from + at));

  test('S-3.4: every character that must be escaped is, exactly so', async () => {
    const url = await opened(server);
    const text = String.fromCharCode(...units);
    await sent(server, url, [text]);
    assert.equal(await poll(server, url), `a["${units.map(escaped).join('')}"]\n`);
  });

  test('S-3.4: characters above U+FFFF are two escapes, others go as they are', async () => {
    const url = await opened(server);
    await sent(server, url, ['😀 é/', '\u{10000}\u{10ffff}', '\u007f\u0080\u00ad\u0600\u17b4\u200b\u2010\u2027\u2030\u2070\ufeff\uffef']);
    assert.equal(await poll(server, url), 'a["\\ud83d\\ude00 é/","\\ud800\\udc00\\udbff\\udfff","\u007f\u0080\u00ad\u0600\u17b4\u200b\u2010\u2027\u2030\u2070\ufeff\uffef"]\n');
  });

  test('S-3.5: every character may come as an escape', async () => {
    const url = await opened(server);
    const all = [];
    for (let unit = 0; unit < 0x1_0000; unit += 7) if (unit < 0xd800 || unit > 0xdfff) all.push(unit);
    const text = String.fromCharCode(...all);
    await sent(server, url, `["${all.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('')}"]`);
    assert.deepEqual(JSON.parse((await poll(server, url)).slice(1)), [text]);
    await sent(server, url, '["\\ud83d\\ude00\\/\\uD83D\\uDE00"]');
    assert.equal(await poll(server, url), 'a["\\ud83d\\ude00/\\ud83d\\ude00"]\n');
  });

  test('S-3.6: half a surrogate pair is U+FFFD, and no error', async () => {
    const url = await opened(server);
    await sent(server, url, '["\\ud83d","\\ude00","a\\ud83db","\\ud83d\\ud83d\\ude00","\\ude00\\ud83d","\\ud83d\\u0041"]');
    const half = '\\ufffd';
    assert.equal(await poll(server, url), `a["${half}","${half}","a${half}b","${half}\\ud83d\\ude00","${half}${half}","${half}A"]\n`);
  });
});

describe('HTTP', () => {
  test('S-5.11: connections of 1.1 are kept, whatever the answer', async () => {
    const wire = await Wire.open(server);
    const url = fresh();
    const step = (...request) => wire.request(...request).answer();
    assert.equal((await step('GET', '/echo')).body, 'Welcome to SockJS!\n');
    assert.equal((await step('GET', '/echo/nothing')).status, 404);
    assert.equal((await step('PUT', '/echo/info')).status, 405);
    assert.equal((await step('OPTIONS', '/echo/info')).status, 204);
    assert.equal((await step('POST', `${url}/xhr`, { body: '' })).body, 'o\n');
    assert.equal((await step('POST', `${url}/xhr_send`, { body: '["a"]' })).status, 204);
    assert.equal((await step('POST', `${url}/xhr_send`, { body: '' })).status, 500);
    assert.equal((await step('POST', `${url}/xhr`, { body: '' })).body, 'a["a"]\n');
    assert.equal((await step('GET', '/echo/info', { headers: { Connection: 'close' } })).status, 200);
    await wire.gone();
  });

  test('S-5.11: requests may come together, and in pieces', async () => {
    const wire = await Wire.open(server);
    const url = fresh();
    wire.request('POST', `${url}/xhr`, { body: 'xx' }).request('POST', `${url}/xhr_send`, { body: '["a"]' }).request('POST', `${url}/xhr`).request('GET', '/echo');
    assert.equal((await wire.answer()).body, 'o\n');
    assert.equal((await wire.answer()).status, 204);
    assert.equal((await wire.answer()).body, 'a["a"]\n');
    assert.equal((await wire.answer()).body, 'Welcome to SockJS!\n');
    const request = `POST ${url}/xhr_send HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\n["\r\n3\r\nb"]\r\n0\r\n\r\n`;
    for (const byte of request) wire.write(byte);
    assert.equal((await wire.answer()).status, 204);
    assert.equal((await wire.request('POST', `${url}/xhr`).answer()).body, 'a["b"]\n');
    wire.end();
  });

  test('S-5.11: after a streaming response the connection goes on', async () => {
    const receiver = await Receiver.open(server, fresh('/close'), 'xhr_streaming');
    await receiver.frame('o');
    await receiver.frame('c[3000,"Go away!"]');
    await receiver.over();
    assert.equal((await receiver.wire.request('GET', '/echo').answer()).body, 'Welcome to SockJS!\n');
    receiver.end();
  });

  test('S-5.11: HTTP/1.0 has no chunks, and a short answer may keep the connection', async () => {
    const wire = await Wire.open(server);
    const answer = await wire.request('GET', '/echo', { version: '1.0', headers: { Connection: 'Keep-Alive' } }).answer();
    assert.equal(answer.headers['transfer-encoding'], undefined);
    assert.equal(answer.headers.connection?.toLowerCase(), 'keep-alive');
    assert.equal(answer.headers['content-length'], '19');
    assert.equal((await wire.request('GET', '/echo', { version: '1.0' }).answer()).body, 'Welcome to SockJS!\n');
    await wire.gone();
  });

  test('S-5.11: a streaming response of HTTP/1.0 ends with the connection', async () => {
    for (const [name, { method, path, wrap }] of ALL) {
      const wire = await Wire.open(server);
      wire.request(method, fresh('/close') + path, { version: '1.0', headers: { Connection: 'Keep-Alive' }, ...(method === 'POST' ? { body: '' } : {}) });
      const { status, headers } = await wire.head();
      assert.equal(status, 200);
      assert.equal(headers['transfer-encoding'], undefined);
      assert.equal(headers['content-length'], undefined);
      const body = await wire.rest();
      assert.ok(body.includes(wrap('o')), `${name}: ${body}`);
      assert.equal(body.includes('Go away!'), !['xhr', 'jsonp'].includes(name));
      wire.end();
    }
  });
});
