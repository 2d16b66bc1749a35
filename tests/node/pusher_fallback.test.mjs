// Pusher's fallback to HTTP: pusher-js without WebSocket, in Node and in Chromium, and every frame by hand.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { balancer } from './support/balancer.mjs';
import { launch, open } from './support/chromium.mjs';
import { cleanup } from './support/cleanup.mjs';
import { Fallback } from './support/fallback.mjs';
import { MASTER_KEY, connect, connected, localAuth, subscribe } from './support/pusher_js.mjs';
import { HOST, freePort, newApp, startServer } from './support/server.mjs';
import { Inbox, once } from './support/wait.mjs';

// The library takes no certificate of ours, so nobody in this process checks any.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
process.removeAllListeners('warning');

const TRANSPORTS = ['xhr_streaming', 'xhr_polling'];

const folder = mkdtempSync(join(tmpdir(), 'tidings-fallback-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const [certificate, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost',
  '-addext', `subjectAltName=IP:${HOST}`, '-keyout', key, '-out', certificate], { stdio: 'ignore' });

const securePort = await freePort();
const server = await startServer({ after }, {
  apps: [newApp({ client_events: true }), newApp({ enabled: false }), newApp({ force_tls: true }), newApp({ origins: ['https://example.com'] })],
  listeners: [{ address: `${HOST}:${securePort}`, dialects: ['pusher'], tls: { certificate, key } }],
});
const [, disabled, secure, choosy] = server.apps;
const api = server.api();

// All that is waited for comes before the first test: a run may be over when there are none left.
const browser = await launch({ after });
const library = await readFile(new URL('node_modules/pusher-js/dist/web/pusher-with-encryption.min.js', import.meta.url));
const site = createServer((incoming, response) => {
  if (incoming.url === '/pusher.js') response.writeHead(200, { 'content-type': 'text/javascript' }).end(library);
  else if (incoming.url === '/favicon.ico') response.writeHead(204).end();
  else response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>site</title><script src="/pusher.js"></script>');
});
await new Promise((resolve) => site.listen(0, HOST, resolve));
after(() => {
  site.closeAllConnections();
  site.close();
});
const said = new Inbox('lines of the page');
const errors = [];
const page = await open({ after }, browser, `http://${HOST}:${site.address().port}/`, { errors });
await page.exposeFunction('say', (line) => said.push(line));
// Over TLS the browser speaks HTTP/2 with a certificate that nobody signed.
await (await page.context().newCDPSession(page)).send('Security.setIgnoreCertificateErrors', { ignore: true });

/** Options for pusher-js that leave it nothing but one transport. */
function only(transport, { port = server.port, tls = false } = {}) {
  return { httpHost: HOST, httpPort: port, httpsPort: securePort, forceTLS: tls, enabledTransports: [transport] };
}

/** A client in this process, with what the cases ask of one. */
async function inNode(t, options, auth) {
  const sign = localAuth(server, auth).channelAuthorization.customHandler;
  // An answer that came at once would come before anybody listens for it.
  const customHandler = (asked, done) => setImmediate(() => sign(asked, done));
  const client = await connected(t, server, { ...options, channelAuthorization: { customHandler } });
  const inboxes = new Map();
  return {
    transport: client.connection.connection.transport.name,
    socketId: client.connection.socket_id,
    async subscribe(name) {
      const channel = await subscribe(client, name);
      inboxes.set(name, channel.inbox);
    },
    next: async (name, event) => (await inboxes.get(name).next((one) => one.name === event, event)).data,
    names: (name) => inboxes.get(name).all.map((one) => one.name),
    trigger: async (name, event, data) => client.channel(name).trigger(event, data),
    unsubscribe: async (name) => client.unsubscribe(name),
    members: async (name) => client.channel(name).members.count,
  };
}

