// Streams beside Pusher, Pushi and Pushy on one app: what is published there is read here, in order, and read again by who was cut off.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { cleanup } from './support/cleanup.mjs';
import { login, open as openPushi, pushiApp, rest, subscribe as subscribePushi } from './support/pushi.mjs';
import { PREFIX, open as openPushy, trigger } from './support/pushy.mjs';
import { RawSocket } from './support/raw_socket.mjs';
import { startServer } from './support/server.mjs';
import { Stream, soon, streamPath } from './support/sse.mjs';

const app = pushiApp({ client_events: true });
const server = await startServer(
  { after },
  { app, listener: { dialects: ['pusher', 'sse', 'pushi', 'pushi-api', 'pushy'] }, settings: { store: { url: 'memory:' }, pushy: [{ app: app.id, sockjs: { prefix: PREFIX } }] } },
);
const sid = await login(server);
const api = server.api();

async function open(t, channels, last) {
  const events = await Stream.open(server, streamPath(app, channels, { expires: soon() }), last === undefined ? {} : { headers: { 'Last-Event-ID': last } });
  cleanup(t, () => events.end());
  events.begin = JSON.parse((await events.named('tidings:subscribed')).data);
  return events;
}

/** Expects these events next, as names and data. */
async function told(events, ...expected) {
  for (const [name, text] of expected) {
    const { type, data } = await events.event();
    assert.deepEqual([type, data], [name, text]);
  }
}

/** Publishes by Pushi's REST API, stored or not. */
async function pushi(channel, event, data, persist = true) {
  const { status, body } = await rest(server, 'POST', '/events', { query: { sid }, json: { event, channel, data, persist } });
  assert.equal(status, 200, JSON.stringify(body));
}

test('design 8: what each dialect publishes is read as its text', async (t) => {
  const events = await open(t, ['news']);
  await api.trigger('news', 'of-pusher', { a: [1, 2.5] });
  await told(events, ['of-pusher', '{"a":[1,2.5]}']);
  await pushi('news', 'of-pushi', 'two\nlines');
  await told(events, ['of-pushi', 'two\nlines']);
  await pushi('news', 'not-stored', { b: true }, false);
  await told(events, ['not-stored', '{"b":true}']);
  await trigger(server, 'news', 'of-pushy', { c: 'd' });
  await told(events, ['of-pushy', '{"c":"d"}']);
});

test('design 8: what clients publish on channels that need proof is read by who has a signed URL', async (t) => {
  const events = await open(t, ['private-talk', 'presence-room']);
  const [pusher, pushiClient, pushy] = [await RawSocket.open(server, server.path()), await openPushi(t, server), await openPushy(t, server)];
  cleanup(t, () => pusher.end());
  await pusher.subscribe('private-talk');
  await subscribePushi(pushiClient, 'private-talk');
  await pushy.subscribe('private-talk');
  pusher.send({ event: 'client-said', channel: 'private-talk', data: { who: 'pusher' } });
  await told(events, ['client-said', '{"who":"pusher"}']);
  pushiClient.send({ event: 'said', channel: 'private-talk', data: 'pushi', persist: false });
  await told(events, ['said', 'pushi']);
  // Who comes and goes is no event of a stream, whoever comes.
  await pusher.subscribe('presence-room', '{"user_id":"u"}');
  await api.trigger('presence-room', 'next', '1');
  await told(events, ['next', '1']);
});

test('design 3.2: stored and other events are missed and told again in one order', async (t) => {
  const events = await open(t, ['order']);
  await pushi('order', 'seen', '0');
  await told(events, ['seen', '0']);
  const { lastId } = events;
  events.end();
  const expected = [];
  for (let at = 1; at <= 60; at += 1) {
    if (at % 3 === 0) await pushi('order', 'stored', String(at));
    else if (at % 3 === 1) await api.trigger('order', 'pusher', String(at));
    else assert.ok([200, 201].includes((await trigger(server, 'order', 'pushy', [at])).status));
    expected.push([['stored', String(at)], ['pusher', String(at)], ['pushy', `[${at}]`]][at % 3]);
  }
  const back = await open(t, ['order'], lastId);
  assert.equal(back.begin.resumed, true);
  await told(back, ...expected);
  // While events wait for their commit, others join and leave: nobody has one twice, and nobody misses one.
  let last = back.lastId;
  for (let round = 0; round < 20; round += 1) {
    const sending = Promise.all([0, 1, 2, 3].map((more) => pushi('order', 'stored', `${round} ${more}`)));
    const joining = await open(t, ['order'], last);
    assert.equal(joining.begin.resumed, true);
    await sending;
    const got = [];
    while (got.length < 4) {
      const { data, id } = await joining.event();
      got.push(data);
      last = id;
    }
    assert.deepEqual(got.toSorted(), [0, 1, 2, 3].map((more) => `${round} ${more}`));
    joining.end();
  }
});

test('design 8: one Pushi event for several channels is read on each', async (t) => {
  const events = await open(t, ['several-a', 'several-b', 'several-c']);
  const { status } = await rest(server, 'POST', '/events', { query: { sid }, json: { event: 'all', channel: ['several-a', 'several-b'], data: 'x' } });
  assert.equal(status, 200);
  await told(events, ['all', 'x'], ['all', 'x']);
  await api.trigger('several-c', 'last', '');
  await told(events, ['last', '']);
});

test('design 8: personal and peer channels are channels like others to a signed URL', async (t) => {
  const events = await open(t, ['personal-u', 'peer-room:a&b']);
  await pushi('personal-u', 'mine', '1');
  await told(events, ['mine', '1']);
  await api.trigger('personal-u', 'mine-too', '2');
  await told(events, ['mine-too', '2']);
});
