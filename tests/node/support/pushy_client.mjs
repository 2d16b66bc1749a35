// What Pushy's browser client does, as its rules tell (Y-3.9, Y-4.3, Y-5.8, Y-6.14, Y-8.10), on the SockJS client of the field; and what
// the PHP SDK does on the application's side (Y-6.9, Y-6.15, Y-7.3, Y-7.8). It fails where they would not know what to do.
import SockJS from 'sockjs-client';
import { cleanup } from './cleanup.mjs';
import { listen } from './http_peer.mjs';
import { PREFIX, ask, seconds, sha256 } from './pushy.mjs';
import { Inbox } from './wait.mjs';

/** The client. `events` holds all that its application is told, in order: the name, the channel if it is one's, the data. */
export class PushyClient {
  events = new Inbox('events of a client');
  #channels = new Map();

  constructor(t, server, { transport, auth, prefix = PREFIX }) {
    this.auth = auth;
    this.socket = new SockJS(`${server.url}${prefix}`, null, { transports: [transport], timeout: 10_000 });
    this.socket.onmessage = ({ data }) => this.#message(JSON.parse(data));
    this.socket.onclose = ({ code, reason }) => this.#tell('disconnect', undefined, { code, reason });
    cleanup(t, () => this.socket.close());
  }

  #tell(event, channel, data) {
    this.events.push({ event, channel, data });
  }

  #command(command, data = []) {
    this.socket.send(JSON.stringify({ command, data }));
  }

  /** Without data a command carries an empty list (Y-4.3). */
  command(name, data) {
    this.#command(name, data);
  }

  subscribe(channel) {
    this.#channels.set(channel, { subscribed: false });
    this.#command('subscribe', { channel });
  }

  unsubscribe(channel) {
    this.#command('unsubscribe', { channel });
  }

  close() {
    this.socket.close();
  }

  isSubscribed(channel) {
    return this.#channels.get(channel)?.subscribed === true;
  }

  /** The next event of this name. */
  event(name) {
    return this.events.next((one) => one.event === name, name);
  }

  #message({ event, channel, data }) {
    if (!event) return undefined;
    const about = data || {};
    if (event === 'pushy:connect') {
      this.socketId = about.socketId;
      this.protocol = about.protocol;
      return this.#tell('connect', undefined, about);
    }
    if (event.startsWith('pushy:subscription-')) return this.#subscription(event.slice('pushy:subscription-'.length), about);
    if (event === 'pushy:error' || channel === undefined) return undefined;
    // Names are looked up as the application wrote them: another spelling would be lost (Y-5.4).
    if (!this.#channels.has(channel)) throw new Error(`an event of the unknown channel ${channel}`);
    const shown = { 'pushy:presence-add': 'pushy:member-added', 'pushy:presence-quit': 'pushy:member-quit' }[event];
    return this.#tell(shown ?? event, channel, shown ? about.member : about);
  }

  #subscription(what, { channel, presence, reason }) {
    const known = this.#channels.get(channel);
    if (!known) throw new Error(`${what} of the unknown channel ${channel}`);
    if (what === 'success') {
      known.subscribed = true;
      return this.#tell('subscribe', channel, presence);
    }
    if (what === 'needauth') return this.#authorize(channel);
    if (what === 'failed') return this.#tell('subscribe-error', channel, reason);
    this.#channels.delete(channel);
    return this.#tell('unsubscribe', channel);
  }

  async #authorize(channel) {
    const answer = await fetch(this.auth, { method: 'POST', body: new URLSearchParams({ channel, connection_id: this.socketId }) });
    const { auth = '', data } = await answer.json();
    this.#command('subscribe', { channel, auth, data });
  }
}

/** What PHP's `json_encode` prints: slashes and all that is not ASCII escaped. */
export function jsonEncode(value) {
  const escaped = JSON.stringify(value).replaceAll('/', '\\/');
  return escaped.replace(/[\u0080-\uffff]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** What PHP's `http_build_query` prints. */
export function httpBuildQuery(data) {
  const encode = (text) => encodeURIComponent(text).replace(/[!'()*~]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`).replaceAll('%20', '+');
  const pairs = (value, key) => {
    if (value === null) return [];
    if (typeof value === 'object') return Object.entries(value).flatMap(([name, one]) => pairs(one, key === undefined ? name : `${key}[${name}]`));
    return [`${encode(key)}=${encode(typeof value === 'boolean' ? String(Number(value)) : String(value))}`];
  };
  return pairs(data).join('&');
}

/** The PHP SDK. */
export class PhpSdk {
  constructor(server, secret = server.app.secret) {
    Object.assign(this, { server, secret });
  }

  /** Publishes: `true` where somebody is on the channel, `false` where nobody is; anything else throws. Nothing is escaped in the URL. */
  async trigger(channel, event, data = [], { socketId } = {}) {
    const timestamp = seconds();
    const key = sha256(`${channel.toLowerCase()}:${event}:${timestamp}:${jsonEncode(data)}:${this.secret}`);
    const skip = socketId === undefined ? '' : `&socket_id=${socketId}`;
    const path = `/pushy/channel/${channel}/trigger?event=${event}&timestamp=${timestamp}&auth_key=${key}${skip}`;
    const headers = { 'User-Agent': 'Pushy-PHP/1.0 PHP/5.4.9', Accept: '*/*', 'Content-Type': 'application/x-www-form-urlencoded' };
    const answer = await ask(this.server, 'POST', path, { headers, body: httpBuildQuery(data) });
    const { status } = JSON.parse(answer.body);
    if (status === undefined) throw new Error(answer.body);
    return status.code === 201;
  }

  /** What an auth handler answers. `allowed` false refuses. */
  authorize(connection, channel, data, allowed = true) {
    if (!allowed) return { error: 'not authorized' };
    if (data === undefined) return { auth: sha256(`${connection}:${channel}:${this.secret}`) };
    const once = jsonEncode(data);
    // Because PHP escapes slashes and JavaScript does not.
    const text = `${connection}:${channel}:${jsonEncode(once)}:${this.secret}`.replaceAll('\\\\\\/', '\\\\/');
    return { auth: sha256(text), data: once };
  }
}

/** An application's auth handler, at the default path: `member(form)` gives presence data, `allow(form)` says who may. `forms` holds what came. */
export async function authHandler(t, sdk, { member = () => undefined, allow = () => true } = {}) {
  const forms = new Inbox('forms of the auth handler');
  const url = await listen(t, (request, body, response) => {
    const form = Object.fromEntries(new URLSearchParams(body));
    forms.push({ method: request.method, path: request.url, type: request.headers['content-type'], form });
    const answer = sdk.authorize(form.connection_id, form.channel, member(form), allow(form));
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
  });
  return { url: `${url}/pushy/auth`, forms };
}
