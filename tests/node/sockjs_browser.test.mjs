// sockjs-client in Chromium, on pages of the server's own origin and of another, over each transport that it has there.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { after, describe, test } from 'node:test';
import { launch, open } from './support/chromium.mjs';
import { cleanup } from './support/cleanup.mjs';
import { HOST } from './support/server.mjs';
import { TRICKY, startTrial } from './support/sockjs.mjs';


const browser = await launch({ after });
const server = await startTrial({ after });
const script = await readFile(new URL('node_modules/sockjs-client/dist/sockjs.min.js', import.meta.url), 'utf8');
// The iframe page loads the client from where it is by default (S-4.5), and gets what the registry has.
await browser.route('https://cdn.jsdelivr.net/npm/sockjs-client@1/dist/sockjs.min.js', (route) => route.fulfill({ contentType: 'text/javascript', body: script }));
const elsewhere = await site({ after });

/** A page of somebody else. */
async function site(t) {
  const http = createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>site</title><body>'));
  await new Promise((resolve) => http.listen(0, HOST, resolve));
  cleanup(t, () => {
    http.closeAllConnections();
    http.close();
  });
  return `http://${HOST}:${http.address().port}/`;
}

/** A page with the client. */
async function page(t, address) {
  const opened = await open(t, browser, address);
  await opened.addScriptTag({ content: script });
  return opened;
}

/** In the page: connects, sends, and once as much has come back closes. Tells how all of that went. */
function drive([url, transport, messages]) {
  return new Promise((resolve) => {
    const socket = new SockJS(url, null, { transports: transport, timeout: 20_000 });
    const seen = { got: [] };
    socket.onopen = () => {
      seen.transport = socket.transport;
      for (const message of messages) socket.send(message);
    };
    socket.onmessage = ({ data }) => {
      seen.got.push(data);
      if (seen.got.length === messages.length) socket.close(3456, 'enough');
    };
    socket.onclose = ({ code, reason, wasClean }) => resolve({ ...seen, code, reason, wasClean });
  });
}

/** Expects that a session went as it should; of messages that did not come back as they were, only the first is shown, and not all of it. */
function assertSame({ got, ...how }, { messages, ...expected }) {
  const wrong = messages.findIndex((message, at) => message !== got[at]);
  const shown = (text) => JSON.stringify(text)?.slice(0, 200);
  assert.deepEqual({ count: got.length, ...(wrong < 0 ? {} : { wrong, is: shown(got[wrong]) }), ...how }, { count: messages.length, ...(wrong < 0 ? {} : { wrong, is: shown(messages[wrong]) }), ...expected });
}

/** Every character, with half of a pair as it comes back. */
function everything() {
  const parts = [];
  for (let from = 0; from < 0x1_0000; from += 0x2000) parts.push(String.fromCharCode(...Array.from({ length: 0x2000 }, (_, at) => from + at)));
  const whole = (text) => [...text].map((one) => (/^[\ud800-\udfff]$/.test(one) ? '\ufffd' : one)).join('');
  return { sent: parts, expected: parts.map(whole) };
}

const OWN = ['websocket', 'xhr-streaming', 'eventsource', 'xhr-polling', 'htmlfile', 'jsonp-polling'];
const FOREIGN = ['websocket', 'xhr-streaming', 'eventsource', 'xhr-polling', 'jsonp-polling', 'iframe-eventsource', 'iframe-htmlfile', 'iframe-xhr-polling'];

for (const [origin, address, transports] of [['its own origin', `${server.url}/echo`, OWN], ['another origin', elsewhere, FOREIGN]]) {
  for (const transport of transports) {
    describe(`${transport} on a page of ${origin}`, () => {
      const session = async (t, service, messages) => {
        const opened = await page(t, address);
        return opened.evaluate(drive, [`${server.url}${service}`, transport, messages]);
      };
      const done = (messages) => ({ messages, transport, code: 3456, reason: 'enough', wasClean: true });

      test('S-3.4 S-5.1: text of every kind comes back, then the client closes', async (t) => {
        assertSame(await session(t, '/echo', TRICKY), done(TRICKY));
      });

      test('S-3.4 S-3.6: every character comes back', async (t) => {
        const { sent, expected } = everything();
        assertSame(await session(t, '/echo', sent), done(expected));
      });

      test('S-5.10 S-8.1: large messages come back', async (t) => {
        const messages = Array.from({ length: 5 }, (_, at) => `${at}:`.padEnd(65_536, '%x'));
        assertSame(await session(t, '/echo', messages), done(messages));
      });

      test('S-7.8: the server closes, with code and reason', async (t) => {
        assertSame(await session(t, '/close', []), { messages: [], transport, code: 3000, reason: 'Go away!', wasClean: true });
      });

      test('S-9.1: where cookies are needed', async (t) => {
        assertSame(await session(t, '/cookie_needed_echo', ['a', 'b']), done(['a', 'b']));
      });
    });
  }
}

test('S-4.1: a client finds a transport by itself, without WebSocket too', async (t) => {
  const opened = await page(t, elsewhere);
  assert.equal((await opened.evaluate(drive, [`${server.url}/echo`, undefined, ['a']])).transport, 'websocket');
  assert.equal((await opened.evaluate(drive, [`${server.url}/disabled_websocket_echo`, undefined, ['a']])).transport, 'xhr-streaming');
});
