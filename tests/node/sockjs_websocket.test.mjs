// SockJS over WebSocket: with frames, without, and by the draft of 2010 (sockjs.md 6).
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, describe, test } from 'node:test';
import { Draft, PROOFS } from './support/draft.mjs';
import { BINARY, CLOSE, PING, PONG, RawSocket, TEXT, frame } from './support/raw_socket.mjs';
import { fresh, startTrial } from './support/sockjs.mjs';
import { ask } from './support/wire.mjs';

const server = await startTrial({ after });
const UPGRADE = { Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': randomBytes(16).toString('base64') };

/** A WebSocket with frames, past its open frame. */
async function framed(url = fresh(), options = {}) {
  const socket = await RawSocket.connect(server, `${url}/websocket`, { json: false, ...options });
  assert.equal(await socket.text(), 'o');
  return socket;
}

const raw = (service = '/echo') => RawSocket.connect(server, `${service}/websocket`, { json: false });

describe('handshake', () => {
  test('S-6.1 S-6.3: its headers', async () => {
    const offers = { Connection: 'keep-alive, upgrade', Upgrade: 'WebSocket', 'Sec-WebSocket-Protocol': 'a, b', 'Sec-WebSocket-Extensions': 'permessage-deflate' };
    for (const path of [`${fresh()}/websocket`, '/echo/websocket', `${fresh()}/websocket/?t=1`]) {
      const socket = await RawSocket.connect(server, path, { json: false, headers: offers });
      const lines = socket.head.toLowerCase().split('\r\n');
      assert.ok(lines[0].startsWith('http/1.1 101 '), lines[0]);
      assert.ok(lines.includes('upgrade: websocket'), socket.head);
      assert.ok(lines.includes('connection: upgrade'), socket.head);
      for (const name of ['content-length', 'transfer-encoding', 'sec-websocket-protocol', 'sec-websocket-extensions', 'set-cookie']) {
        assert.ok(!lines.some((line) => line.startsWith(`${name}:`)), socket.head);
      }
      socket.end();
    }
  });

  const rows = [
    ['a plain GET', {}, 400],
    ['no upgrade among its connection tokens', { ...UPGRADE, Connection: 'close' }, 400],
    ['another upgrade', { ...UPGRADE, Upgrade: 'h2c' }, 400],
    ['no key', { ...UPGRADE, 'Sec-WebSocket-Key': undefined }, 400],
    ['a bad key', { ...UPGRADE, 'Sec-WebSocket-Key': 'x' }, 400],
  ];
  for (const [name, headers, status] of rows) {
    test(`S-6.2: ${name}`, async () => {
      for (const path of ['/0/0/websocket', '/websocket']) {
        const answer = await ask(server, 'GET', `/echo${path}`, { headers });
        assert.equal(answer.status, status);
        assert.equal(answer.body, 'Not a valid websocket request');
        assert.equal(answer.headers['content-type'], 'text/plain');
      }
    });
  }

  for (const version of ['7', '8', '14', undefined]) {
    test(`S-6.2 S-6.9: version ${version}`, async () => {
      const headers = { ...UPGRADE, 'Sec-WebSocket-Version': version };
      const answer = await ask(server, 'GET', '/echo/0/0/websocket', { headers });
      assert.equal(answer.status, 400);
      assert.equal(answer.headers['sec-websocket-version'], '13');
      const bare = await ask(server, 'GET', '/echo/websocket', { headers });
      assert.equal(bare.status, 400);
      assert.equal(bare.body, 'Only supported WebSocket protocol is RFC 6455.');
    });
  }

  test('S-6.2: POST, with and without upgrade headers', async () => {
    for (const headers of [{}, UPGRADE]) {
      for (const path of ['/0/0/websocket', '/websocket']) {
        const answer = await ask(server, 'POST', `/echo${path}`, { headers, body: '' });
        assert.equal(answer.status, 405);
        assert.equal(answer.headers.allow, 'GET');
        assert.equal(answer.headers['content-type'], undefined);
        assert.equal(answer.body, '');
      }
    }
  });

  test('S-2.8 S-6.9: a service without WebSocket has no raw one either', async () => {
    for (const path of ['/0/0/websocket', '/websocket']) {
      const answer = await ask(server, 'GET', `/disabled_websocket_echo${path}`, { headers: UPGRADE });
      assert.equal(answer.status, 404);
      assert.equal(answer.body, '404 Error: Page not found\n');
    }
  });

  test('S-2.9: an upgrade outside any prefix', async () => {
    assert.equal((await ask(server, 'GET', '/nowhere', { headers: UPGRADE })).status, 404);
  });
});

describe('with frames', () => {
  test('S-6.4 S-6.5: every kind of text', async () => {
    const socket = await framed();
    const rows = [
      ['["a"]', ['a["a"]']], ['["b","c"]', ['a["b"]', 'a["c"]']], ['"d"', ['a["d"]']], ['', []], ['[]', []], [' ["e"] ', ['a["e"]']], ['["\\ud83d\\ude00 é/","50%</script>"]', ['a["\\ud83d\\ude00 é/"]', 'a["50%</script>"]']],
      ['["\\ud83d"]', ['a["\\ufffd"]']], ['"\\udc00"', ['a["\\ufffd"]']], ['{"x":1}', []], ['17', []], ['[1,"f",null]', ['a["f"]']],
    ];
    for (const [text, expected] of rows) {
      socket.send(text);
      for (const one of expected) assert.equal(await socket.text(), one, text);
    }
    socket.send('["last"]');
    assert.equal(await socket.text(), 'a["last"]');
    socket.end();
  });

  for (const text of ['["a', '[', 'x', '["a"]x', '{"a"', '"\\x"', ' ']) {
    test(`S-6.5 S-7.8: broken JSON: ${text}`, async () => {
      const socket = await framed();
      socket.send(text);
      assert.deepEqual(await socket.close(), { code: 3000, reason: 'Broken framing.' });
      assert.deepEqual(socket.frames.all.map((one) => one.text), ['o'], 'no frame tells of it');
      await socket.gone();
    });
  }

  const faults = [
    ['text that is not UTF-8', frame(TEXT, Buffer.from([0x5b, 0x22, 0xff, 0x22, 0x5d])), 1007],
    ['a binary message', frame(BINARY, '["a"]'), 1003],
    ['a message over the limit', frame(TEXT, `["${'x'.repeat(65_537)}"]`), 1009],
    ['a frame over the limit of requests', frame(TEXT, '', { length: 2 ** 20 + 1 }), 1009],
    ['too many messages', frame(TEXT, JSON.stringify(Array.from({ length: 1001 }, () => ''))), 1009],
    ['no mask', frame(TEXT, '["a"]', { mask: false }), 1002],
  ];
  for (const [name, bytes, code] of faults) {
    test(`S-6.5 S-8.1: ${name}`, async () => {
      const socket = await framed();
      socket.write(bytes);
      assert.equal((await socket.close()).code, code);
      assert.deepEqual(socket.frames.all.map((one) => one.text), ['o']);
      await socket.gone();
    });
  }

  test('S-8.1: the longest message, and as many as may come together', async () => {
    const socket = await framed();
    const long = 'x'.repeat(65_536);
    socket.send([long]);
    assert.equal(await socket.text(), `a["${long}"]`);
    socket.send(Array.from({ length: 1000 }, (_, at) => String(at)));
    for (let at = 0; at < 1000; at += 1) assert.equal(await socket.text(), `a["${at}"]`);
    socket.end();
  });

  test('S-6.6 S-7.8: the application closes', async () => {
    const socket = await framed(fresh('/close'));
    assert.equal(await socket.text(), 'c[3000,"Go away!"]');
    assert.deepEqual(await socket.close(), { code: 1000, reason: 'Normal closure' });
    await socket.gone();
  });

  test('S-6.5 S-6.6: pings are answered, and the close of the client', async () => {
    const socket = await framed();
    socket.write(frame(PING, 'are you there'));
    assert.equal((await socket.control(PONG)).payload.toString(), 'are you there');
    socket.write(frame(CLOSE, Buffer.from([0x03, 0xe8])));
    assert.equal((await socket.close()).code, 1000);
    await socket.gone();
  });

  test('S-6.7 S-1.2: the session in the URL means nothing', async () => {
    const url = fresh();
    const [one, other] = [await framed(url), await framed(url)];
    one.send(['one']);
    other.send(['other']);
    assert.equal(await one.text(), 'a["one"]');
    assert.equal(await other.text(), 'a["other"]');
    one.write(frame(CLOSE));
    await one.gone();
    const again = await framed(url);
    again.send(['again']);
    assert.equal(await again.text(), 'a["again"]');
    assert.equal((await ask(server, 'POST', `${url}/xhr_send`, { body: '["a"]' })).status, 404);
    assert.equal((await ask(server, 'POST', `${url}/xhr`, { body: '' })).body, 'o\n');
    again.end();
    other.end();
  });

  test('RFC 6455: fragments are one message', async () => {
    const socket = await framed();
    socket.write(Buffer.concat([frame(TEXT, '["in ', { fin: false }), frame(PING, ''), frame(0, 'parts"]')]));
    assert.equal(await socket.text(), 'a["in parts"]');
    socket.end();
  });
});

describe('without frames', () => {
  test('S-6.9: a message is a message', async () => {
    const socket = await raw();
    for (const text of ['Hello world!\uffff', '["a"]', '[', '', '😀']) {
      socket.send(text);
      assert.equal(await socket.text(), text);
    }
    assert.equal(socket.frames.all[0].text, 'Hello world!\uffff', 'nothing comes before');
    socket.end();
  });

  test('S-6.9: bytes are taken', async () => {
    const socket = await raw();
    socket.write(frame(BINARY, 'bytes'));
    assert.equal(await socket.text(), 'bytes');
    socket.write(frame(BINARY, Buffer.from([0xff, 0xfe])));
    socket.send('after');
    assert.equal(await socket.text(), 'after', 'what is no text is not echoed');
    socket.end();
  });

  test('S-6.9: the application closes with its own code and reason', async () => {
    const socket = await raw('/close');
    assert.deepEqual(await socket.close(), { code: 3000, reason: 'Go away!' });
    assert.deepEqual(socket.frames.all, []);
    await socket.gone();
  });

  for (const [name, bytes, code] of [['text that is not UTF-8', frame(TEXT, Buffer.from([0xff])), 1007], ['a message over the limit', frame(TEXT, 'x'.repeat(65_537)), 1009]]) {
    test(`S-6.5 S-8.1: ${name}`, async () => {
      const socket = await raw();
      socket.write(bytes);
      assert.equal((await socket.close()).code, code);
      await socket.gone();
    });
  }
});

describe('the draft of 2010', () => {
  for (const [nonce, proof] of PROOFS) {
    test(`S-6.10: the head comes before the nonce ${nonce}, the proof after it`, async () => {
      const url = fresh();
      const draft = await Draft.ask(server, `${url}/websocket?x=1`);
      assert.equal(draft.head.line, 'HTTP/1.1 101 WebSocket Protocol Handshake');
      assert.deepEqual(draft.head.headers, {
        upgrade: 'WebSocket', connection: 'Upgrade', 'sec-websocket-origin': 'http://a.example', 'sec-websocket-location': `ws://${server.host}:${server.port}${url}/websocket?x=1`,
      });
      for (const byte of nonce) draft.wire.write(byte);
      assert.deepEqual(await draft.wire.bytes(16), proof);
      assert.deepEqual([...(await draft.wire.bytes(3))], [0, 0x6f, 0xff]);
      draft.send('["a"]');
      assert.equal(await draft.text(), 'a["a"]');
      draft.wire.write(Buffer.from([0xff, 0]));
      await draft.closed();
    });
  }

  test('S-6.10: handshake, nonce and text may come at once', async () => {
    const [nonce, proof] = PROOFS[0];
    const more = Buffer.concat([Buffer.from(nonce), Buffer.from('\0["a"]'), Buffer.from([0xff]), Buffer.from('\0["b","c"]'), Buffer.from([0xff])]);
    const draft = await Draft.ask(server, `${fresh()}/websocket`, {}, more);
    assert.deepEqual(await draft.wire.bytes(16), proof);
    for (const text of ['o', 'a["a"]', 'a["b"]', 'a["c"]']) assert.equal(await draft.text(), text);
    draft.wire.end();
  });

  test('S-6.10: without an origin', async () => {
    const draft = await Draft.ask(server, `${fresh()}/websocket`, { Origin: undefined });
    assert.equal(draft.head.status, 101);
    assert.ok(!('sec-websocket-origin' in draft.head.headers));
    draft.wire.end();
  });

  test('S-6.6 S-6.10: the application closes', async () => {
    const draft = await Draft.open(server, `${fresh('/close')}/websocket`);
    assert.equal(await draft.text(), 'o');
    assert.equal(await draft.text(), 'c[3000,"Go away!"]');
    await draft.closed();
  });

  test('S-3.4 S-3.6 S-6.10: text of every kind, in pieces', async () => {
    const draft = await Draft.open(server, `${fresh()}/websocket`);
    assert.equal(await draft.text(), 'o');
    const long = `["${'é😀'.repeat(9_000)}"]`;
    const bytes = Buffer.concat([Buffer.from([0]), Buffer.from(long), Buffer.from([0xff])]);
    for (let at = 0; at < bytes.length; at += 997) draft.wire.write(bytes.subarray(at, at + 997));
    assert.equal(JSON.parse((await draft.text()).slice(1))[0], JSON.parse(long)[0]);
    for (const byte of Buffer.from([0, ...Buffer.from('["x"]'), 0xff, 0, 0xff, 0, ...Buffer.from('"\\ud800"'), 0xff])) draft.wire.write(Buffer.from([byte]));
    assert.equal(await draft.text(), 'a["x"]');
    assert.equal(await draft.text(), 'a["\\ufffd"]');
    draft.wire.end();
  });

  const faults = [
    ['broken JSON', Buffer.from([0, 0x5b, 0xff])],
    ['a byte that begins nothing', Buffer.from([0x81])],
    ['text that is not UTF-8', Buffer.from([0, 0x22, 0xc3, 0x28, 0x22, 0xff])],
    ['FF without 00', Buffer.from([0xff, 0x01])],
    ['too long a text', Buffer.concat([Buffer.from([0]), Buffer.from(`["${'x'.repeat(65_537)}"]`), Buffer.from([0xff])])],
    ['text that never ends', Buffer.alloc(2 ** 20 + 2, 0)],
  ];
  for (const [name, bytes] of faults) {
    test(`S-6.5 S-6.10: ${name}`, async () => {
      const draft = await Draft.open(server, `${fresh()}/websocket`);
      assert.equal(await draft.text(), 'o');
      draft.wire.write(bytes);
      await draft.closed();
    });
  }

  for (const [name, keys] of [['no spaces', { 'Sec-WebSocket-Key1': '12998' }], ['a remainder', { 'Sec-WebSocket-Key2': '1 2 3' }], ['no digits', { 'Sec-WebSocket-Key2': '  ' }], ['too large', { 'Sec-WebSocket-Key1': '99999999999 9' }]]) {
    test(`S-6.10: a key with ${name}`, async () => {
      const draft = await Draft.ask(server, `${fresh()}/websocket`, keys);
      assert.equal(draft.head.status, 400);
      await draft.wire.gone();
    });
  }

  test('S-6.9 S-6.10: not without frames, and not where there is no WebSocket', async () => {
    assert.equal((await Draft.ask(server, '/echo/websocket')).head.status, 400);
    assert.equal((await Draft.ask(server, `${fresh('/disabled_websocket_echo')}/websocket`)).head.status, 404);
    assert.equal((await Draft.ask(server, `${fresh()}/websocket`, { 'Sec-WebSocket-Version': '7' })).head.status, 400);
  });
});