/** The same in a page of another origin. */
function inChromium(page, said) {
  let count = 0;
  return async (t, options, auth) => {
    const number = count++;
    const sign = localAuth(server, auth).channelAuthorization.customHandler;
    await page.exposeFunction(`sign${number}`, (asked) => new Promise((resolve) => sign(asked, (error, answer) => resolve({ error: error?.message, answer }))));
    const line = (match, what) => said.next((one) => one.number === number && match(one), what);
    await page.evaluate(
      ([number, key, options]) => {
        const customHandler = (asked, done) => window[`sign${number}`](asked).then(({ error, answer }) => done(error ? new Error(error) : null, answer));
        const client = new Pusher(key, { ...options, channelAuthorization: { customHandler } });
        (window.clients ??= [])[number] = client;
        client.connection.bind('connected', () => say({ number, connected: client.connection.socket_id, transport: client.connection.connection.transport.name }));
      },
      [number, server.app.key, server.client(options)],
    );
    cleanup(t, () => page.evaluate((number) => clients[number].disconnect(), number));
    const hello = await line((one) => one.connected, 'a connection of the page');
    return {
      transport: hello.transport,
      socketId: hello.connected,
      async subscribe(name) {
        await page.evaluate(([number, name]) => clients[number].subscribe(name).bind_global((event, data) => say({ number, name, event, data })), [number, name]);
        const told = await line((one) => one.name === name && one.event.startsWith('pusher:subscription_'), name);
        if (told.event !== 'pusher:subscription_succeeded') throw Object.assign(new Error(`subscription of ${name} refused`), { answer: told.data });
      },
      next: async (name, event) => (await line((one) => one.name === name && one.event === event, event)).data,
      names: (name) => said.all.filter((one) => one.number === number && one.name === name).map((one) => one.event),
      trigger: (name, event, data) => page.evaluate(([number, name, event, data]) => clients[number].channel(name).trigger(event, data), [number, name, event, data]),
      unsubscribe: (name) => page.evaluate(([number, name]) => clients[number].unsubscribe(name), [number, name]),
      members: (name) => page.evaluate(([number, name]) => clients[number].channel(name).members.count, [number, name]),
    };
  };
}

