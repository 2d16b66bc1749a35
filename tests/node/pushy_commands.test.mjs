// Custom commands of Pushy: a small chat room as the endpoint that an operator would write.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { createServer } from 'node:net';
import { after, test } from 'node:test';
import { cleanup } from './support/cleanup.mjs';
import { listen } from './support/http_peer.mjs';
import { SECRET, TRANSPORTS, open, startPushy, trigger } from './support/pushy.mjs';
import { HOST } from './support/server.mjs';
import { Inbox } from './support/wait.mjs';

const ROOM = 'private-room';
const ALL = [...TRANSPORTS, 'websocket-raw'];
const FAILED = { event: 'pushy:error', data: { message: 'Command failed', code: '500' } };

/** The chat room. `asked` holds the requests; what `hold` returns a promise for is answered after that. */
class Chat {
  asked = new Inbox('requests of the chat room');
  names = new Map();

  /** What each command does: gives the answer. */
  does = {
    name: ({ data, connection }) => {
      this.names.set(connection.socketId, data.name);
      return { reply: [{ event: 'chat:welcome', data: { name: data.name, channels: connection.channels.map((one) => one.channel) } }] };
    },
    say: ({ data, connection }) => ({ broadcast: [{ channel: ROOM, event: 'chat:said', data: { by: this.names.get(connection.socketId), text: data.text }, except: data.quietly === true }] }),
    whisper: ({ data }) => ({ send: [...this.names].filter(([, name]) => name === data.to).map(([socketId]) => ({ socketId, event: 'chat:whispered', data })) }),
    leave: () => ({ reply: [{ event: 'chat:bye', data: null }], unsubscribe: [ROOM.toUpperCase(), 'nowhere', 'busy'] }),
    quit: ({ data }) => ({ unsubscribe: [ROOM], close: { code: 4000, reason: data.why } }),
    nothing: () => undefined,
    all: ({ data }) => data,
  };

  async serve(t) {
    this.url = await listen(t, async (request, body, response) => {
      const { method, headers, url } = request;
      const call = JSON.parse(body);
      this.asked.push({ method, headers, url, body, call });
      await call.data?.until?.();
      await this.held?.get(call.data?.hold)?.promise;
      const answer = this.does[call.command]?.(call);
      if (answer === undefined) return response.writeHead(204).end();
      return response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
    });
    return this;
  }

  /** Has calls with this `hold` in their data wait until the function that it gives is called. */
  hold(name) {
    this.held ??= new Map();
    let release;
    const promise = new Promise((resolve) => (release = resolve));
    this.held.set(name, { promise });
    return release;
  }
}

const chat = await new Chat().serve({ after });
const commands = Object.fromEntries(['Name', 'say', 'whisper', 'leave', 'quit', 'nothing', 'all'].map((name) => [name, { url: `${chat.url}/pushy/${name}`, timeout: 60_000 }]));
const server = await startPushy({ after }, { commands, sockjs: { disconnect_delay: 1 } });

