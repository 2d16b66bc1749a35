// HTTP and other text on a bare socket, read as it arrives: head by head, chunk by chunk, byte by byte.
import assert from 'node:assert/strict';
import { tcp } from './raw_socket.mjs';
import { DEADLINE, within } from './wait.mjs';

export class Wire {
  /** Milliseconds after which waiting for bytes has failed. */
  patience = DEADLINE;
  #read = Buffer.alloc(0);
  #over = false;
  #wake = () => {};

  constructor(socket) {
    this.socket = socket;
    socket.on('data', (bytes) => {
      this.#read = Buffer.concat([this.#read, bytes]);
      this.#wake();
    });
    socket.on('error', () => {}); // a reset ends in `close` too
    this.ended = new Promise((resolve) => socket.once('close', resolve));
    for (const end of ['end', 'close']) {
      socket.once(end, () => {
        this.#over = true;
        this.#wake();
      });
    }
  }

  static async open(server) {
    const wire = new Wire(await tcp(server));
    wire.server = server;
    wire.socket.setNoDelay(true);
    return wire;
  }

  write(bytes) {
    this.socket.write(bytes);
  }

  /** Sends a request. A body has a `Content-Length` unless `headers` say otherwise; a header that is `undefined` is left out. */
  request(method, target, { headers = {}, body, version = '1.1' } = {}) {
    const lines = { Host: `${this.server.host}:${this.server.port}`, ...headers };
    const names = Object.keys(lines).map((name) => name.toLowerCase());
    if (body !== undefined && !names.includes('content-length') && !names.includes('transfer-encoding')) lines['Content-Length'] = Buffer.byteLength(body);
    const head = Object.entries(lines).filter(([, value]) => value !== undefined).map(([name, value]) => `${name}: ${value}\r\n`);
    this.write(Buffer.concat([Buffer.from(`${method} ${target} HTTP/${version}\r\n${head.join('')}\r\n`), Buffer.from(body ?? '')]));
    return this;
  }

  async #until(find, what) {
    for (;;) {
      const found = find(this.#read);
      if (found !== undefined) {
        this.#read = this.#read.subarray(found.end);
        return found.bytes;
      }
      if (this.#over) throw new Error(`the connection ended before ${what}; left is ${JSON.stringify(this.#read.toString())}`);
      const more = new Promise((resolve) => (this.#wake = resolve));
      await within(more, () => `${what}; there is ${JSON.stringify(this.#read.toString().slice(0, 500))}`, this.patience);
    }
  }

  /** What comes before `mark`, which is passed over. */
  before(mark) {
    const end = Buffer.from(mark);
    return this.#until((read) => {
      const at = read.indexOf(end);
      return at < 0 ? undefined : { bytes: read.subarray(0, at), end: at + end.length };
    }, `the end ${JSON.stringify(end.toString())}`);
  }

  bytes(count) {
    return this.#until((read) => (read.length < count ? undefined : { bytes: read.subarray(0, count), end: count }), `${count} bytes`);
  }

  /** Whatever has come, at least a byte of it and at most `max`; `null` at the end of the connection. */
  async some(max = Infinity) {
    const bytes = await this.#until((read) => {
      const end = Math.min(read.length, max);
      return end > 0 || this.#over ? { bytes: read.subarray(0, end), end } : undefined;
    }, 'a byte');
    return bytes.length > 0 ? bytes : null;
  }

  /** Everything up to the end of the connection. */
  async rest() {
    return (await this.#until((read) => (this.#over ? { bytes: read, end: read.length } : undefined), 'the end of the connection')).toString();
  }

  /** The head of an answer. No header may come twice. */
  async head() {
    const [line, ...lines] = (await this.before('\r\n\r\n')).toString().split('\r\n');
    const headers = {};
    for (const one of lines) {
      const at = one.indexOf(':');
      const name = one.slice(0, at).toLowerCase();
      assert.ok(!(name in headers), `${name} came twice`);
      headers[name] = one.slice(at + 1).trim();
    }
    return { line, status: Number(line.split(' ')[1]), headers };
  }

  /** The next chunk of a body; `null` is its end. */
  async chunk() {
    const size = parseInt((await this.before('\r\n')).toString(), 16);
    const text = (await this.bytes(size)).toString();
    assert.equal((await this.bytes(2)).toString(), '\r\n');
    return size === 0 ? null : text;
  }

  /** A whole answer, however its end is told; one that does not tell it is an error. */
  async answer() {
    const { line, status, headers } = await this.head();
    const length = headers['content-length'];
    let body = '';
    if (headers['transfer-encoding'] !== undefined) {
      assert.equal(headers['transfer-encoding'], 'chunked');
      assert.equal(length, undefined, 'chunks have no length');
      for (let chunk = await this.chunk(); chunk !== null; chunk = await this.chunk()) body += chunk;
    } else if (length !== undefined) body = (await this.bytes(Number(length))).toString();
    else if (headers.connection === 'close') body = await this.rest();
    else assert.ok([204, 304].includes(status), `where does the body of ${line} end?`);
    return { line, status, headers, body };
  }

  /** Resolves when the connection has ended. */
  gone() {
    return within(this.ended, 'the end of the connection');
  }

  end() {
    this.socket.destroy();
  }
}

/** One request on a connection of its own, and its whole answer. */
export async function ask(server, method, target, options) {
  const wire = await Wire.open(server);
  const answer = await wire.request(method, target, options).answer();
  wire.end();
  return answer;
}
