// tidings-client as programs get it: how it is loaded, its types, when a process that uses it ends, and what it does with more than it can
// handle at once.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cleanup } from './support/cleanup.mjs';
import { scripted } from './support/scripted.mjs';
import { newApp, startServer } from './support/server.mjs';
import { PACKAGE } from './support/tidings_client.mjs';
import { within } from './support/wait.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const run = promisify(execFile);
const server = await startServer({ after }, { app: newApp() });

/** A folder of a program that has the package installed. */
async function program(t, files = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'tidings-program-'));
  cleanup(t, () => rm(folder, { recursive: true }));
  await mkdir(join(folder, 'node_modules'));
  await symlink(PACKAGE, join(folder, 'node_modules', 'tidings-client'));
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return folder;
}

/** Runs a program to its end, which must be a good one, and gives what it has written. */
async function output(t, text, { name = 'program.mjs', flags = [], values = {} } = {}) {
  const folder = await program(t, { [name]: text });
  const environment = { ...process.env, HOST: server.host, PORT: String(server.port), KEY: server.app.key, SECRET: server.app.secret, ...values };
  const { stdout } = await within(run(process.execPath, [...flags, join(folder, name)], { env: environment, maxBuffer: 1 << 26 }), `the end of ${text}`, 60_000);
  return stdout;
}

test('it is loaded by require and by import, under all its names', async (t) => {
  const required = "const one = require('tidings-client'); console.log(one === one.Pusher, one === one.default, typeof one.prototype.subscribe)";
  assert.equal(await output(t, required, { name: 'program.cjs' }), 'true true function\n');
  const imported = "import one, { Pusher } from 'tidings-client'; import { createRequire } from 'node:module'; console.log(one === Pusher, one === createRequire(import.meta.url)('tidings-client'))";
  assert.equal(await output(t, imported), 'true true\n');
});

test('a native part that is missing is told, and how to get it', async (t) => {
  const text = "import Pusher from 'tidings-client'; try { new Pusher('key') } catch (error) { console.log(error.message) }";
  const told = await output(t, text, { values: { TIDINGS_NODE_ADDON: '/nowhere.node' } });
  assert.equal(told, 'cannot load the native part of tidings-client from /nowhere.node: run `npm run build` in the package\'s folder\n');
});

test('its types allow what it can do, and nothing else', async (t) => {
  const folder = await program(t);
  await cp(here('types'), folder, { recursive: true });
  await symlink(here('node_modules/@types'), join(folder, 'node_modules', '@types'));
  await within(
    run(process.execPath, [here('node_modules/typescript/bin/tsc'), '--project', folder]).catch(({ stdout }) => assert.fail(stdout)),
    'the compiler',
    60_000,
  );
});

const CLIENT = `
import Pusher from 'tidings-client';
Pusher.warn = () => {};
const make = (options) => new Pusher(process.env.KEY, { host: process.env.HOST, wsPort: Number(process.env.PORT), secret: process.env.SECRET, ...options });
`;

test('a process ends as soon as all its clients are disconnected', async (t) => {
  const text = `${CLIENT}
    const clients = [make(), make()];
    for (const client of clients) client.subscribe('presence-x').bind('pusher:subscription_succeeded', () => client.disconnect());
    process.on('exit', () => console.log(clients.map(({ connection }) => connection.state).join()));`;
  assert.equal(await output(t, text), 'disconnected,disconnected\n');
});

test('a process ends when its client gives up, or was never connected', async (t) => {
  const ends = "process.on('exit', () => console.log(client.connection.state));";
  assert.equal(await output(t, `${CLIENT} process.env.KEY = 'nobody'; const client = make(); ${ends}`), 'disconnected\n');
  assert.equal(await output(t, `${CLIENT} Pusher.autoConnect = false; const client = make(); ${ends}`), 'initialized\n');
  assert.equal(await output(t, `${CLIENT} const client = make(); client.disconnect(); ${ends}`), 'disconnected\n');
});

