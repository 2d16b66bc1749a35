// What tests of SockJS share: the services of S-10, session URLs, the five receiving transports.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { startServer } from './server.mjs';
import { Wire, ask } from './wire.mjs';

/** Starts a server with the services that tests of SockJS ask for (S-10.1). */
export function startTrial(t, options = {}) {
  return startServer(t, { listener: { dialects: ['sockjs-trial'] }, ...options });
}

/** A session URL that nobody has used. */
export function fresh(service = '/echo', part = '000') {
  return `${service}/${part}/${randomBytes(8).toString('hex')}`;
}

const page = (callback) => `<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.${callback};
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>`;

/** The receiving transports (S-5.1): `wrap` gives a frame as it goes over the wire, `prelude` fails unless it is right. */
export const RECEIVERS = {
  xhr: { method: 'POST', path: '/xhr', type: 'application/javascript; charset=UTF-8', cors: true, polls: true, wrap: (frame) => `${frame}\n` },
  xhr_streaming: {
    method: 'POST',
    path: '/xhr_streaming',
    type: 'application/javascript; charset=UTF-8',
    cors: true,
    prelude: (text) => assert.equal(text, `${'h'.repeat(2048)}\n`),
    wrap: (frame) => `${frame}\n`,
  },
  eventsource: {
    method: 'GET',
    path: '/eventsource',
    type: 'text/event-stream',
    cors: true,
    prelude: (text) => assert.equal(text, '\r\n'),
    wrap: (frame) => `data: ${frame.replaceAll('%', '%25')}\r\n\r\n`,
  },
  htmlfile: {
    method: 'GET',
    path: '/htmlfile?c=call.back',
    type: 'text/html; charset=UTF-8',
    prelude: (text) => {
      assert.equal(text.trimEnd(), page('call.back'));
      assert.match(text, / +\r\n\r\n$/);
      assert.ok(text.length > 1024, String(text.length));
    },
    wrap: (frame) => `<script>\np(${JSON.stringify(frame).replaceAll('<', '\\u003c')});\n</script>\r\n`,
  },
  jsonp: {
    method: 'GET',
    path: '/jsonp?c=call.back',
    type: 'application/javascript; charset=UTF-8',
    polls: true,
    wrap: (frame) => `/**/call.back(${JSON.stringify(frame)});\r\n`,
  },
};

/** The same by name, for tables of tests. */
export const ALL = Object.entries(RECEIVERS);

/** Text that has trouble on its way: with what quotes, what is escaped, what ends scripts, what browsers take for something else. */
export const TRICKY = [
  'a', '', '50%', '%25 %00 + &', '</script><!-- ]]>', '"quoted" \\ / \'', 'tab\t line\n return\r', '\u0000\u0001\u001f\u007f', 'é ü ß €', '😀 \u{10ffff}', '\u2028\u2029\u200b\u200d\ufeff', '\ufff0\ufffe\uffff',
  '["not", "two"]', 'o', 'h', 'c[3000,"no"]', ' ', 'data: x\n\n',
];

/** A response that receives frames. */
export class Receiver {
  /** Begins a receiving request and takes head and prelude. */
  static async open(server, url, transport, options = {}) {
    const receiver = new Receiver();
    receiver.kind = RECEIVERS[transport];
    receiver.wire = await Wire.open(server);
    const { method, path, prelude } = receiver.kind;
    receiver.wire.request(method, url + path, method === 'POST' ? { body: '', ...options } : options);
    receiver.head = await receiver.wire.head();
    assert.equal(receiver.head.status, 200, receiver.head.line);
    if (prelude) prelude(await receiver.wire.chunk());
    return receiver;
  }

  /** Expects this frame next, wrapped, in a chunk of its own. */
  async frame(expected) {
    assert.equal(await this.wire.chunk(), this.kind.wrap(expected));
  }

  /** Expects the end of the response. */
  async over() {
    assert.equal(await this.wire.chunk(), null);
  }

  end() {
    this.wire.end();
  }
}

/** Opens a session with a poll. */
export async function opened(server, service = '/echo') {
  const url = fresh(service);
  assert.equal(await poll(server, url), 'o\n');
  return url;
}

/** The body of one `xhr` poll. */
export async function poll(server, url) {
  const answer = await ask(server, 'POST', `${url}/xhr`, { body: '' });
  assert.equal(answer.status, 200, answer.line);
  return answer.body;
}

/** Sends messages: a list, or the body as it is. */
export function send(server, url, messages, options = {}) {
  return ask(server, 'POST', `${url}/xhr_send`, { body: typeof messages === 'string' || Buffer.isBuffer(messages) ? messages : JSON.stringify(messages), ...options });
}

/** The same, and expects that they are taken. */
export async function sent(server, url, messages, options) {
  const answer = await send(server, url, messages, options);
  assert.equal(answer.status, 204, `${answer.line} ${answer.body}`);
  assert.equal(answer.body, '');
}

/** CORS headers as they are for pages of anywhere, or of `origin` (S-4.6). */
export function assertCors(answer, origin) {
  assert.equal(answer.headers['access-control-allow-origin'], origin ?? '*');
  assert.equal(answer.headers['access-control-allow-credentials'], origin === undefined ? undefined : 'true');
  assert.equal(answer.headers.vary, 'Origin');
}

export function assertNoCors(answer) {
  for (const name of Object.keys(answer.headers)) assert.ok(!name.startsWith('access-control-'), name);
}

/** S-4.7. */
export function assertCacheable(answer) {
  assert.equal(answer.headers['cache-control'], 'public, max-age=31536000');
  const days = (Date.parse(answer.headers.expires) - Date.now()) / 86_400_000;
  assert.ok(days > 364 && days < 366, answer.headers.expires);
  assert.equal(answer.headers['last-modified'], undefined);
}

/** S-4.8. */
export function assertNotCached(answer) {
  assert.equal(answer.headers['cache-control'], 'no-store, no-cache, no-transform, must-revalidate, max-age=0');
  assert.equal(answer.headers.expires, undefined);
  assert.equal(answer.headers['last-modified'], undefined);
}