for (const transport of ALL) {
  test(`Y-9.2 Y-9.4 a chat room over ${transport}`, async (t) => {
    const [ann, bob] = [await open(t, server, transport), await open(t, server)];
    for (const peer of [ann, bob]) await peer.subscribe(ROOM);
    const names = [`ann-${transport}`, `bob-${transport}`];
    for (const [at, peer] of [ann, bob].entries()) {
      const { name, channels } = await peer.ask('NAME', { name: names[at] }, 'chat:welcome');
      assert.deepEqual([name, channels], [names[at], [ROOM]]);
    }
    await ann.command('say', { text: 'hello' });
    for (const peer of [ann, bob]) assert.equal(await peer.text(), `{"event":"chat:said","channel":"${ROOM}","data":{"by":"${names[0]}","text":"hello"}}`);
    await ann.command('say', { text: 'without me', quietly: true });
    assert.equal((await bob.message()).data.text, 'without me');
    await ann.command('whisper', { to: names[1], text: 'psst' });
    assert.equal(await bob.text(), `{"event":"chat:whispered","data":{"to":"${names[1]}","text":"psst"}}`);
    await ann.command('whisper', { to: names[0], text: 'to myself' });
    assert.equal((await ann.message()).event, 'chat:whispered');
    await bob.subscribe('busy');
    // In the order of Y-9.4, and as if the caller had unsubscribed itself.
    await ann.command('leave', {});
    assert.deepEqual(await ann.message(), { event: 'chat:bye', data: {} }, 'which clients take no data for (Y-6.14)');
    assert.deepEqual(await ann.message(), { event: 'pushy:subscription-end', data: { channel: ROOM.toUpperCase() } });
    assert.deepEqual((await ann.message()).data, { message: 'Channel not found', code: '404' });
    assert.deepEqual((await ann.message()).data, { message: 'Not subscribed to this channel', code: '403' });
    await bob.command('say', { text: 'alone' });
    await bob.message('chat:said');
    await ann.silent();
    await ann.subscribe(ROOM);
    await ann.command('quit', { why: 'enough' });
    assert.deepEqual(await ann.message(), { event: 'pushy:subscription-end', data: { channel: ROOM } });
    assert.deepEqual(await ann.close(), { code: 4000, reason: 'enough' });
    await bob.silent();
  });

  test(`Y-9.3 S-3.9 the endpoint is told who calls over ${transport}, signed`, async (t) => {
    const headers = { 'User-Agent': 'test/1', Cookie: 'secret=1', Authorization: 'Basic x', 'X-Private': 'y', Referer: 'http://page.example/a', 'Accept-Language': 'pt' };
    const peer = await open(t, server, transport, { headers });
    const member = await peer.subscribe('Private-Told', '{"username":"x"}');
    const other = await peer.subscribe('news');
    const seen = new Set();
    for (const data of [undefined, null, [], {}, 'text', 5, true, { a: [1, 2.5e0], b: '</script>é' }]) {
      await peer.command('nothing', data);
      const { method, headers: sent, url, body, call } = await chat.asked.next(({ call: { connection } }) => connection.socketId === peer.socketId);
      assert.deepEqual([method, url, sent['content-type']], ['POST', '/pushy/nothing', 'application/json']);
      assert.deepEqual(Object.keys(call), ['command', 'data', 'timestamp', 'id', 'connection']);
      assert.equal(call.command, 'nothing');
      assert.deepEqual(call.data, data ?? null);
      assert.ok(Math.abs(call.timestamp - Date.now() / 1000) < 30);
      assert.ok(!seen.has(call.id) && seen.add(call.id));
      assert.equal(sent['x-pushy-timestamp'], String(call.timestamp));
      const signature = createHmac('sha256', SECRET).update(`${call.timestamp}.${body}`).digest('hex');
      assert.equal(sent['x-pushy-signature'], `sha256=${signature}`);
      const { headers: told, channels, ...connection } = call.connection;
      assert.deepEqual(connection, { socketId: peer.socketId, protocol: transport, remoteAddress: HOST });
      assert.equal(told['user-agent'], 'test/1');
      assert.equal(told.referer, 'http://page.example/a');
      for (const name of ['cookie', 'authorization']) assert.ok(!(name in told) && !body.includes('secret=1'), name);
      assert.deepEqual(channels.sort((a, b) => (a.channel < b.channel ? -1 : 1)), [{ channel: 'news', memberId: other.memberId }, { channel: 'private-told', memberId: member.memberId }]);
    }
    await peer.silent();
  });

  test(`Y-4.4 Y-9.5 what is sent behind a command waits for it over ${transport}`, async (t) => {
    const release = chat.hold(transport);
    const peer = await open(t, server, transport);
    const behind = `behind-${transport}`;
    await peer.subscribe(`Order-${transport}`);
    const calls = ({ call: { connection } }) => connection.socketId === peer.socketId;
    await peer.command('all', { hold: transport, reply: [{ event: 'first', data: {} }] });
    await chat.asked.next(calls);
    // In one message where the transport can, and in several.
    await peer.send({ command: 'subscribe', data: { channel: behind } }, 'bogus', { command: 'all', data: { reply: [{ event: 'second' }] } });
    await peer.command('unsubscribe', { channel: `order-${transport}` });
    await peer.command('subscribe', { channel: 'private-behind' });
    // Events of channels do not wait; and nothing that was sent behind has happened.
    assert.equal((await trigger(server, `order-${transport}`, 'meanwhile')).status, 201);
    assert.deepEqual(await peer.message(), { event: 'meanwhile', channel: `Order-${transport}`, data: {} });
    assert.equal((await trigger(server, behind, 'unheard')).status, 200);
    assert.ok(!chat.asked.all.some((one) => calls(one) && one.call.data.hold === undefined));
    release();
    const events = [];
    for (let at = 0; at < 6; at += 1) events.push((await peer.message()).event);
    assert.deepEqual(events, ['first', 'pushy:subscription-success', 'pushy:error', 'second', 'pushy:subscription-end', 'pushy:subscription-needauth']);
  });
}

