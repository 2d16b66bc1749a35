// A server that speaks Pushi, and the plain things its clients do.
import { createHmac, randomBytes } from 'node:crypto';
import { RawSocket } from './raw_socket.mjs';
import { startServer } from './server.mjs';
import { cleanup } from './cleanup.mjs';

/** An app as Pushi's clients know it: everything has 64 hex digits. */
export function pushiApp(settings = {}) {
  const digits = () => randomBytes(32).toString('hex');
  return { id: digits(), key: digits(), secret: digits(), name: 'golden', ...settings };
}

/** Starts a server with one app and a store in memory; `pushi` are settings of `[[pushi]]`. */
export async function startPushi(t, { dialects = ['pushi', 'pushi-api'], pushi = {}, app = pushiApp(), store = { url: 'memory:' }, settings = {}, ...more } = {}) {
  return startServer(t, { app, listener: { dialects }, settings: { store, pushi: [pushi], ...settings }, ...more });
}

/** The signature of I-2.2 for a socket, or for what a registration names. */
export function pushiAuth(app, subject, channel) {
  return `${app.key}:${createHmac('sha256', app.secret).update(`${subject}:${channel}`).digest('hex')}`;
}

/** A connection, its greeting taken. */
export async function open(t, server, app = server.app) {
  const raw = await RawSocket.connect(server, `/${app.key}`);
  cleanup(t, () => raw.end());
  const greeting = await raw.message();
  raw.socketId = JSON.parse(greeting.data).socket_id;
  raw.app = app;
  return raw;
}

/** Subscribes with a signature where one is needed, and gives the record of the answer. */
export async function subscribe(raw, channel, channelData) {
  const data = { channel };
  if (/^(private|presence|personal|peer)-/.test(channel)) data.auth = pushiAuth(raw.app, raw.socketId, channel);
  if (channelData !== undefined) data.channel_data = channelData;
  raw.send({ event: 'pusher:subscribe', data, echo: false, persist: true });
  const answer = await raw.message('pusher_internal:subscription_succeeded', (one) => one.channel === channel);
  return JSON.parse(answer.data);
}

/** An error frame's data. */
export async function refusal(raw) {
  return JSON.parse((await raw.message('pusher:error')).data);
}

/**
 * Resolves when nothing is under way to the connection; throws if something else came. What others did before is in the inbox of the
 * connection's thread, which a turn looks at after its sockets: the second pong is behind it.
 */
export async function silent(raw) {
  for (const round of [1, 2]) {
    raw.send({ event: 'pusher:ping', data: {} });
    const { message } = await raw.frames.next((one) => one.message !== undefined, `pong ${round}`);
    if (message.event !== 'pusher:pong') throw new Error(`not silent: ${JSON.stringify(message)}`);
  }
}

/** A request of the REST API: `{ status, body, headers }`. `body` is parsed if it is JSON. */
export async function rest(server, method, path, { query = {}, json, body, headers = {}, type } = {}) {
  const url = new URL(server.url + path);
  for (const [name, value] of Object.entries(query)) url.searchParams.append(name, value);
  const sent = json === undefined ? body : JSON.stringify(json);
  if (json !== undefined) headers = { 'Content-Type': 'application/json', ...headers };
  if (type) headers = { ...headers, 'Content-Type': type };
  const answer = await fetch(url, { method, body: sent, headers });
  const text = await answer.text();
  let parsed = text;
  if (answer.headers.get('content-type')?.includes('json')) parsed = JSON.parse(text);
  return { status: answer.status, body: parsed, headers: answer.headers };
}

/** Logs in and gives the token. */
export async function login(server, app = server.app) {
  const { status, body } = await rest(server, 'GET', '/login', { query: { app_id: app.id, app_key: app.key, app_secret: app.secret } });
  if (status !== 200) throw new Error(`no login: ${status} ${JSON.stringify(body)}`);
  return body.token;
}
