// A bare WebSocket client on a TCP socket: it shows every frame and can send what no library would.
import { createHash, randomBytes } from 'node:crypto';
import { connect as tcpConnect } from 'node:net';
import { channelAuth, userAuth } from './sign.mjs';
import { Inbox, within } from './wait.mjs';

export const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

/** Opens a TCP connection and resolves when it stands. */
export function tcp(server) {
  const socket = tcpConnect({ port: server.port, host: server.host });
  return within(new Promise((resolve, refuse) => socket.once('connect', () => resolve(socket)).once('error', refuse)), 'a TCP connection');
}

/** A frame as bytes; `mask: false` breaks the protocol on purpose. */
export function frame(opcode, payload = '', { fin = true, mask = true, rsv = 0, length } = {}) {
  const body = Buffer.from(payload);
  const size = length ?? body.length;
  const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode];
  const bit = mask ? 0x80 : 0;
  if (size < 126) head.push(bit | size);
  else if (size < 65_536) head.push(bit | 126, size >> 8, size & 255);
  else head.push(bit | 127, 0, 0, 0, 0, size >>> 24, (size >> 16) & 255, (size >> 8) & 255, size & 255);
  if (!mask) return Buffer.concat([Buffer.from(head), body]);
  const key = randomBytes(4);
  const masked = Buffer.from(body.map((byte, place) => byte ^ key[place & 3]));
  return Buffer.concat([Buffer.from(head), key, masked]);
}

export class RawSocket {
  frames = new Inbox('frames of a raw socket');
  answerPings = true;
  #received = Buffer.alloc(0);
  #parts = [];
  #closed;

  constructor(socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => (this.#closed = resolve));
    this.ended = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => {}); // a reset ends in `close` too
  }

  /** Upgrades; throws if the answer is not 101. `onFrame` sees each frame before it is queued; `json` says whether messages are JSON. */
  static async connect(server, path = server.path(), { headers = {}, onFrame, json = true } = {}) {
    const raw = new RawSocket(await tcp(server));
    raw.json = json;
    raw.onFrame = onFrame;
    raw.socket.setNoDelay(true);
    const key = randomBytes(16).toString('base64');
    const lines = { Host: `${server.host}:${server.port}`, Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': key, ...headers };
    raw.socket.write(`GET ${path} HTTP/1.1\r\n${Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`);
    raw.head = await within(raw.#readHead(), 'the answer to an upgrade');
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    if (!raw.head.startsWith('HTTP/1.1 101 ')) throw new Error(`no upgrade: ${raw.head}`);
    if (!raw.head.toLowerCase().includes(`sec-websocket-accept: ${accept.toLowerCase()}`)) throw new Error(`wrong accept key: ${raw.head}`);
    return raw;
  }

  /** Upgrades and takes the handshake: `socketId` and `handshake` are set. */
  static async open(server, path, options) {
    const raw = await RawSocket.connect(server, path, options);
    raw.app = server.app;
    const first = await raw.message();
    if (first.event !== 'pusher:connection_established') throw new Error(`not a handshake: ${JSON.stringify(first)}`);
    raw.handshake = JSON.parse(first.data);
    raw.socketId = raw.handshake.socket_id;
    return raw;
  }

  #readHead() {
    return new Promise((resolve, refuse) => {
      this.socket.once('close', () => refuse(new Error('closed instead of an answer')));
      const read = (bytes) => {
        this.#received = Buffer.concat([this.#received, bytes]);
        const end = this.#received.indexOf('\r\n\r\n');
        if (end < 0) return;
        const head = this.#received.subarray(0, end).toString();
        this.#received = this.#received.subarray(end + 4);
        this.socket.off('data', read);
        this.socket.on('data', (more) => this.#take(more));
        resolve(head);
        this.#take(Buffer.alloc(0));
      };
      this.socket.on('data', read);
    });
  }

  #take(bytes) {
    let rest = this.#received.length > 0 ? Buffer.concat([this.#received, bytes]) : bytes;
    for (;;) {
      if (rest.length < 2) break;
      let size = rest[1] & 0x7f;
      let start = 2;
      if (size === 126) {
        if (rest.length < 4) break;
        size = rest.readUInt16BE(2);
        start = 4;
      } else if (size === 127) {
        if (rest.length < 10) break;
        size = Number(rest.readBigUInt64BE(2));
        start = 10;
      }
      if (rest.length < start + size) break;
      this.#frame(rest[0], rest[1], rest.subarray(start, start + size));
      rest = rest.subarray(start + size);
    }
    this.#received = Buffer.from(rest);
  }

  #frame(first, second, payload) {
    if (second & 0x80) throw new Error('a server must not mask');
    if (first & 0x70) throw new Error('reserved bits without an extension');
    const opcode = first & 15;
    if (opcode === PING && this.answerPings) this.socket.write(frame(PONG, payload));
    if (opcode === CLOSE) return this.#close(payload);
    if (opcode >= 8) return this.frames.push({ opcode, payload: Buffer.from(payload) });
    this.#parts.push(Buffer.from(payload));
    if (!(first & 0x80)) return undefined;
    const text = Buffer.concat(this.#parts.splice(0)).toString();
    const one = { opcode: TEXT, message: this.json ? JSON.parse(text) : undefined, text };
    if (this.onFrame) return this.onFrame(one);
    return this.frames.push(one);
  }

  #close(payload) {
    const close = payload.length < 2 ? { code: 1005, reason: '' } : { code: payload.readUInt16BE(0), reason: payload.subarray(2).toString() };
    if (this.socket.writable) this.socket.write(frame(CLOSE, payload.subarray(0, 2)));
    this.#closed(close);
  }