test('Y-4.2 Y-9.2 names ignore case, built-in commands are never replaced, others are unknown', async (t) => {
  const peer = await open(t, server);
  assert.equal((await peer.ask('nAmE', { name: 'x' }, 'chat:welcome')).name, 'x');
  assert.equal((await peer.ask('names', {}, 'pushy:error')).code, '200');
  assert.equal((await peer.ask('*', {}, 'pushy:error')).code, '200');
  const all = await startPushy(t, { commands: { '*': { url: `${chat.url}/star` }, nothing: { url: `${chat.url}/own` } } });
  const other = await open(t, all);
  await other.subscribe('hello');
  for (const [command, path, name] of [['whatever', '/star', 'whatever'], ['CONSTRUCTOR', '/star', 'constructor'], ['Nothing', '/own', 'nothing'], ['ΟΔΟΣ', '/star', 'οδος']]) {
    await other.command(command, {});
    const { url, call } = await chat.asked.next(({ call: { connection } }) => connection.socketId === other.socketId);
    assert.deepEqual([url, call.command], [path, name]);
  }
  for (const name of ['subscribe', 'UnSubscribe']) {
    await assert.rejects(startPushy(t, { commands: { [name]: { url: `${chat.url}/never` } } }), /is built in and cannot be replaced/);
  }
});

test('Y-9.4 a broadcast is an event like any other, also to channels that the caller is not on', async (t) => {
  const [caller, one, other] = [await open(t, server), await open(t, server), await open(t, server, 'xhr-polling')];
  await one.subscribe('Hall');
  await other.subscribe('HALL');
  await caller.command('all', {
    broadcast: [
      { channel: 'hALL', event: 'x', data: { n: 1 } },
      { channel: 'nobody', event: 'x', data: {} },
      { channel: 'hall', event: 'y' },
    ],
    send: [
      { socketId: other.socketId, event: 'direct', data: [1] },
      { socketId: 'no such id', event: 'direct', data: [1] },
      { socketId: 'c0ffee00-0000-4000-8000-000000000001', event: 'direct', data: [1] },
    ],
    unknown: 'members are passed over',
  });
  assert.deepEqual([await one.text(), await one.text()], ['{"event":"x","channel":"Hall","data":{"n":1}}', '{"event":"y","channel":"Hall","data":{}}']);
  const got = [await other.text(), await other.text(), await other.text()].sort();
  assert.deepEqual(got, ['{"event":"direct","data":[1]}', '{"event":"x","channel":"HALL","data":{"n":1}}', '{"event":"y","channel":"HALL","data":{}}']);
  await caller.silent();
});

test('Y-9.4 Y-9.6 an answer of which a part is wrong is not obeyed at all', async (t) => {
  const [caller, watcher] = [await open(t, server), await open(t, server)];
  for (const peer of [caller, watcher]) await peer.subscribe('hall');
  const good = { reply: [{ event: 'r', data: 1 }], broadcast: [{ channel: 'hall', event: 'b', data: 1 }] };
  for (const wrong of [
    { reply: {} },
    { reply: [{ data: 1 }] },
    { reply: [{ event: 5, data: 1 }] },
    { reply: [{ event: 'e'.repeat(201), data: 1 }] },
    { broadcast: [{ channel: '', event: 'b' }] },
    { broadcast: [{ channel: 'c'.repeat(201), event: 'b' }] },
    { broadcast: [{ channel: '#x', event: 'b' }] },
    { broadcast: [{ channel: 'hall', event: 'pushy:presence-add', data: { member: {} } }] },
    { broadcast: [{ channel: 'hall', event: 'pusher:error' }] },
    { broadcast: [{ channel: 'hall', event: 'b', except: 'yes' }] },
    { send: [{ event: 'e' }] },
    { unsubscribe: 'hall' },
    { unsubscribe: [5] },
    { close: 'now' },
    { close: { code: 1001 } },
    { close: { code: 999 } },
    { close: { code: 5000 } },
    { close: { code: 70000 } },
    { close: { code: 4000, reason: 'r'.repeat(124) } },
  ]) {
    await caller.command('all', { ...good, ...wrong });
    assert.deepEqual(await caller.message(), FAILED, JSON.stringify(wrong));
  }
  for (const peer of [caller, watcher]) await peer.silent();
  // And with all of it right it is.
  await caller.command('all', { ...good, close: {} });
  assert.deepEqual(await caller.message('r'), { event: 'r', data: 1 });
  assert.equal((await watcher.message()).event, 'b');
  assert.deepEqual(await caller.close(), { code: 1000, reason: 'Normal closure' });
});

