// A real Redis on a free port, and a client of it that can send any bytes.
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cleanup } from './cleanup.mjs';
import { HOST, freePort } from './server.mjs';
import { within } from './wait.mjs';

/** Starts one that keeps nothing, until `t` is over; `settings` are further options of its command line, by name. */
export async function startRedis(t, settings = {}) {
  return begin(t, new Redis(await freePort(), settings));
}

/** Starts a sentinel, which calls `redis` the master `name` and is quick to replace it. */
export async function startSentinel(t, redis, name) {
  return begin(t, new Sentinel(await freePort(), [`monitor ${name} ${HOST} ${redis.port} 1`, `down-after-milliseconds ${name} 500`, `failover-timeout ${name} 3000`]));
}

async function begin(t, redis) {
  redis.folder = await mkdtemp(join(tmpdir(), 'tidings-redis-'));
  cleanup(t, async () => {
    await redis.kill();
    await rm(redis.folder, { recursive: true, force: true });
  });
  await redis.start();
  return redis;
}

export class Redis {
  host = HOST;
  log = '';
  greeting = 'Ready to accept connections';

  constructor(port, settings) {
    this.port = port;
    this.address = `${HOST}:${port}`;
    this.url = `redis://${this.address}`;
    this.settings = { port, bind: HOST, dir: '.', save: '', appendonly: 'no', 'proto-max-bulk-len': '512mb', ...settings };
  }

  /** What it is called with. */
  async arguments() {
    return Object.entries(this.settings).flatMap(([name, value]) => [`--${name}`, ...[value].flat().map(String)]);
  }

  /** Starts it, again after `kill` too, and resolves when it takes commands. */
  async start() {
    this.process = spawn('redis-server', await this.arguments(), { cwd: this.folder, stdio: ['ignore', 'pipe', 'pipe'] });
    const [own, begun] = [this.process, this.log.length];
    const said = new Promise((resolve, refuse) => {
      for (const stream of [own.stdout, own.stderr]) {
        stream.on('data', (text) => {
          this.log += text;
          if (this.log.slice(begun).includes(this.greeting)) resolve();
        });
      }
      own.on('error', refuse);
      own.on('exit', (code) => refuse(new Error(`Redis ended with ${code}\n${this.log}`)));
    });
    this.exited = new Promise((resolve) => own.once('close', resolve));
    await within(said, () => `Redis to be ready\n${this.log}`);
  }

  /** Ends it as a crash does. */
  async kill() {
    this.process?.kill('SIGKILL');
    await within(this.exited, 'the end of Redis');
  }

  /** A client, which leaves when `t` is over. */
  async client(t) {
    const client = await RedisClient.connect(this);
    cleanup(t, () => client.end());
    return client;
  }
}

/** It keeps what it learns in a file of its own. */
class Sentinel extends Redis {
  greeting = '+monitor master';

  constructor(port, lines) {
    super(port, {});
    this.lines = lines;
  }

  async arguments() {
    const file = join(this.folder, 'sentinel.conf');
    await writeFile(file, [`port ${this.port}`, `bind ${HOST}`, ...this.lines.map((line) => `sentinel ${line}`), ''].join('\n'));
    return [file, '--sentinel'];
  }
}

/** One connection to Redis. Commands may be sent without waiting; replies come in order. */
export class RedisClient {
  #waiting = [];
  #received = Buffer.alloc(0);

  constructor(socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (bytes) => this.#take(bytes));
    socket.on('error', () => {}); // `close` comes too
    socket.on('close', () => {
      this.closed = true;
      for (const one of this.#waiting.splice(0)) one.refuse(new Error('Redis closed the connection'));
    });
  }

  static async connect({ port, host }) {
    const socket = connect({ port, host });
    await within(new Promise((resolve, refuse) => socket.once('connect', resolve).once('error', refuse)), 'a connection to Redis');
    return new RedisClient(socket);
  }

  /** Sends a command of strings and buffers, and resolves with its reply. */
  command(...parts) {
    if (this.closed) return Promise.reject(new Error('Redis closed the connection'));
    const pieces = [`*${parts.length}\r\n`];
    for (const part of parts) {
      const bytes = Buffer.isBuffer(part) ? part : Buffer.from(String(part));
      pieces.push(`$${bytes.length}\r\n`, bytes, '\r\n');
    }
    this.socket.write(Buffer.concat(pieces.map((piece) => Buffer.from(piece))));
    return new Promise((resolve, refuse) => this.#waiting.push({ resolve, refuse }));
  }

  /** Publishes, and resolves with how many Redis gave it to. */
  publish(channel, data) {
    return within(this.command('PUBLISH', channel, data), () => `the answer to a PUBLISH to ${channel}`);
  }

  #take(bytes) {
    this.#received = Buffer.concat([this.#received, bytes]);
    for (;;) {
      const reply = parse(this.#received, 0);
      if (!reply) return;
      this.#received = this.#received.subarray(reply.end);
      const { resolve, refuse } = this.#waiting.shift();
      if (reply.value instanceof Error) refuse(reply.value);
      else resolve(reply.value);
    }
  }

  end() {
    this.socket.destroy();
  }
}

/** The reply that begins at `at`, and where it ends; nothing if there is not all of it. */
function parse(bytes, at) {
  const line = bytes.indexOf('\r\n', at);
  if (line < 0) return undefined;
  const text = bytes.toString('utf8', at + 1, line);
  const [kind, size, begin] = [String.fromCharCode(bytes[at]), Number(text), line + 2];
  if (kind === '+') return { value: text, end: begin };
  if (kind === '-') return { value: new Error(text), end: begin };
  if (kind === ':') return { value: size, end: begin };
  if (kind === '$') {
    if (size < 0) return { value: null, end: begin };
    if (bytes.length < begin + size + 2) return undefined;
    return { value: bytes.toString('utf8', begin, begin + size), end: begin + size + 2 };
  }
  if (kind !== '*') throw new Error(`no reply of Redis: ${bytes.toString('utf8', at, at + 50)}`);
  const value = [];
  let end = begin;
  while (value.length < size) {
    const one = parse(bytes, end);
    if (!one) return undefined;
    value.push(one.value);
    end = one.end;
  }
  return { value, end };
}
