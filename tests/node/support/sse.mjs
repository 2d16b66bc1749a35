// Server-sent events: signed URLs, streams on a bare socket to the byte, and the library of the field.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { EventSource } from 'eventsource';
import { cleanup } from './cleanup.mjs';
import { Inbox, within } from './wait.mjs';
import { Wire } from './wire.mjs';

/** The `auth` of a stream (design section 7). */
export function streamAuth({ id, key, secret }, channels, expires) {
  const own = createHmac('sha256', secret).update('tidings-sse').digest();
  return `${key}:${createHmac('sha256', own).update([id, expires, ...channels].join('\n')).digest('hex')}`;
}

export const soon = () => Math.floor(Date.now() / 1000) + 3600;

/** The path of a stream. It is signed if `expires` is given; `more` are further parameters, and those that are `undefined` are left out. */
export function streamPath(app, channels, { expires, ...more } = {}) {
  const pairs = [['key', app.key], ...channels.map((channel) => ['channel', channel])];
  if (expires !== undefined) pairs.push(['expires', expires], ['auth', streamAuth(app, channels, expires)]);
  for (const [name, value] of Object.entries(more)) if (value !== undefined) pairs.push([name, value]);
  return `/apps/${app.id}/sse?${pairs.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&')}`;
}

/** The body of an answer that goes on and on, as it comes. */
export class Stream {
  #chunked;
  #read = Buffer.alloc(0);
  #over = false;
  /** Bytes of a chunk that are still to come. */
  #left = 0;

  /** Asks, and takes the head. */
  static async ask(server, path, options = {}) {
    const stream = new Stream();
    stream.wire = await Wire.open(server);
    stream.wire.request('GET', path, options);
    stream.head = await stream.wire.head();
    stream.#chunked = stream.head.headers['transfer-encoding'] === 'chunked';
    return stream;
  }

  /** The same; anything but a stream is an error. */
  static async open(server, path, options) {
    const stream = await Stream.ask(server, path, options);
    const { status, headers, line } = stream.head;
    if (status !== 200 || headers['content-type'] !== 'text/event-stream') throw new Error(`no stream but ${line}: ${JSON.stringify(headers)}`);
    return stream;
  }

  /** Waits for more; `false` if there will be none. */
  async #more() {
    const bytes = await (this.#chunked ? this.#chunk() : this.wire.some());
    if (bytes === null) this.#over = true;
    else this.#read = Buffer.concat([this.#read, bytes]);
    return bytes !== null;
  }

  /** What has come of a chunk; `null` is the last one. */
  async #chunk() {
    const mark = async () => assert.equal((await this.wire.bytes(2)).toString(), '\r\n');
    if (this.#left === 0) {
      this.#left = parseInt((await this.wire.before('\r\n')).toString(), 16);
      if (this.#left === 0) {
        await mark();
        return null;
      }
    }
    const bytes = await this.wire.some(this.#left);
    if (bytes === null) throw new Error('the connection ended within a chunk');
    this.#left -= bytes.length;
    if (this.#left === 0) await mark();
    return bytes;
  }

  /** The next block as it is on the wire, its empty line included; `null` if the answer has ended as it should, without half a block. */
  async block() {
    for (;;) {
      const end = this.#read.indexOf('\n\n');
      if (end >= 0) {
        const block = this.#read.subarray(0, end + 2).toString();
        this.#read = this.#read.subarray(end + 2);
        return block;
      }
      if (this.#over || !(await this.#more())) {
        if (this.#read.length > 0) throw new Error(`the answer ended within a block: ${JSON.stringify(this.#read.toString())}`);
        return null;
      }
    }
  }

  /** The next event, as a browser reads it: comments and fields without an effect are passed over. */
  async event() {
    for (;;) {
      const block = await this.block();
      if (block === null) return null;
      const event = read(block);
      if (event.retry !== undefined) this.retry = event.retry;
      if (event.id !== undefined) this.lastId = event.id;
      if (event.data !== undefined) return { type: event.event ?? 'message', data: event.data, id: event.id };
    }
  }

  /** The next event of this type. */
  async named(type) {
    for (;;) {
      const event = await this.event();
      if (event === null) throw new Error(`the stream ended before ${type}`);
      if (event.type === type) return event;
    }
  }

  /** Resolves when the answer has ended as it should. */
  async over() {
    for (let block = await this.block(); block !== null; block = await this.block());
  }

  gone() {
    return this.wire.gone();
  }

  end() {
    this.wire.end();
  }
}

/** A stream of `server` that has begun; `begin` is the data of its first event, `id` where its reader is; `last` where the reader was before. */
export async function begun(t, server, channels, { last, ...more } = {}) {
  const events = await Stream.open(server, streamPath(server.app, channels, { expires: soon(), ...more }), last === undefined ? {} : { headers: { 'Last-Event-ID': last } });
  cleanup(t, () => events.end());
  const { type, data, id } = await events.event();
  assert.equal(type, 'tidings:subscribed');
  events.begin = JSON.parse(data);
  events.id = id;
  return events;
}

/** Where a reader of these channels is who has just left. */
export async function left(t, server, channels, options) {
  const events = await begun(t, server, channels, options);
  events.end();
  return events.id;
}

/** Expects these data next, each as an event. */
export async function told(events, expected) {
  for (const one of expected) {
    const { type, data } = await events.event();
    assert.deepEqual([type, data], ['event', String(one)]);
  }
}

/** The fields of a block, as the standard of server-sent events reads them. */
export function read(block) {
  const fields = {};
  for (const line of block.split(/\r\n|\r|\n/)) {
    const colon = line.indexOf(':');
    if (line === '' || colon === 0) continue;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'data') fields.data = fields.data === undefined ? value : `${fields.data}\n${value}`;
    else if (['event', 'id', 'retry'].includes(name)) fields[name] = value;
  }
  return fields;
}

/** An `EventSource` of the library; `inbox` holds the events of these `types`, in order. It is closed when `t` is over. */
export function source(t, url, types = ['message'], options) {
  const events = new EventSource(url, options);
  events.inbox = new Inbox('events of an EventSource');
  events.errors = new Inbox('errors of an EventSource');
  events.opened = new Inbox('openings of an EventSource');
  for (const type of types) events.addEventListener(type, ({ data, lastEventId }) => events.inbox.push({ type, data, id: lastEventId }));
  events.addEventListener('open', () => events.opened.push({}));
  events.addEventListener('error', ({ code, message }) => events.errors.push({ code, message, state: events.readyState }));
  cleanup(t, () => events.close());
  return events;
}

/** Resolves as soon as an `EventSource` is open. */
export function opened(events) {
  return within(events.opened.next(() => true, 'an open stream'), () => `an open stream; errors were ${JSON.stringify(events.errors.all)}`);
}
