// SockJS with other settings than by default, and an application above it that has channels: services of Pushy's dialect.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, describe, test } from 'node:test';
import { Draft } from './support/draft.mjs';
import { PING, RawSocket } from './support/raw_socket.mjs';
import { newApp, startServer } from './support/server.mjs';
import { ALL, RECEIVERS, Receiver, assertCors, assertNoCors, fresh, poll, send } from './support/sockjs.mjs';
import { ask } from './support/wire.mjs';

const apps = [newApp(), newApp({ limits: { connections: 1 } })];
const SERVICES = {
  plain: {},
  small: {},
  base: { base_url: 'https://b.example/"<x>', sockjs_url: '/s.js?a="&b' },
  bare: { disable_cors: true },
  choosy: { allowed_origins: ['https://good.example'] },
  few: { transports: ['xhr-polling', 'jsonp-polling'] },
  silent: { websocket: false },
  modern: { hixie76: false },
  crowded: { max_sessions: 1, disconnect_delay: '200 ms' },
  short: { response_limit: '1 KiB' },
  both: { heartbeat_delay: '1 s' },
  pings: { heartbeat_delay: '1 s', ws_heartbeat: 'ping' },
  frames: { heartbeat_delay: '1 s', ws_heartbeat: 'frame' },
};
const names = Object.keys(SERVICES);
const server = await startServer({ after }, {
  apps,
  listener: { dialects: names.map((name) => `pushy:${name}`) },
  settings: { pushy: names.map((name) => ({ name, app: apps[name === 'small' ? 1 : 0].id, sockjs: { prefix: `/${name}`, ...SERVICES[name] } })) },
});

const connect = (path, options) => RawSocket.connect(server, path, { json: false, ...options });

/** The messages in a frame. */
const messages = (frame) => JSON.parse(frame.slice(1)).map((one) => JSON.parse(one));

/** Publishes without data. */
function trigger(channel, event) {
  const timestamp = Math.round(Date.now() / 1000);
  const key = createHash('sha256').update(`${channel}:${event}:${timestamp}:{}:${apps[0].secret}`).digest('hex');
  return ask(server, 'POST', `/pushy/channel/${channel}/trigger?event=${event}&timestamp=${timestamp}&auth_key=${key}`, { body: '' });
}

