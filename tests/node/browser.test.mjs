// A real Chromium: the try-it page, and pusher-js on a page of somebody else.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { after, test } from 'node:test';
import { launch, open as openPage } from './support/chromium.mjs';
import { cleanup } from './support/cleanup.mjs';
import { authEndpoint } from './support/http_peer.mjs';
import { HOST, newApp, startServer } from './support/server.mjs';
import { Inbox } from './support/wait.mjs';

const browser = await launch({ after });
const server = await startServer({ after }, { app: newApp({ client_events: true }), listener: { dialects: ['pusher', 'console'] } });
const api = server.api();

const open = (t, url, options) => openPage(t, browser, url, options);

test('the try-it page connects, subscribes, publishes and shows what arrives', async (t) => {
  const page = await open(t, `${server.url}/`);
  await page.getByRole('status').filter({ hasText: 'connected' }).waitFor();
  await page.getByLabel('Channel name').fill('try-it');
  await page.getByRole('button', { name: 'Subscribe' }).click();
  await page.getByRole('listitem').filter({ hasText: 'try-it' }).filter({ hasText: 'subscribed' }).waitFor();
  const events = page.getByRole('log');
  await api.trigger('try-it', 'from-server', { hello: 'page' });
  await events.getByText('from-server').waitFor();
  await events.getByText('"hello":"page"').waitFor();
  await page.getByLabel('Publish to').fill('try-it');
  await page.getByLabel('Event name').fill('from-page');
  await page.getByLabel('Data').fill('{"n":1}');
  await page.getByRole('button', { name: 'Publish' }).click();
  await events.getByText('from-page').waitFor();
});

test('P-6.6 P-7.3: the try-it page opens private and presence channels and lists members', async (t) => {
  const page = await open(t, `${server.url}/`);
  await page.getByRole('status').filter({ hasText: 'connected' }).waitFor();
  for (const channel of ['private-try', 'presence-try']) {
    await page.getByLabel('Channel name').fill(channel);
    await page.getByRole('button', { name: 'Subscribe' }).click();
    await page.getByRole('listitem').filter({ hasText: channel }).filter({ hasText: 'subscribed' }).waitFor();
  }
  await page.getByRole('listitem').filter({ hasText: 'presence-try' }).filter({ hasText: '1 member' }).waitFor();
});

test('P-19.1: the try-it page shows the options of the client and the lines of a Laravel project', async (t) => {
  const page = await open(t, `${server.url}/`);
  await page.getByText(`new Pusher("${server.app.key}"`).waitFor();
  const text = await page.locator('body').innerText();
  assert.match(text, /enabledTransports: \["ws", "wss"\]/);
  for (const line of [`PUSHER_APP_KEY=${server.app.key}`, `PUSHER_APP_ID=${server.app.id}`, `PUSHER_PORT=${server.port}`]) assert.ok(text.includes(line), line);
  assert.ok(!text.includes(server.app.secret), 'the page must not show the secret');
});

test('the page allows no scripts but its own, and no publish without its header', async () => {
  const answer = await fetch(`${server.url}/`);
  assert.match(answer.headers.get('content-security-policy') ?? '', /script-src 'self'(;|$)/);
  assert.match(answer.headers.get('content-type') ?? '', /^text\/html/);
  const forged = await fetch(`${server.url}/console/publish`, { method: 'POST', body: JSON.stringify({ channel: 'c', event: 'e', data: 'd' }), headers: { 'content-type': 'text/plain' } });
  assert.ok(forged.status >= 400 && forged.status < 500, String(forged.status));
});

test('the page carries pusher-js as its authors released it, with their licence', async () => {
  for (const [path, file] of [['pusher.min.js', 'dist/web/pusher.min.js'], ['pusher.LICENCE.txt', 'LICENCE']]) {
    const served = Buffer.from(await (await fetch(`${server.url}/page/vendor/${path}`)).arrayBuffer());
    assert.ok(served.equals(await readFile(new URL(`node_modules/pusher-js/${file}`, import.meta.url))), path);
  }
});

test('P-20.1 P-2.10 P-6.6: pusher-js on a page of another origin', async (t) => {
  const library = await readFile(new URL('node_modules/pusher-js/dist/web/pusher.min.js', import.meta.url));
  const endpoint = await authEndpoint(t, api, { member: () => ({ user_id: 'browser' }) });
  const said = new Inbox('lines of the page');
  const site = createServer((incoming, response) => {
    // The site passes the request for authorisation on, as a customer's own origin would answer it.
    if (incoming.url === '/pusher/auth') {
      const parts = [];
      incoming.on('data', (part) => parts.push(part));
      incoming.on('end', async () => {
        const answer = await fetch(endpoint.channels, { method: 'POST', body: Buffer.concat(parts), headers: { 'content-type': incoming.headers['content-type'] } });
        response.writeHead(answer.status).end(await answer.text());
      });
    } else if (incoming.url === '/pusher.js') response.writeHead(200, { 'content-type': 'text/javascript' }).end(library);
    else if (incoming.url === '/favicon.ico') response.writeHead(204).end();
    else response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>site</title><script src="/pusher.js"></script>');
  });
  await new Promise((resolve) => site.listen(0, HOST, resolve));
  cleanup(t, () => {
    site.closeAllConnections();
    site.close();
  });
  const page = await open(t, `http://${HOST}:${site.address().port}/`);
  await page.exposeFunction('say', (line) => said.push(line));
  await page.evaluate(
    ([key, options]) => {
      const client = new Pusher(key, { ...options, channelAuthorization: { endpoint: '/pusher/auth', transport: 'ajax' } });
      for (const name of ['public-page', 'private-page', 'presence-page']) {
        client.subscribe(name).bind_global((event, data) => say({ name, event, data }));
      }
    },
    [server.app.key, server.client()],
  );
  for (const name of ['public-page', 'private-page', 'presence-page']) {
    await said.next((line) => line.name === name && line.event === 'pusher:subscription_succeeded', name);
    await api.trigger(name, 'hello', { to: name });
    assert.deepEqual((await said.next((line) => line.name === name && line.event === 'hello')).data, { to: name });
  }
  const { users } = await (await api.get({ path: '/channels/presence-page/users' })).json();
  assert.deepEqual(users, [{ id: 'browser' }]);
});