test('a process with a client that is connected, or waits for its server, does not end', async (t) => {
  const folder = await program(t, { 'program.mjs': `${CLIENT} make().connection.on(process.env.WAIT, () => console.log('there'));` });
  for (const [wait, port] of [['connected', server.port], ['disconnected', 1]]) {
    const environment = { ...process.env, HOST: server.host, PORT: String(port), KEY: server.app.key, SECRET: '', WAIT: wait };
    const child = spawn(process.execPath, [join(folder, 'program.mjs')], { env: environment, stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = new Promise((resolve) => child.on('exit', (code, signal) => resolve(signal ?? code)));
    await within(new Promise((resolve) => child.stdout.once('data', resolve)), wait);
    child.kill('SIGTERM');
    assert.equal(await exited, 'SIGTERM');
  }
});

test('a process may exit in the middle of anything, and so may a thread of it', async (t) => {
  const exit = `${CLIENT} make().subscribe('x').bind('pusher:subscription_succeeded', () => { console.log('there'); process.exit(0); });`;
  assert.equal(await output(t, exit), 'there\n');
  const threads = `${CLIENT}
    import { Worker, isMainThread, parentPort } from 'node:worker_threads';
    import { fileURLToPath } from 'node:url';
    if (isMainThread) {
      for (let n = 0; n < 5; n++) {
        const worker = new Worker(fileURLToPath(import.meta.url));
        await new Promise((resolve) => worker.once('message', resolve));
        await worker.terminate();
      }
      const client = make();
      client.connection.on('connected', () => { console.log('still there'); client.disconnect(); });
    } else {
      for (let n = 0; n < 3; n++) make().connection.on('connected', () => parentPort.postMessage('connected'));
    }`;
  assert.equal(await output(t, threads), 'still there\n');
});

test('a client that nobody uses any more is collected, once it is disconnected', async (t) => {
  const text = `${CLIENT}
    const forgotten = [];
    for (let n = 0; n < 20; n++) {
      const client = make();
      forgotten.push(new WeakRef(client));
      await new Promise((resolve) => client.connection.on('connected', resolve));
      client.disconnect();
    }
    let left;
    do {
      await new Promise((resolve) => setTimeout(resolve, 10));
      gc();
      left = forgotten.filter((one) => one.deref() !== undefined).length;
    } while (left > 1);
    console.log('gone');`;
  assert.equal(await output(t, text, { flags: ['--expose-gc'] }), 'gone\n');
});

test('a listener that throws is told of, and the others get what is theirs', async (t) => {
  const peers = await scripted(t, { app: server.app });
  const running = output(
    t,
    `${CLIENT}
    const thrown = [], got = [];
    process.on('uncaughtException', (error) => thrown.push(error.message));
    const client = make();
    const channel = client.subscribe('news');
    channel.bind('said', (n) => { got.push(n); if (n % 10 === 3) throw new Error('at ' + n); });
    channel.bind('end', () => { console.log(got.join(), thrown.join()); client.disconnect(); });`,
    { values: { PORT: String(peers.port) } },
  );
  const peer = await peers.peers.next();
  await peer.said.next();
  for (let n = 0; n < 30; n++) peer.say('said', String(n), 'news');
  peer.say('end', '{}', 'news');
  assert.equal(await running, `${Array.from({ length: 30 }, (_, n) => n).join()} at 3,at 13,at 23\n`);
});

test('100,000 events arrive once and in order, and wait with the server while the program is slow', async (t) => {
  const count = 100_000;
  const peers = await scripted(t, { app: server.app });
  const running = output(
    t,
    `${CLIENT}
    const client = make();
    const sleeper = new Int32Array(new SharedArrayBuffer(4));
    let next = 0, most = 0;
    client.subscribe('news').bind('said', ({ n }) => {
      if (n !== next++) throw new Error('got ' + n + ', not ' + (next - 1));
      if (n % 5000 === 0) {
        // The program does nothing else for a while, and hears nothing.
        Atomics.wait(sleeper, 0, 0, 100);
        most = Math.max(most, process.memoryUsage().rss);
      }
      if (next === ${count}) { console.log(JSON.stringify({ most: most - before })); client.disconnect(); }
    });
    const before = process.memoryUsage().rss;`,
    { values: { PORT: String(peers.port) }, flags: ['--max-old-space-size=64'] },
  );
  const peer = await peers.peers.next();
  await peer.said.next();
  const filling = 'x'.repeat(1_000);
  let waited = 0;
  for (let n = 0; n < count; n++) {
    const sent = new Promise((resolve) => peer.socket.send(JSON.stringify({ event: 'said', channel: 'news', data: JSON.stringify({ n, filling }) }), resolve));
    if (peer.socket.bufferedAmount > 1 << 20) {
      waited += 1;
      await sent;
    }
  }
  const { most } = JSON.parse(await running);
  assert.ok(waited > 10, `100 MB went away without the server having to wait (${waited} times)`);
  assert.ok(most < 64 << 20, `the process grew by ${most >> 20} MiB while 100 MB came`);
});