/** An endpoint that answers to the byte what it is told, whatever that is. */
async function rawEndpoint(t, answer) {
  const sockets = new Set();
  const listener = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', () => answer(socket));
  });
  await new Promise((resolve) => listener.listen(0, HOST, resolve));
  cleanup(t, () => {
    for (const socket of sockets) socket.destroy();
    listener.close();
  });
  return `http://${HOST}:${listener.address().port}/`;
}

const http = (status, body = '', headers = '') => `HTTP/1.1 ${status} X\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n${headers}\r\n${body}`;
const secret = 'what went wrong inside';

test('Y-9.5 Y-9.6 whatever an endpoint does wrong is error 500 to the caller, and tells nothing', async (t) => {
  const wrongs = {
    refused: 'http://127.0.0.1:1/',
    unresolved: 'http://nowhere.invalid/',
    error: await rawEndpoint(t, (socket) => socket.end(http(500, secret))),
    forbidden: await rawEndpoint(t, (socket) => socket.end(http(403, `{"reply":[{"event":"x","data":"${secret}"}]}`))),
    created: await rawEndpoint(t, (socket) => socket.end(http(201, '{}'))),
    redirected: await rawEndpoint(t, (socket) => socket.end(http(307, '', `Location: ${chat.url}/redirected\r\n`))),
    text: await rawEndpoint(t, (socket) => socket.end(http(200, secret))),
    empty: await rawEndpoint(t, (socket) => socket.end(http(200))),
    list: await rawEndpoint(t, (socket) => socket.end(http(200, '[]'))),
    nothing: await rawEndpoint(t, (socket) => socket.end(http(200, 'null'))),
    bytes: await rawEndpoint(t, (socket) => socket.end(Buffer.concat([Buffer.from('HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\n'), Buffer.from([0xff, 0xfe])]))),
    deep: await rawEndpoint(t, (socket) => socket.end(http(200, `{"more":${'['.repeat(10_000)}${']'.repeat(10_000)}}`))),
    large: await rawEndpoint(t, (socket) => socket.end(http(200, `{"more":"${'x'.repeat(64 * 1024)}"}`))),
    endless: await rawEndpoint(t, (socket) => {
      socket.write('HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n');
      const more = (error) => error ?? socket.write(`10000\r\n${' '.repeat(65_536)}\r\n`, more);
      more();
    }),
    cut: await rawEndpoint(t, (socket) => socket.end('HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\n{"reply":[')),
    hungup: await rawEndpoint(t, (socket) => socket.destroy()),
    garbage: await rawEndpoint(t, (socket) => socket.end('\0\0\0\0 no HTTP\r\n\r\n')),
    silent: await rawEndpoint(t, () => {}),
    slow: await rawEndpoint(t, (socket) => socket.write('HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\n{')),
  };
  const fine = await rawEndpoint(t, (socket) => socket.end(http(200, ' { "more" : 1 } ')));
  const targets = Object.entries(wrongs).map(([name, url]) => [name, { url, timeout: 300 }]);
  const hurt = await startPushy(t, { commands: { ...Object.fromEntries(targets), fine: { url: fine, timeout: 60_000 } }, limits: { commandCalls: 1 } });
  const peer = await open(t, hurt);
  for (const name of Object.keys(wrongs)) {
    await peer.command(name, {});
    assert.deepEqual(await peer.message(), FAILED, name);
  }
  await peer.command('fine', {});
  await peer.silent();
  assert.ok(!chat.asked.all.some(({ url }) => url === '/redirected'), 'redirects are not followed');
  assert.equal(hurt.log.match(/a command failed/g).length, Object.keys(wrongs).length, hurt.log);
  assert.ok(!hurt.log.includes(secret) && !hurt.log.includes(SECRET + ':'), 'nor is what it answered in the log');
});