/** What holds over WebSocket, on channels whose names end in `id`. `enter` lets a client in, for the member that `auth` names. */
const CASES = {
  'P-5.5 P-11.1 P-20.2: a public channel delivers text and JSON as published': async (enter, id) => {
    const client = await enter();
    await client.subscribe(`public-${id}`);
    await api.trigger(`public-${id}`, 'App\\Events\\Posted', { title: 'tidings', tags: ['a', 'ö', '😀', '\u2028'] });
    await api.trigger(`public-${id}`, 'plain', 'just "text"\n');
    await api.trigger(`public-${id}`, 'empty', '');
    assert.deepEqual(await client.next(`public-${id}`, 'App\\Events\\Posted'), { title: 'tidings', tags: ['a', 'ö', '😀', '\u2028'] });
    assert.equal(await client.next(`public-${id}`, 'plain'), 'just "text"\n');
    assert.equal(await client.next(`public-${id}`, 'empty'), '');
  },
  'P-5.10: after an unsubscribe nothing more comes and the channel is gone': async (enter, id) => {
    const client = await enter();
    await client.subscribe(`left-${id}`);
    await client.subscribe(`kept-${id}`);
    await client.unsubscribe(`left-${id}`);
    // Requests of a session may overtake each other, so what proves the end is the server's word.
    await once(async (done) => {
      for (;;) {
        const { channels } = await (await api.get({ path: '/channels', params: { filter_by_prefix: 'left-' } })).json();
        if (!(`left-${id}` in channels)) return done();
      }
    }, 'the end of a subscription');
    await api.trigger([`left-${id}`, `kept-${id}`], 'fence', 1);
    await client.next(`kept-${id}`, 'fence');
    assert.ok(!client.names(`left-${id}`).includes('fence'));
  },
  'P-11.3: the connection named by socket_id is left out': async (enter, id) => {
    const [sender, reader] = [await enter(), await enter()];
    for (const one of [sender, reader]) await one.subscribe(`except-${id}`);
    await api.trigger(`except-${id}`, 'said', 'hello', { socket_id: sender.socketId });
    await api.trigger(`except-${id}`, 'fence', 'end');
    assert.equal(await reader.next(`except-${id}`, 'said'), 'hello');
    await sender.next(`except-${id}`, 'fence');
    assert.ok(!sender.names(`except-${id}`).includes('said'));
  },
  'P-5.2 P-5.8 P-6.6: a private channel takes who is authorised, and nobody else': async (enter, id) => {
    const client = await enter({ refuse: (name) => name.startsWith('private-secret') });
    await client.subscribe(`private-room-${id}`);
    await api.trigger(`private-room-${id}`, 'greeting', { hello: 'you' });
    assert.deepEqual(await client.next(`private-room-${id}`, 'greeting'), { hello: 'you' });
    await assert.rejects(client.subscribe(`private-secret-${id}`), /refused/);
    await client.subscribe(`public-still-here-${id}`);
  },
  'P-8.1 P-8.3: client events reach the others, never the sender': async (enter, id) => {
    const [sender, reader] = [await enter(), await enter()];
    for (const one of [sender, reader]) await one.subscribe(`private-talk-${id}`);
    await sender.trigger(`private-talk-${id}`, 'client-typing', { who: 'me' });
    assert.deepEqual(await reader.next(`private-talk-${id}`, 'client-typing'), { who: 'me' });
    await reader.trigger(`private-talk-${id}`, 'client-answer', { who: 'you' });
    assert.deepEqual(await sender.next(`private-talk-${id}`, 'client-answer'), { who: 'you' });
    assert.ok(!sender.names(`private-talk-${id}`).includes('client-typing'));
  },
  'P-7.3 P-7.4: presence members, their coming and going': async (enter, id) => {
    const ada = await enter({ member: { user_id: 'ada', user_info: { name: 'Ada' } } });
    await ada.subscribe(`presence-lab-${id}`);
    assert.equal(await ada.members(`presence-lab-${id}`), 1);
    const bob = await enter({ member: { user_id: 'bob' } });
    await bob.subscribe(`presence-lab-${id}`);
    assert.equal(await bob.members(`presence-lab-${id}`), 2);
    assert.equal((await ada.next(`presence-lab-${id}`, 'pusher:member_added')).id, 'bob');
    await bob.unsubscribe(`presence-lab-${id}`);
    assert.equal((await ada.next(`presence-lab-${id}`, 'pusher:member_removed')).id, 'bob');
    assert.equal(await ada.members(`presence-lab-${id}`), 1);
  },
  'P-9.1 P-9.2 P-9.3: an encrypted channel is opened by its subscriber': async (enter, id) => {
    const client = await enter();
    await client.subscribe(`private-encrypted-${id}`);
    await server.api({ encryptionMasterKeyBase64: MASTER_KEY }).trigger(`private-encrypted-${id}`, 'sealed', { pin: 1234 });
    assert.deepEqual(await client.next(`private-encrypted-${id}`, 'sealed'), { pin: 1234 });
  },
  'P-19.6: what is more than one response may hold comes once and in order': async (enter, id) => {
    const client = await enter();
    await client.subscribe(`bulk-${id}`);
    const filler = 'x'.repeat(9_000);
    for (let n = 0; n < 80; n++) await api.trigger(`bulk-${id}`, 'bulk', `${n} ${filler}`);
    for (let n = 0; n < 80; n++) assert.equal((await client.next(`bulk-${id}`, 'bulk')).split(' ')[0], String(n));
    assert.equal(client.names(`bulk-${id}`).filter((name) => name === 'bulk').length, 80);
  },
};

/** Tests all cases with clients that `enter` lets in. */
function cases(place, transport, tls, enter) {
  for (const [name, run] of Object.entries(CASES)) {
    test(name, async (t) => {
      const id = `${place}-${transport}-${tls ? 'tls' : 'plain'}`;
      await run(async (auth) => {
        const client = await enter(t, only(transport, { tls }), auth);
        assert.equal(client.transport, transport);
        return client;
      }, id);
    });
  }
}

for (const transport of TRANSPORTS) {
  for (const tls of [false, true]) describe(`pusher-js in Node by ${transport}${tls ? ' over TLS' : ''}`, () => cases('node', transport, tls, inNode));
}

const enterPage = inChromium(page, said);
for (const transport of TRANSPORTS) {
  for (const tls of [false, true]) describe(`pusher-js in Chromium, from another origin, by ${transport}${tls ? ' over TLS' : ''}`, () => cases('chromium', transport, tls, enterPage));
}

