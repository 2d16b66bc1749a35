// The binary under test: writes a configuration, starts it on a free port, waits until it is ready, stops it.
import { spawn } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Pusher from 'pusher';
import { cleanup } from './cleanup.mjs';
import { DEADLINE, within } from './wait.mjs';

const TARGET = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL('../../../target', import.meta.url));
export const BINARY = process.env.TIDINGS_BIN ?? join(TARGET, 'debug/tidings');
export const HOST = '127.0.0.1';

/** An app with fresh credentials; `settings` are further keys of its `[[apps]]` table. */
export function newApp(settings = {}) {
  return { id: String(randomInt(1_000, 1_000_000_000)), key: randomBytes(10).toString('hex'), secret: randomBytes(16).toString('hex'), ...settings };
}

/**
 * Starts a server and stops it when the test or suite `t` is over. `app` or `apps` give the apps, `listener` further keys of
 * the listener, `listeners` further listeners, `settings` further top-level tables, or lists of them.
 */
export async function startServer(t, options = {}) {
  const server = new Server(await freePort(), options);
  cleanup(t, () => server.stop());
  await server.start();
  return server;
}

export class Server {
  log = '';

  constructor(port, { app, apps, listener = {}, listeners = [], settings = {} }) {
    this.port = port;
    this.host = HOST;
    this.url = `http://${HOST}:${port}`;
    this.apps = apps ?? [app ?? newApp({ client_events: true })];
    this.app = this.apps[0];
    this.listeners = [{ address: `${HOST}:${port}`, dialects: ['pusher'], ...listener }, ...listeners];
    this.settings = settings;
  }

  async start() {
    this.folder = await mkdtemp(join(tmpdir(), 'tidings-'));
    await this.configure();
    this.process = spawn(BINARY, this.arguments(), { cwd: this.folder, env: { ...process.env, ...this.environment }, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.process.stdout, this.process.stderr]) stream.on('data', (text) => (this.log += text));
    this.exited = new Promise((resolve) => {
      this.process.on('exit', (code, signal) => resolve({ code, signal }));
      this.process.on('error', (error) => resolve({ error }));
    });
    await this.#ready();
  }

  /** What the binary is called with. */
  arguments() {
    return ['--config', this.configuration];
  }

  /** What answers 200 as soon as the server can be tested. */
  readiness() {
    return `${this.url}/ready`;
  }

  /** Writes the configuration, with `apps` in place of the present ones if they are given. */
  async configure(apps = this.apps) {
    this.apps = apps;
    this.configuration = join(this.folder, 'tidings.toml');
    const parts = Object.entries(this.settings).flatMap(([name, value]) => (Array.isArray(value) ? value.map((one) => table(`[[${name}]]`, one)) : [table(`[${name}]`, value)]));
    parts.push(...this.listeners.map((one) => table('[[listeners]]', one)), ...apps.map((one) => table('[[apps]]', one)));
    await writeFile(this.configuration, parts.join('\n'));
  }

  async #ready() {
    const deadline = Date.now() + DEADLINE;
    let ended;
    this.exited.then((how) => (ended = how));
    for (;;) {
      if (ended) throw new Error(`the server ended before it was ready: ${JSON.stringify(ended)}\n${this.log}`);
      const ready = await fetch(this.readiness()).then((answer) => answer.text().then(() => answer.status), () => 0);
      if (ready === 200) return;
      if (Date.now() > deadline) throw new Error(`the server was not ready (last status ${ready})\n${this.log}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** The path of a Pusher WebSocket of this server's first app. */
  path(query = 'protocol=7&client=test&version=1.0', key = this.app.key) {
    return `/app/${key}?${query}`;
  }

  /** The server library of the field, pointed at this server. */
  api(options = {}) {
    const { id, key, secret } = this.app;
    return new Pusher({ appId: id, key, secret, host: HOST, port: this.port, useTLS: false, ...options });
  }

  /** Options for pusher-js. */
  client(options = {}) {
    return { cluster: '', wsHost: HOST, wsPort: this.port, forceTLS: false, enabledTransports: ['ws'], disableStats: true, ...options };
  }

  signal(name) {
    this.process.kill(name);
  }

  /** Ends the server and resolves with how it ended; a server that ignores SIGTERM is killed and reported. May be called again. */
  stop() {
    this.stopped ??= this.#stop();
    return this.stopped;
  }

  async #stop() {
    if (!this.process) return undefined;
    this.process.kill('SIGTERM');
    try {
      return await within(this.exited, () => `the end of the server after SIGTERM; its log:\n${this.log}`, 30_000);
    } finally {
      this.process.kill('SIGKILL');
      await rm(this.folder, { recursive: true, force: true });
    }
  }
}

/** A port below the range that the kernel gives to outgoing connections, so nothing takes it before the server does. */
export async function freePort() {
  for (;;) {
    const port = randomInt(20_000, 32_000);
    const free = await new Promise((resolve) => {
      const probe = createServer();
      probe.on('error', () => resolve(false));
      probe.listen(port, HOST, () => probe.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

function table(header, entries) {
  return [header, ...Object.entries(entries).map(([name, value]) => `${name} = ${toml(value)}`), ''].join('\n');
}

function toml(value) {
  if (Array.isArray(value)) return `[${value.map(toml).join(', ')}]`;
  if (typeof value === 'object') return `{ ${Object.entries(value).map(([name, one]) => `${name} = ${toml(one)}`).join(', ')} }`;
  return JSON.stringify(value);
}