describe('settings', () => {
  test('S-4.1: base_url is the last member of the info', async () => {
    const { body } = await ask(server, 'GET', '/base/info');
    assert.ok(body.endsWith(',"base_url":"https://b.example/\\"<x>"}'), body);
    assert.equal(JSON.parse(body).base_url, SERVICES.base.base_url);
  });

  test('S-4.5: sockjs_url cannot leave its attribute', async () => {
    const { body } = await ask(server, 'GET', '/base/iframe.html');
    assert.ok(body.includes('<script src="/s.js?a=&quot;&amp;b"></script>'), body);
  });

  test('S-4.5 S-4.6: disable_cors', async () => {
    const headers = { Origin: 'https://a.example' };
    assert.equal((await ask(server, 'GET', '/bare/iframe.html')).status, 404);
    for (const [name, { method, path }] of ALL) {
      const receiver = await Receiver.open(server, fresh('/bare'), name, { headers });
      assertNoCors(receiver.head);
      assert.equal(receiver.head.headers.vary, undefined, `${method} ${path}`);
      receiver.end();
    }
    assertNoCors(await ask(server, 'GET', '/bare/info', { headers }));
  });

  test('S-4.6: allowed_origins', async () => {
    for (const [origin, allowed] of [['https://good.example', true], ['https://bad.example', false], ['null', false]]) {
      const headers = { Origin: origin };
      for (const answer of [await ask(server, 'GET', '/choosy/info', { headers }), await ask(server, 'OPTIONS', `${fresh('/choosy')}/xhr`, { headers })]) {
        if (allowed) assertCors(answer, origin);
        else assert.equal(answer.headers['access-control-allow-origin'], undefined);
      }
      for (const path of ['/choosy/websocket', `${fresh('/choosy')}/websocket`]) {
        if (allowed) (await connect(path, { headers })).end();
        else await assert.rejects(connect(path, { headers }), /HTTP\/1.1 403 /);
      }
      const draft = await Draft.ask(server, `${fresh('/choosy')}/websocket`, headers);
      assert.equal(draft.head.status, allowed ? 101 : 403);
      draft.wire.end();
    }
    (await connect('/choosy/websocket')).end();
  });

  test('S-2.8: transports', async () => {
    for (const [name, { method, path, polls }] of ALL) {
      const answer = ask(server, method, fresh('/few') + path, method === 'POST' ? { body: '' } : {});
      assert.equal((await answer).status, polls ? 200 : 404, name);
    }
    for (const path of ['/few/websocket', '/few/0/0/websocket', '/silent/websocket', '/silent/0/0/websocket']) assert.equal((await ask(server, 'GET', path)).status, 404, path);
    assert.equal(JSON.parse((await ask(server, 'GET', '/few/info')).body).websocket, false);
    assert.equal(JSON.parse((await ask(server, 'GET', '/silent/info')).body).websocket, false);
  });

  test('S-6.10: hixie76', async () => {
    assert.equal((await Draft.ask(server, `${fresh('/modern')}/websocket`)).head.status, 400);
  });

  test('S-8.2: max_sessions', async () => {
    const url = fresh('/crowded');
    const receiver = await Receiver.open(server, url, 'xhr_streaming');
    await receiver.frame('o');
    for (const [name, { method, path, cors }] of ALL) {
      const answer = await ask(server, method, fresh('/crowded') + path, { headers: { Origin: 'http://a.example' }, ...(method === 'POST' ? { body: '' } : {}) });
      assert.equal(answer.status, 503, name);
      assert.equal(answer.headers['retry-after'], '5');
      if (cors) assertCors(answer, 'http://a.example');
    }
    receiver.end();
    // Its place is free when it is forgotten.
    for (;;) {
      const answer = await ask(server, 'POST', `${fresh('/crowded')}/xhr`, { body: '' });
      if (answer.status === 200) return assert.equal(answer.body, 'o\n');
      assert.equal(answer.status, 503);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });

  test('S-5.10: response_limit', async () => {
    const url = fresh('/short');
    const receiver = await Receiver.open(server, url, 'xhr_streaming');
    await receiver.frame('o');
    let total = 2 + (await receiver.wire.chunk()).length;
    while (total < 1024) {
      assert.equal((await send(server, url, [JSON.stringify({ command: 'subscribe', data: { channel: 'c' } })])).status, 204);
      total += (await receiver.wire.chunk()).length;
    }
    await receiver.over();
    receiver.end();
  });

  for (const [name, frames, pings] of [['both', true, true], ['pings', false, true], ['frames', true, false]]) {
    test(`S-6.8: ws_heartbeat: ${name}`, async () => {
      const socket = await connect(`/${name}/0/0/websocket`);
      assert.equal(await socket.text(), 'o');
      assert.deepEqual(messages(await socket.text())[0].event, 'pushy:connect');
      for (let at = 0; at < 2; at += 1) {
        if (frames) assert.equal(await socket.text(), 'h');
        if (pings) await socket.control(PING);
      }
      const seen = (kind) => socket.frames.all.some((one) => (kind === 'h' ? one.text === 'h' : one.opcode === PING));
      assert.deepEqual([seen('h'), seen(PING)], [frames, pings]);
      socket.end();
    });
  }
});

describe('channels', () => {
  test('S-6.4 S-6.9 S-6.10: an event reaches every transport, wrapped as it should be', async () => {
    const subscribe = JSON.stringify({ command: 'subscribe', data: { channel: 'news' } });
    const [framed, raw, draft] = [await connect('/plain/0/0/websocket'), await connect('/plain/websocket'), await Draft.open(server, `${fresh('/plain')}/websocket`)];
    for (const [one, kind] of [[framed, 'websocket'], [draft, 'websocket']]) {
      assert.equal(await one.text(), 'o');
      const [{ event, data }] = messages(await one.text());
      assert.deepEqual([event, data.protocol], ['pushy:connect', kind]);
      one.send(JSON.stringify([subscribe]));
      assert.equal(messages(await one.text())[0].event, 'pushy:subscription-success');
    }
    assert.equal(JSON.parse(await raw.text()).event, 'pushy:connect');
    raw.send(subscribe);
    assert.equal(JSON.parse(await raw.text()).event, 'pushy:subscription-success');
    const streams = [];
    for (const name of ['xhr_streaming', 'eventsource', 'htmlfile']) {
      const url = fresh('/plain');
      const receiver = await Receiver.open(server, url, name);
      await receiver.frame('o');
      await receiver.wire.chunk();
      assert.equal((await send(server, url, [subscribe])).status, 204);
      await receiver.wire.chunk();
      streams.push(receiver);
    }
    for (let at = 0; at < 3; at += 1) {
      assert.equal((await trigger('news', `e${at}`)).status, 201);
      const message = `{"event":"e${at}","channel":"news","data":{}}`;
      const frame = `a[${JSON.stringify(message)}]`;
      assert.equal(await framed.text(), frame);
      assert.equal(await draft.text(), frame);
      assert.equal(await raw.text(), message);
      for (const receiver of streams) await receiver.frame(frame);
    }
    for (const one of [framed, raw, draft.wire, ...streams]) one.end();
  });

  test('S-7.10 S-6.6: who is not let in is told in frames', async () => {
    const first = await connect('/small/0/0/websocket');
    assert.equal(await first.text(), 'o');
    const word = 'c[4004,"The application has too many connections"]';
    const framed = await connect('/small/0/0/websocket');
    assert.equal(await framed.text(), 'o');
    assert.equal(await framed.text(), word);
    assert.deepEqual(await framed.close(), { code: 1000, reason: 'Normal closure' });
    assert.equal((await (await connect('/small/websocket')).close()).code, 4004);
    const draft = await Draft.open(server, `${fresh('/small')}/websocket`);
    assert.equal(await draft.text(), 'o');
    assert.equal(await draft.text(), word);
    await draft.closed();
    for (const name of Object.keys(RECEIVERS)) {
      const url = fresh('/small');
      const receiver = await Receiver.open(server, url, name);
      await receiver.frame('o');
      if (receiver.kind.polls) assert.equal(await poll(server, url), `${word}\n`);
      else await receiver.frame(word);
      receiver.end();
    }
    first.end();
  });
});

describe('addresses', () => {
  test('S-8.2: sessions of one client address are limited, whichever proxy they come through', async (t) => {
    const app = newApp();
    const own = await startServer(t, {
      apps: [app],
      listener: { dialects: ['pushy'], trusted_proxies: ['127.0.0.1'] },
      settings: { pushy: [{ app: app.id, sockjs: { max_sessions_per_ip: 2, disconnect_delay: '200 ms' } }] },
    });
    const open = async (address) => {
      const answer = await ask(own, 'POST', `${fresh('/pushy/socket')}/xhr`, { body: '', headers: { 'X-Forwarded-For': address } });
      return answer.status;
    };
    assert.deepEqual([await open('192.0.2.1'), await open('192.0.2.1'), await open('192.0.2.1')], [200, 200, 503]);
    assert.equal(await open('192.0.2.2'), 200);
    // The places are free when the sessions are forgotten.
    for (;;) {
      const status = await open('192.0.2.1');
      if (status === 200) return;
      assert.equal(status, 503);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });
});