describe('what becomes of pusher-js', () => {
  for (const transport of TRANSPORTS) {
    test(`P-17.2 P-17.3: with a wrong key it gets 4001 and gives up, by ${transport}`, async (t) => {
      const client = connect(t, server, { ...only(transport), key: 'no-such-key' });
      await client.states.next((state) => state === 'disconnected', 'disconnected');
      assert.ok(client.errors.all.some((one) => one.code === 4001), JSON.stringify(client.errors.all));
    });

    test(`P-19.7 P-16.9: it asks for signs of life and stays connected, by ${transport}`, async (t) => {
      const short = await startServer(t, { app: newApp({ activity_timeout: '1 s' }) });
      const client = await connected(t, short, { ...only(transport, { port: short.port }), pongTimeout: 3_000 });
      const channel = await subscribe(client, 'public-alive');
      const signs = new Inbox('signs of life');
      client.connection.connection.bind('activity', () => signs.push(true));
      for (let n = 0; n < 4; n++) await signs.next();
      assert.deepEqual(client.states.all.filter((state) => state !== 'connecting' && state !== 'connected'), []);
      await short.api().trigger('public-alive', 'still', 1);
      await channel.inbox.next((one) => one.name === 'still');
    });

    test(`P-17.4 P-20.4: drained it comes back at once and subscribes again, by ${transport}`, async (t) => {
      const app = newApp();
      const [former, next] = [await startServer(t, { app }), await startServer(t, { app })];
      const front = await balancer(t, former);
      const client = await connected(t, front, only(transport, { port: front.port }));
      const channel = await subscribe(client, 'private-drain');
      channel.inbox.clear();
      front.target = next;
      assert.deepEqual(await former.stop(), { code: 0, signal: null });
      await channel.inbox.next((one) => one.name === 'pusher:subscription_succeeded');
      // The next poll may have gone to the other server before it could be told.
      const codes = transport === 'xhr_polling' ? [4200, 1006] : [4200];
      assert.ok(client.errors.all.some((one) => codes.includes(one.code)), JSON.stringify(client.errors.all));
      await next.api().trigger('private-drain', 'back', 1);
      await channel.inbox.next((one) => one.name === 'back');
    });
  }

  test('P-19.1 P-2.9: with both kinds it connects where no WebSocket gets through, below a prefix', async (t) => {
    const prefixed = await startServer(t, { listener: { path_prefix: '/realtime' } });
    const client = await connected(t, prefixed, {
      httpHost: HOST, httpPort: prefixed.port, httpPath: '/realtime/pusher', wsPort: await freePort(), enabledTransports: ['ws', 'xhr_streaming'],
    });
    assert.equal(client.connection.connection.transport.name, 'xhr_streaming');
    const channel = await subscribe(client, 'public-behind');
    await prefixed.api().trigger('public-behind', 'e', 1);
    await channel.inbox.next((one) => one.name === 'e');
  });
});

