// wspush's place taken with its own flags, and clients of a relay on bare sockets, which show every byte.
import assert from 'node:assert/strict';
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { cleanup } from './cleanup.mjs';
import { frame } from './raw_socket.mjs';
import { HOST, Server, freePort } from './server.mjs';
import { Stream } from './sse.mjs';
import { Wire } from './wire.mjs';

export const PREFIX = 'news.';
/** The key of the vectors, and as `-hmac` takes it. */
export const KEY = 'super secret key';
export const KEY_FLAG = 'c3VwZXIgc2VjcmV0IGtleQ';

/** A token signed as applications do it (W-3.3, W-3.7). */
export function signed(payload, { key = KEY, hash = 'md5' } = {}) {
  const bytes = Buffer.from(payload);
  return Buffer.concat([bytes, createHmac(hash, key).update(bytes).digest()]).toString('base64url');
}

/** `tidings wspush` with these flags, and `-addr` and `-expvar` before them. */
export class Relay extends Server {
  constructor(port, statistics, flags, environment = {}) {
    super(port, {});
    this.statistics = { host: HOST, port: statistics, url: `http://${HOST}:${statistics}` };
    this.flags = flags;
    this.environment = environment;
  }

  arguments() {
    return ['wspush', '-addr', `${HOST}:${this.port}`, '-expvar', `${HOST}:${this.statistics.port}`, ...this.flags];
  }

  async configure() {
    // There is no file.
  }

  /** Its subscription stands (W-2.9). */
  readiness() {
    return `${this.statistics.url}/ready`;
  }

  /** What the statistics server says of the relay. */
  async vars() {
    const answer = await fetch(`${this.statistics.url}/debug/vars`);
    assert.equal(answer.status, 200);
    return (await answer.json()).wspush;
  }

  /** Resolves with the statistics as soon as they pass `match`. */
  vary(match) {
    return eventually(() => this.vars(), match);
  }
}

/** Asks until the answer passes `match`; there is nothing to wait for but the next answer. */
export async function eventually(question, match, deadline = 20_000) {
  const late = Date.now() + deadline;
  for (;;) {
    const answer = await question();
    if (match(answer)) return answer;
    if (Date.now() > late) throw new Error(`asked for ${deadline} ms whether ${match}; the last answer was ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Starts one that subscribes to `redis`, and waits until it has. */
export async function startRelay(t, redis, { prefix = PREFIX, flags = [], environment } = {}) {
  const relay = new Relay(await freePort(), await freePort(), ['-redis', redis.address, '-prefix', prefix, ...flags], environment);
  cleanup(t, () => relay.stop());
  await relay.start();
  return relay;
}

/** The query of a token, which may be bytes. */
export const tokenQuery = (token) => `token=${[...Buffer.from(token)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')}`;

export const UPGRADE = { Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Version': '13', Origin: 'http://example.com' };

/** One end of a WebSocket whose frames are told apart and not looked into. */
export class Frames {
  /** Asks for the upgrade, and takes the head of the answer. Headers that are `undefined` are left out. */
  static async ask(server, path, headers = {}) {
    const frames = new Frames();
    frames.wire = await Wire.open(server);
    const key = randomBytes(16).toString('base64');
    frames.accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    frames.wire.request('GET', path, { headers: { ...UPGRADE, 'Sec-WebSocket-Key': key, ...headers } });
    frames.head = await frames.wire.head();
    return frames;
  }

  /** The same; anything but an upgrade is an error. */
  static async open(server, path, headers) {
    const frames = await Frames.ask(server, path, headers);
    assert.equal(frames.head.status, 101, JSON.stringify(frames.head));
    assert.equal(frames.head.headers['sec-websocket-accept'], frames.accept);
    return frames;
  }

  /** The next frame: its opcode, its head in hexadecimal digits, its payload. */
  async frame() {
    let head = await this.wire.bytes(2);
    let size = head[1] & 0x7f;
    if (size >= 126) {
      const length = await this.wire.bytes(size === 126 ? 2 : 8);
      size = size === 126 ? length.readUInt16BE() : Number(length.readBigUInt64BE());
      head = Buffer.concat([head, length]);
    }
    assert.equal(head[1] & 0x80, 0, 'a server does not mask');
    return { opcode: head[0] & 15, head: head.toString('hex'), payload: Buffer.from(await this.wire.bytes(size)) };
  }

  /** The next frame that is no heartbeat (W-8.1), whole, in hexadecimal digits. */
  async message() {
    for (;;) {
      const { head, payload } = await this.frame();
      if (head !== '8a00') return head + payload.toString('hex');
    }
  }

  /** The text of the next frame, which must be a whole message. */
  async text() {
    const { head, payload } = await this.frame();
    assert.equal(head.slice(0, 2), '81', `a text frame, not ${head} ${payload}`);
    return payload.toString();
  }

  /** Expects a close frame next. */
  async closed(code, reason = '') {
    const { head, payload } = await this.frame();
    assert.equal(head.slice(0, 2), '88', `a close frame, not ${head} ${payload.subarray(0, 100)}`);
    assert.deepEqual([payload.readUInt16BE(0), payload.subarray(2).toString()], [code, reason]);
  }

  /** Expects these bytes next, given in hexadecimal digits. */
  async hex(expected) {
    assert.equal((await this.wire.bytes(expected.length / 2)).toString('hex'), expected);
  }

  send(opcode, payload, options) {
    this.wire.write(frame(opcode, payload, options));
  }

  gone() {
    return this.wire.gone();
  }

  end() {
    this.wire.end();
  }
}

/** The next block of a stream that is no heartbeat (W-8.1). */
export async function told(events) {
  for (;;) {
    const block = await events.block();
    if (block !== 'ping:\n\n') return block;
  }
}

/** A client of `token` by WebSocket. Its place is taken as soon as this resolves. */
export async function websocket(t, server, token, { path = '/', headers } = {}) {
  const frames = await Frames.open(server, `${path}?${tokenQuery(token)}`, headers);
  cleanup(t, () => frames.end());
  return frames;
}

/** The same by server-sent events. */
export async function stream(t, server, token, { path = '/sse', ...options } = {}) {
  const events = await Stream.open(server, `${path}?${tokenQuery(token)}`, options);
  cleanup(t, () => events.end());
  return events;
}
