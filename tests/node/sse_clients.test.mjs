// The readers of the field: npm's `eventsource`, Chromium's own `EventSource` on a page of another origin, curl.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, test } from 'node:test';
import { balancer } from './support/balancer.mjs';
import { launch } from './support/chromium.mjs';
import { cleanup } from './support/cleanup.mjs';
import { cutter } from './support/cutter.mjs';
import { newApp, startServer } from './support/server.mjs';
import { request } from './support/sign.mjs';
import { site, visitor } from './support/site.mjs';
import { opened, read, soon, source, streamPath } from './support/sse.mjs';
import { Inbox, within } from './support/wait.mjs';

const server = await startServer({ after }, { listener: { dialects: ['pusher', 'sse'] }, settings: { sse: { retry: '50 ms', heartbeat: '1 s' } } });
const { app } = server;
const browser = await launch({ after });
const elsewhere = await site({ after });
const DATA = ['hello', 'two\nlines', '', ' leading\n  more', 'a\r\nb\rc', 'é 😀 \u2028', '{"a":[1]}', 'x'.repeat(10_000)];
const asRead = (data) => data.replace(/\r\n|\r/g, '\n');
const address = (channels, from = server) => from.url + streamPath(app, channels, { expires: soon() });

async function publish(channel, name, data) {
  const { status, text } = await request(server, 'POST', `/apps/${app.id}/events`, { body: { name, channel, data } });
  assert.equal(status, 200, text);
}

test('npm eventsource: events by name, with ids', async (t) => {
  const events = source(t, address(['npm', 'private-npm']), ['tidings:subscribed', 'message', 'news']);
  assert.equal((await events.inbox.next()).type, 'tidings:subscribed');
  for (const data of DATA) {
    for (const [channel, name] of [['npm', 'message'], ['private-npm', 'news']]) {
      await publish(channel, name, data);
      const { type, data: got, id } = await events.inbox.next();
      assert.deepEqual([type, got], [name, asRead(data)]);
      assert.match(id, /^[0-9a-f]+-[0-9a-f]+\.[0-9a-f]+$/);
    }
  }
  assert.deepEqual(events.errors.all, []);
});

test('npm eventsource: refusals are final, with their status', async (t) => {
  for (const [path, code] of [[streamPath(app, ['private-x']), 401], [streamPath(app, []), 400], [streamPath({ ...app, id: '0' }, ['a']), 404]]) {
    const events = source(t, server.url + path);
    const error = await events.errors.next();
    assert.deepEqual([error.code, error.state], [code, events.CLOSED]);
  }
});

test('Chromium: a page of another origin reads, and says good-bye by leaving', async (t) => {
  const page = await visitor(t, browser, elsewhere);
  await page.events('events', address(['page', 'private-page']), ['tidings:subscribed', 'message', 'news']);
  await page.opened('events');
  assert.equal((await page.next('events')).type, 'tidings:subscribed');
  for (const data of DATA) {
    for (const [channel, name] of [['page', 'message'], ['private-page', 'news']]) {
      await publish(channel, name, data);
      const { type, data: got, id } = await page.next('events');
      assert.deepEqual([type, got], [name, asRead(data)]);
      assert.match(id, /-/);
    }
  }
});

test('Chromium: a refusal is final', async (t) => {
  const errors = [];
  const page = await visitor(t, browser, elsewhere, { errors });
  await page.events('events', server.url + streamPath(app, ['private-page']));
  assert.deepEqual(await page.next('events'), { name: 'events', error: 2 });
  assert.ok(errors.splice(0).every((text) => text.includes('401')));
});

test('Chromium: cut off again and again, it has everything once and in order', async (t) => {
  const count = 1000;
  // A browser takes half a head for a whole one, and then misses the header that lets its page read.
  const proxy = await cutter(t, server, { cuts: 30, mean: 800, least: 500, seed: 7 });
  const errors = [];
  const page = await visitor(t, browser, elsewhere, { errors });
  await page.events('events', address(['rough'], proxy), ['tidings:subscribed', 'tidings:gap', 'event']);
  let got = 0;
  const take = async () => {
    const { type, data } = await page.told.next(({ type: named }) => named !== undefined, 'an event');
    if (type === 'tidings:subscribed') return;
    assert.deepEqual([type, data], ['event', String(got)]);
    got += 1;
  };
  await take();
  for (let at = 0; at < count; at += 10) {
    await server.api().triggerBatch(Array.from({ length: 10 }, (_, more) => ({ channel: 'rough', name: 'event', data: String(at + more) })));
    while (got < at + 10 - 90) await take();
  }
  while (got < count) await take();
  assert.equal(proxy.count, 30);
  // The browser notes each cut.
  assert.ok(errors.splice(0).every((text) => text.includes('net::ERR_')));
});

test('Chromium: a page that was given a place begins there', async (t) => {
  const events = source(t, address(['place']), ['tidings:subscribed']);
  const { id } = await events.inbox.next();
  events.close();
  for (const data of ['one', 'two']) await publish('place', 'event', data);
  const page = await visitor(t, browser, elsewhere);
  await page.events('events', server.url + streamPath(app, ['place'], { last_event_id: id }), ['tidings:subscribed', 'event']);
  await page.opened('events');
  assert.equal(JSON.parse((await page.next('events')).data).resumed, true);
  for (const data of ['one', 'two']) assert.equal((await page.next('events')).data, data);
});

test('curl -N', async (t) => {
  for (const flags of [[], ['--http1.0'], ['--compressed']]) {
    const process = spawn('curl', ['--silent', '--show-error', '-N', ...flags, address(['shell', 'private-shell'])], { stdio: ['ignore', 'pipe', 'inherit'] });
    cleanup(t, () => process.kill());
    const shown = new Inbox('what curl shows');
    let rest = '';
    process.stdout.setEncoding('utf8').on('data', (text) => {
      const blocks = (rest + text).split('\n\n');
      rest = blocks.pop();
      for (const block of blocks) shown.push(block);
    });
    assert.equal(read(await shown.next()).event, 'tidings:subscribed');
    assert.equal(await shown.next(), ':', 'a heartbeat');
    await publish('private-shell', 'news', 'two\nlines');
    const block = await shown.next((one) => one !== ':');
    assert.match(block, /^event: news\nid: [0-9a-f.-]+\ndata: two\ndata: lines$/);
    process.kill();
  }
});

test('behind a load balancer a reader moves to another server, and is told what that cannot know', async (t) => {
  const shared = newApp();
  const options = { app: shared, listener: { dialects: ['pusher', 'sse'] }, settings: { sse: { retry: '50 ms' }, drain: { drain: '1 s' } } };
  const [one, other] = [await startServer(t, options), await startServer(t, options)];
  const front = await balancer(t, one);
  const events = source(t, `http://${front.host}:${front.port}${streamPath(shared, ['news'])}`, ['tidings:subscribed', 'tidings:gap', 'event']);
  await opened(events);
  await events.inbox.next();
  front.target = other;
  assert.deepEqual(await within(one.stop(), 'the end'), { code: 0, signal: null });
  assert.equal(JSON.parse((await events.inbox.next()).data).resumed, false);
  assert.equal((await events.inbox.next()).type, 'tidings:gap');
  await other.api().trigger('news', 'event', 'there');
  assert.equal((await events.inbox.next()).data, 'there');
});
