// The same clients over TLS: a second listener with a certificate made for this run.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { connect } from 'node:tls';
import { connected, subscribe } from './support/pusher_js.mjs';
import { HOST, freePort, newApp, startServer } from './support/server.mjs';
import { within } from './support/wait.mjs';

// The libraries take no certificate of ours, so nobody in this process checks any.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
process.removeAllListeners('warning');

const folder = mkdtempSync(join(tmpdir(), 'tidings-tls-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const [certificate, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost',
  '-addext', `subjectAltName=IP:${HOST}`, '-keyout', key, '-out', certificate], { stdio: 'ignore' });

const port = await freePort();
const server = await startServer({ after }, { app: newApp({ force_tls: true }), listeners: [{ address: `${HOST}:${port}`, dialects: ['pusher'], tls: { certificate, key } }] });
const secure = { forceTLS: true, wssPort: port };

test('P-2.1 P-2.3 P-1.5 P-10.1: pusher-js by wss, the server library by https, on an app that wants TLS', async (t) => {
  const client = await connected(t, server, secure);
  const channel = await subscribe(client, 'private-secure');
  const api = server.api({ useTLS: true, port });
  await api.trigger('private-secure', 'big', 'x'.repeat(10_000));
  assert.equal((await channel.inbox.next((one) => one.name === 'big')).data.length, 10_000);
});

test('P-17.3: an app that wants TLS sends a plain client there by 4000', async (t) => {
  const client = await connected(t, server, { wssPort: port, enabledTransports: ['ws', 'wss'] });
  assert.ok(client.errors.all.some((one) => one.code === 4000), JSON.stringify(client.errors.all));
  await subscribe(client, 'public-moved');
});

test('plain bytes and half handshakes on the TLS port cost nobody else', async (t) => {
  const client = await connected(t, server, secure);
  await assert.rejects(fetch(`http://${HOST}:${port}/ready`));
  const half = connect({ port, host: HOST, minVersion: 'TLSv1.3' });
  half.on('error', () => {});
  const gone = new Promise((resolve) => half.once('close', resolve));
  half.destroy();
  await within(gone, 'the end of a half handshake');
  await subscribe(client, 'public-after');
});
