// Signatures of the protocol, computed apart from every library under test (P-6.1, P-10.4).
import { createHash, createHmac } from 'node:crypto';

const hmac = (secret, text) => createHmac('sha256', secret).update(text).digest('hex');

/** The `auth` of a subscribe (P-6.2, P-6.3). */
export function channelAuth(app, socketId, channel, channelData) {
  const text = channelData === undefined ? `${socketId}:${channel}` : `${socketId}:${channel}:${channelData}`;
  return `${app.key}:${hmac(app.secret, text)}`;
}

/** The `auth` of a sign-in (P-6.5). */
export function userAuth(app, socketId, userData) {
  return `${app.key}:${hmac(app.secret, `${socketId}::user::${userData}`)}`;
}

/** The signed query of an API request, as a list of pairs that a test may still spoil. */
export function signedQuery(app, method, path, { params = {}, body = '', timestamp = Math.floor(Date.now() / 1000) } = {}) {
  const pairs = { ...params, auth_key: app.key, auth_timestamp: String(timestamp), auth_version: '1.0' };
  if (body.length > 0) pairs.body_md5 = createHash('md5').update(body).digest('hex');
  const names = Object.keys(pairs).sort();
  const text = [method, path, names.map((name) => `${name.toLowerCase()}=${pairs[name]}`).join('&')].join('\n');
  return { ...pairs, auth_signature: hmac(app.secret, text) };
}

/** Sends a signed API request with `fetch`; `spoil` may change the query after signing, `wire` is the path to send if it is not the signed one. */
export async function request(server, method, path, { params, body, timestamp, app = server.app, spoil = (query) => query, wire = path } = {}) {
  const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
  const query = new URLSearchParams(spoil(signedQuery(app, method, path, { params, body: text, timestamp })));
  const answer = await fetch(`${server.url}${wire}?${query}`, {
    method,
    body: text.length > 0 ? text : undefined,
    headers: text.length > 0 ? { 'content-type': 'application/json' } : {},
  });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

/** Whether a webhook's signature is right (P-12.3). */
export function webhookSigned(app, hook) {
  return hook.headers['x-pusher-key'] === app.key && hook.headers['x-pusher-signature'] === hmac(app.secret, hook.body);
}