  write(bytes) {
    this.socket.write(bytes);
  }

  /** Sends a text message: a string as it is, anything else as JSON. */
  send(message) {
    this.write(frame(TEXT, typeof message === 'string' ? message : JSON.stringify(message)));
  }

  /** The next message, or the next that has this event name and passes `match`. */
  async message(event, match = () => true, deadline) {
    const wanted = (one) => one.opcode === TEXT && (event === undefined || one.message.event === event) && match(one.message);
    return (await this.frames.next(wanted, event ?? 'a message', deadline)).message;
  }

  /** The text of the next message. */
  async text(deadline) {
    return (await this.frames.next((one) => one.opcode === TEXT, 'a message', deadline)).text;
  }

  /** The next control frame of this kind. */
  control(opcode, deadline) {
    return this.frames.next((one) => one.opcode === opcode, `a frame with opcode ${opcode}`, deadline);
  }

  /** The close frame of the server. */
  close(deadline) {
    return within(this.closed, () => `a close frame; got ${JSON.stringify(this.frames.all.slice(-5))}`, deadline);
  }

  /** Resolves when the TCP connection has ended. */
  gone() {
    return within(this.ended, 'the end of the TCP connection');
  }

  /** Subscribes with a right signature where one is needed, and takes the confirmation. */
  async subscribe(channel, channelData) {
    const data = { channel };
    if (/^(private|presence)-/.test(channel)) data.auth = channelAuth(this.app, this.socketId, channel, channelData);
    if (channelData !== undefined) data.channel_data = channelData;
    this.send({ event: 'pusher:subscribe', data });
    return this.message('pusher_internal:subscription_succeeded', (one) => one.channel === channel);
  }

  /** Signs in and takes the confirmation. */
  async signin(user) {
    const userData = JSON.stringify(user);
    this.send({ event: 'pusher:signin', data: { auth: userAuth(this.app, this.socketId, userData), user_data: userData } });
    return this.message('pusher:signin_success');
  }

  /** Resolves when everything sent so far has been handled: the answers come in request order (P-3.8, P-16.2). */
  async settled() {
    this.send({ event: 'pusher:ping', data: {} });
    return this.message('pusher:pong');
  }

  /** Every message that ever came, without what the handshake and `settled` bring. */
  messages() {
    return this.frames.all
      .filter((one) => one.opcode === TEXT)
      .map((one) => one.message)
      .filter((one) => !['pusher:connection_established', 'pusher:pong'].includes(one.event));
  }

  end() {
    this.socket.destroy();
  }
}
