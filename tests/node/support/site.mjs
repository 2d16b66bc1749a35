// Pages of somebody else in Chromium, which open streams and sockets and tell what comes.
import { createServer } from 'node:http';
import { open } from './chromium.mjs';
import { cleanup } from './cleanup.mjs';
import { HOST } from './server.mjs';
import { Inbox } from './wait.mjs';

/** Serves one empty page on an origin of its own; gives its address. */
export async function site(t) {
  const http = createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>site</title><link rel="icon" href="data:,"><body>'));
  await new Promise((resolve) => http.listen(0, HOST, resolve));
  cleanup(t, () => {
    http.closeAllConnections();
    http.close();
  });
  return `http://${HOST}:${http.address().port}/`;
}

/** What a page runs when it is told to connect; what happens there goes to `told`. */
function connector() {
  const shown = (data) => (data instanceof ArrayBuffer ? { bytes: [...new Uint8Array(data)] } : data);
  window.connectEvents = (name, url, types) => {
    const events = new EventSource(url);
    (window.ends ??= {})[name] = events;
    events.onopen = () => window.told({ name, open: true });
    events.onerror = () => window.told({ name, error: events.readyState });
    for (const type of types) events.addEventListener(type, ({ data, lastEventId }) => window.told({ name, type, data, id: lastEventId }));
  };
  window.connectSocket = (name, url) => {
    const socket = new WebSocket(url);
    (window.ends ??= {})[name] = socket;
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => window.told({ name, open: true });
    socket.onmessage = ({ data }) => window.told({ name, type: 'message', data: shown(data) });
    socket.onclose = ({ code, reason }) => window.told({ name, close: code, reason });
  };
}

/** A page at `address`; what its connections tell is in `told`. Errors that it logs go to `errors`. */
export async function visitor(t, browser, address, { errors } = {}) {
  const page = await open(t, browser, 'about:blank', { errors });
  page.told = new Inbox('what a page told');
  await page.exposeFunction('told', (what) => page.told.push(what));
  await page.addInitScript(connector);
  await page.goto(address);
  /** Opens an `EventSource` called `name`. */
  page.events = (name, url, types = ['message']) => page.evaluate(([called, to, named]) => window.connectEvents(called, to, named), [name, url, types]);
  /** Opens a `WebSocket` called `name`. */
  page.socket = (name, url) => page.evaluate(([called, to]) => window.connectSocket(called, to), [name, url]);
  /** The next thing that the connection of this name told. */
  page.next = (name) => page.told.next((one) => one.name === name, `something of ${name}`);
  page.opened = (name) => page.told.next((one) => one.name === name && one.open, `${name} to open`);
  return page;
}