test('Y-9.5 so many commands at once as the limit says; the others wait', async (t) => {
  const release = ['a', 'b', 'c'].map((name) => chat.hold(name));
  const few = await startPushy(t, { commands: { all: { url: chat.url, timeout: 60_000 } }, limits: { commandCalls: 2 } });
  const peers = [await open(t, few), await open(t, few, 'xhr-streaming'), await open(t, few)];
  const asked = (peer) => chat.asked.next(({ call: { connection } }) => connection.socketId === peer.socketId);
  for (const at of [0, 1]) {
    await peers[at].command('all', { hold: 'abc'[at], reply: [{ event: 'done' }] });
    await asked(peers[at]);
  }
  await peers[2].command('all', { hold: 'c', reply: [{ event: 'done' }] });
  // Others go on meanwhile.
  const other = await open(t, few);
  await other.silent();
  assert.ok(!chat.asked.all.some(({ call: { connection } }) => connection.socketId === peers[2].socketId));
  release[0]();
  await asked(peers[2]);
  await peers[0].message('done');
  for (const go of release) go();
  for (const peer of peers.slice(1)) await peer.message('done');
});

for (const transport of TRANSPORTS) {
  test(`Y-9.5 Y-11.2 what waits behind a command is bounded over ${transport}`, async (t) => {
    for (const [name, messages, step] of [
      ['many', Array(1001).fill('{}'), 250],
      ['much', Array(17).fill('x'.repeat(65_000)), 1],
    ]) {
      const release = chat.hold(`${name}-${transport}`);
      const [peer, other] = [await open(t, server, transport), await open(t, server, transport)];
      for (const one of [peer, other]) {
        await one.command('all', { hold: `${name}-${transport}`, reply: [{ event: 'done' }] });
        await chat.asked.next(({ call: { connection } }) => connection.socketId === one.socketId);
      }
      await other.send(...messages.slice(0, 15));
      // Once it is closed nothing is taken any more.
      for (let at = 0; at < messages.length; at += step) await peer.send(...messages.slice(at, at + step)).catch(() => {});
      if (transport !== 'websocket') assert.deepEqual(await peer.close(), { code: 3003, reason: 'Too many messages wait' });
      release();
      // As much as may wait has its answers; a WebSocket is not read meanwhile, so that all of it has.
      for (const [one, count] of [[other, 15], ...(transport === 'websocket' ? [[peer, messages.length]] : [])]) {
        await one.message('done');
        for (let at = 0; at < count; at += 1) assert.equal((await one.message()).event, 'pushy:error');
      }
      for (const one of [peer, other]) one.end();
    }
  });
}

test('Y-9.4 S-7.8 a close reaches a client that polls, with what was said before it', async (t) => {
  const peer = await open(t, server, 'xhr-polling');
  await peer.command('all', { reply: [{ event: 'last', data: 'words' }], close: { code: 3999, reason: '"quoted" é' } });
  assert.deepEqual(await peer.message(), { event: 'last', data: 'words' });
  assert.deepEqual(await peer.close(), { code: 3999, reason: '"quoted" é' });
});

test('Y-9.5 a caller that leaves while its command is under way harms nobody', async (t) => {
  for (const transport of ALL) {
    const release = chat.hold(`gone-${transport}`);
    const [peer, watcher] = [await open(t, server, transport), await open(t, server)];
    await watcher.subscribe('private-gone', '{"username":"watcher"}');
    await peer.subscribe('private-gone', '{"username":"gone"}');
    assert.equal((await watcher.message()).event, 'pushy:presence-add');
    await peer.command('all', { hold: `gone-${transport}`, unsubscribe: ['private-gone'] });
    await chat.asked.next(({ call: { connection } }) => connection.socketId === peer.socketId);
    peer.end();
    release();
    assert.equal((await watcher.message()).event, 'pushy:presence-quit');
    await watcher.silent();
    watcher.end();
  }
});