describe('frame by frame', () => {
  /** Opens a session and takes the first two frames (P-19.4, P-19.5). */
  async function opened(t, transport, options) {
    const session = new Fallback(t, server, options);
    const receiver = await session.receive(transport);
    assert.equal(receiver.status, 200);
    assert.equal(await receiver.frame(), 'o');
    if (transport === 'xhr_streaming') assert.equal(receiver.prelude, 2049);
    else assert.ok(await receiver.end());
    const second = transport === 'xhr' ? await session.receive('xhr') : receiver;
    const [established] = await second.messages();
    assert.equal(established.event, 'pusher:connection_established');
    session.socketId = JSON.parse(established.data).socket_id;
    return { session, receiver: second };
  }

  test('P-19.3: requests of other origins are allowed', async (t) => {
    const session = new Fallback(t, server);
    for (const route of ['xhr', 'xhr_streaming', 'xhr_send']) {
      const headers = { Origin: 'https://page.example', 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'content-type' };
      const answer = await session.ask(`${route}?t=1&n=1`, { method: 'OPTIONS', headers });
      assert.ok(answer.status === 200 || answer.status === 204, String(answer.status));
      assert.equal(answer.headers['access-control-allow-origin'], 'https://page.example');
      assert.match(answer.headers['access-control-allow-methods'], /POST/);
      assert.equal(answer.headers['access-control-allow-headers'].toLowerCase(), 'content-type');
    }
    const polled = await session.receive('xhr', { headers: { Origin: 'https://page.example' } });
    assert.equal(polled.headers['access-control-allow-origin'], 'https://page.example');
    assert.match(polled.headers['cache-control'], /no-store/);
    const sent = await session.ask('xhr_send', { body: '[]', headers: { Origin: 'null' } });
    assert.deepEqual([sent.status, sent.headers['access-control-allow-origin'], sent.text], [204, 'null', '']);
    const plain = await session.ask('xhr_send', { body: '[]' });
    assert.equal(plain.headers['access-control-allow-origin'], '*');
  });

  for (const transport of ['xhr', 'xhr_streaming']) {
    test(`P-19.4 P-19.5: o comes once, then connection_established, by ${transport}`, async (t) => {
      const { session } = await opened(t, transport);
      assert.match(session.socketId, /^[0-9]+\.[0-9]+$/);
    });

    test(`P-19.7: an empty array is answered by a[] and never by h, by ${transport}`, async (t) => {
      const { session, receiver } = await opened(t, transport);
      let waiting = transport === 'xhr' ? await session.receive('xhr') : receiver;
      for (let n = 0; n < 5; n++) {
        assert.equal(await session.send(), 204);
        assert.equal(await waiting.frame(), 'a[]');
        if (transport === 'xhr') waiting = await session.receive('xhr');
      }
      assert.ok(!receiver.frames.all.some((frame) => frame.startsWith('h')));
      // Where nobody waits, the next receiver is told.
      await waiting.leave();
    });
  }

  test('P-19.7: a sign of life that was asked for before a poll comes in it', async (t) => {
    const { session } = await opened(t, 'xhr');
    assert.equal(await session.send(), 204);
    assert.equal(await session.poll(), 'a[]');
  });

  test('P-19.4: a session goes on by whichever transport, without a second o', async (t) => {
    const { session, receiver } = await opened(t, 'xhr_streaming');
    assert.equal(await session.subscribe('public-both'), 204);
    assert.equal((await receiver.messages())[0].event, 'pusher_internal:subscription_succeeded');
    await receiver.leave();
    await api.trigger('public-both', 'one', '1');
    await api.trigger('public-both', 'two', '2');
    const polled = [];
    while (polled.length < 2) {
      const frame = await session.poll();
      // As long as the server has not seen the first receiver leave.
      if (frame.startsWith('c[2010,')) continue;
      polled.push(...JSON.parse(frame.slice(1)).map((text) => JSON.parse(text).event));
    }
    assert.deepEqual(polled, ['one', 'two']);
    const again = await session.receive('xhr_streaming');
    await api.trigger('public-both', 'three', '3');
    assert.equal((await again.messages())[0].event, 'three');
  });

  test('P-19.6: after 256 KiB the client breaks off and comes again, and nothing is lost or repeated', async (t) => {
    const { session, receiver } = await opened(t, 'xhr_streaming');
    assert.equal(await session.subscribe('public-long'), 204);
    await receiver.messages();
    // Long and short, and fewer characters than bytes.
    const filler = [0, 2_000, 300, 6_000].map((size) => 'xö'.repeat(size / 2));
    const total = 1_000;
    const publishing = (async () => {
      for (let n = 0; n < total; n += 10) {
        await api.triggerBatch(Array.from({ length: 10 }, (_, at) => ({ channel: 'public-long', name: 'n', data: `${n + at} ${filler[at % 4]}` })));
      }
    })();
    const numbers = [];
    let [responses, stream, frames] = [1, receiver, 3];
    while (numbers.length < total) {
      numbers.push(...(await stream.messages()).map((one) => Number(one.data.split(' ')[0])));
      frames += 1;
      if (!stream.full || frames < stream.frames.all.length) continue;
      stream = await session.receive('xhr_streaming');
      responses += 1;
      frames = 0;
    }
    await publishing;
    assert.deepEqual(numbers, Array.from({ length: total }, (_, n) => n));
    assert.ok(responses >= 6, String(responses));
  });

  test('P-19.8: one session has one receiver, and sends to an unknown session are 404', async (t) => {
    const { session, receiver } = await opened(t, 'xhr_streaming');
    const second = await session.receive('xhr');
    assert.match(await second.frame(), /^c\[2010,/);
    assert.ok(await second.end());
    assert.equal(await session.send(), 204);
    assert.equal(await receiver.frame(), 'a[]');
    assert.equal(await new Fallback(t, server).send(), 404);
  });

  const refusals = [
    ['P-2.3 4001: unknown key', { key: 'no-such-key' }, 4001],
    ['P-2.3 P-1.5 4003: disabled app', { key: disabled.key }, 4003],
    ['P-2.3 4000: without TLS on an app that wants it', { key: secure.key }, 4000],
    ['P-2.10 4009: no origin on an app that lists some', { key: choosy.key }, 4009],
    ['P-17.6 4008: no protocol', { query: 'client=js' }, 4008],
    ['P-2.4 4007: protocol 3', { query: 'protocol=3' }, 4007],
  ];
  for (const [name, options, code] of refusals) {
    for (const transport of ['xhr', 'xhr_streaming']) {
      test(`${name}, by ${transport}`, async (t) => {
        const session = new Fallback(t, server, options);
        const receiver = await session.receive(transport);
        assert.equal(receiver.status, 200);
        assert.equal(await receiver.frame(), 'o');
        const next = async () => (transport === 'xhr' ? session.poll() : receiver.frame());
        const frames = [await next()];
        if (frames[0].startsWith('a')) frames.push(await next());
        const close = JSON.parse(frames.at(-1).slice(1));
        assert.equal(close[0], code, frames.join(' '));
        assert.equal(typeof close[1], 'string');
        if (transport === 'xhr_streaming') assert.ok(await receiver.end());
        // It is told to whoever asks again.
        assert.equal(JSON.parse((await session.poll()).slice(1))[0], code);
      });
    }
  }

  test('P-17.5 4003: an app that is switched off tells those who wait', async (t) => {
    const one = await startServer(t, { apps: [newApp(), newApp()] });
    const sessions = ['xhr', 'xhr_streaming'].map((transport) => [new Fallback(t, one), transport]);
    const receivers = [];
    for (const [session, transport] of sessions) {
      if (transport === 'xhr') {
        assert.equal(await session.poll(), 'o');
        assert.match(await session.poll(), /connection_established/);
      }
      const receiver = await session.receive(transport);
      if (transport === 'xhr_streaming') assert.deepEqual([await receiver.frame(), (await receiver.messages()).length], ['o', 1]);
      receivers.push(receiver);
    }
    await one.configure([{ ...one.apps[0], enabled: false }, one.apps[1]]);
    one.signal('SIGHUP');
    for (const [place, receiver] of receivers.entries()) {
      let frame = await receiver.frame();
      if (frame.startsWith('a')) frame = place === 0 ? await sessions[0][0].poll() : await receiver.frame();
      assert.equal(JSON.parse(frame.slice(1))[0], 4003, frame);
      assert.ok(await receiver.end());
    }
  });

  test('P-17.4 S-8.5: a server that stops tells those who wait, and ends', async (t) => {
    const one = await startServer(t, { settings: { drain: { drain: '0 s' } } });
    const stream = await new Fallback(t, one).receive('xhr_streaming');
    assert.deepEqual([await stream.frame(), (await stream.messages()).length], ['o', 1]);
    const session = new Fallback(t, one);
    assert.equal(await session.poll(), 'o');
    assert.match(await session.poll(), /connection_established/);
    const poll = await session.receive('xhr');
    const stopped = one.stop();
    for (const receiver of [stream, poll]) {
      // A poll takes both: there is no server for another one.
      assert.equal((await receiver.messages())[0].data.code, 4200);
      assert.equal(JSON.parse((await receiver.frame()).slice(1))[0], 4200);
      assert.ok(await receiver.end());
    }
    assert.deepEqual(await stopped, { code: 0, signal: null });
  });
});
