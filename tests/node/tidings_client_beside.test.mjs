// tidings-client beside pusher-client 1.1.0: the same program on both, against one server. What they tell and what they send must be the
// same, but for what bindings/node/DIFFERENCES.md lists; each scenario says by `differs` what it expects of that (P-20.6 to P-20.12).
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { authEndpoint } from './support/http_peer.mjs';
import { RawSocket } from './support/raw_socket.mjs';
import { recorder } from './support/recorder.mjs';
import { scripted } from './support/scripted.mjs';
import { newApp, startServer } from './support/server.mjs';
import { Ours, Theirs, client, comparable, subscribe, told } from './support/tidings_client.mjs';

const server = await startServer({ after }, { app: newApp({ client_events: true }) });
const api = server.api();
const { app } = server;

/**
 * Runs `program` on either library and compares. It gets the test, the library and a recorder in front of the server, and gives the clients.
 * `differs(theirs)` makes of what pusher-client told and sent what tidings-client must have.
 */
function beside(name, program, { differs = (theirs) => theirs, to = () => server } = {}) {
  test(name, async (t) => {
    const seen = [];
    for (const library of [Theirs, Ours]) {
      await t.test(library === Ours ? 'tidings-client' : 'pusher-client', async (t) => {
        const target = await to(t);
        const proxy = await recorder(t, target);
        const one = await program(t, library, proxy);
        const requests = proxy.requests.map((path) => path.split('?')[0]);
        seen.push(comparable({ told: one.told.all, said: proxy.said.all, requests }, one.socketIds, target.app));
      });
    }
    const [theirs, ours] = seen;
    assert.ok(ours, 'the program must run on both');
    assert.deepEqual(lines(ours), lines(differs(theirs)));
  });
}

/** One line for each thing, so that a difference is shown whole. */
const lines = (seen) => ['told', 'said', 'requests'].flatMap((what) => seen[what].map((one) => `${what}: ${JSON.stringify(one)}`));

async function connected(t, library, proxy, options) {
  const one = client(t, library, proxy, options);
  one.connect();
  await told(one, 'connected', 'connection');
  return one;
}

/** A client has said goodbye. */
const left = (proxy) => proxy.said.next(({ close }) => close !== undefined, 'a close frame');

const confirmed = (one, channel) => told(one, 'pusher:subscription_succeeded', channel);

beside('P-20.7: connecting and disconnecting', async (t, library, proxy) => {
  const one = await connected(t, library, proxy);
  one.disconnect();
  await left(proxy);
  assert.equal(one.connection.state, 'disconnected');
  assert.equal(one.sendEvent('client-x', {}, 'private-x'), false);
  return one;
});

beside('P-20.10: events of a public channel, before and after unsubscribing', async (t, library, proxy) => {
  const one = await connected(t, library, proxy);
  subscribe(one, 'beside');
  await confirmed(one, 'beside');
  for (const data of [{ a: [1, null] }, 'text', '{"a"', '"quoted"', '12', '']) await api.trigger('beside', 'said', data);
  for (let n = 0; n < 6; n++) await told(one, 'said', 'beside');
  one.unsubscribe('beside');
  assert.equal(one.channel('beside'), undefined);
  subscribe(one, 'beside-last');
  await confirmed(one, 'beside-last');
  await api.trigger('beside', 'said', 'to nobody');
  await api.trigger('beside-last', 'end', 1);
  await told(one, 'end', 'beside-last');
  return one;
});

beside('subscriptions made before there is a connection', async (t, library, proxy) => {
  const one = client(t, library, proxy, { secret: app.secret });
  const names = ['early', 'private-early', 'presence-early'];
  for (const name of names) subscribe(one, name);
  assert.deepEqual(one.allChannels().map(({ name, subscribed }) => [name, subscribed]), names.map((name) => [name, false]));
  one.connect();
  for (const name of names) await confirmed(one, name);
  assert.deepEqual(one.allChannels().map(({ subscribed }) => subscribed), [true, true, true]);
  return one;
});

beside('P-20.8: channels signed with the secret, and their client events', async (t, library, proxy) => {
  const one = await connected(t, library, proxy, { secret: app.secret, channel_data: { user_id: 7, user_info: { name: 'Ada' } } });
  const channel = subscribe(one, 'private-beside');
  await confirmed(one, 'private-beside');
  subscribe(one, 'presence-beside');
  await confirmed(one, 'presence-beside');
  const raw = await RawSocket.open(server);
  await raw.subscribe('private-beside');
  for (const data of [{ from: 'us' }, 'text', undefined, 0]) {
    assert.equal(channel.trigger('client-said', data), true);
    await raw.message('client-said');
  }
  raw.send({ event: 'client-answer', channel: 'private-beside', data: { to: 'you' } });
  await told(one, 'client-answer', 'private-beside');
  // Neither library checks what it sends; the server does (P-8.2).
  channel.trigger('said', {});
  await told(one, 'error', 'connection');
  raw.end();
  return one;
});

beside('P-7.4: members of a presence channel', async (t, library, proxy) => {
  const one = await connected(t, library, proxy, { secret: app.secret, channel_data: { user_id: 'ada' } });
  const first = await RawSocket.open(server);
  await first.subscribe('presence-members', '{"user_id":"first","user_info":{"n":1}}');
  const channel = subscribe(one, 'presence-members');
  await confirmed(one, 'presence-members');
  const { members } = channel;
  assert.deepEqual([members.count, members.myID, members.me], [2, 'ada', { id: 'ada', info: null }]);
  const second = await RawSocket.open(server);
  await second.subscribe('presence-members', '{"user_id":"second"}');
  await told(one, 'pusher:member_added', 'presence-members');
  assert.deepEqual(members.get('second'), { id: 'second', info: undefined });
  first.end();
  await told(one, 'pusher:member_removed', 'presence-members');
  const there = [];
  members.each(({ id }) => there.push(id));
  assert.deepEqual([there.sort(), members.count, members.get('first')], [['ada', 'second'], 2, undefined]);
  one.disconnect();
  assert.deepEqual([members.count, members.myID, members.me, channel.subscribed], [0, null, null, false]);
  await left(proxy);
  second.end();
  return one;
});

beside('P-6.6 P-20.8: channels signed by an endpoint, and what is posted to it', async (t, library, proxy) => {
  const endpoint = await authEndpoint(t, api, { refuse: (channel) => channel === 'private-refused' });
  const auth = { params: { token: 'a b&c', list: [1, 2], nested: { a: null, b: true } }, headers: { 'X-From': 'here' }, username: 'ada', password: 'l:ove' };
  const one = await connected(t, library, proxy, { authEndpoint: endpoint.channels, auth });
  subscribe(one, 'private-remote');
  await confirmed(one, 'private-remote');
  subscribe(one, 'presence-remote');
  await confirmed(one, 'presence-remote');
  subscribe(one, 'private-refused');
  await told(one, 'pusher:subscription_error', 'private-refused');
  const posted = [];
  for (let n = 0; n < 3; n++) posted.push(await endpoint.forms.next());
  one.told.push(['endpoint', ...posted]);
  return one;
});

beside('P-5.8 P-5.9: a signature that is wrong, and a name that is none', async (t, library, proxy) => {
  const one = await connected(t, library, proxy, { secret: 'not the secret' });
  subscribe(one, 'private-wrong');
  await told(one, 'pusher:subscription_error', 'private-wrong');
  await told(one, 'error', 'connection');
  subscribe(one, 'not a name');
  await told(one, 'pusher:subscription_error', 'not a name');
  await told(one, 'error', 'connection');
  return one;
});

beside('P-20.12 P-17.3: a wrong key', async (t, library, proxy) => {
  const one = client(t, library, proxy, { key: 'nobody' });
  one.connect();
  await told(one, 'error', 'connection');
  assert.equal(one.connection.state, 'disconnected');
  return one;
});

beside(
  'P-20.12 P-17.4: a server that restarts',
  async (t, library, proxy) => {
    const one = await connected(t, library, proxy, { secret: app.secret });
    subscribe(one, 'restart');
    await confirmed(one, 'restart');
    subscribe(one, 'presence-restart');
    await confirmed(one, 'presence-restart');
    proxy.target = proxy.target.next;
    await proxy.target.former.stop();
    await confirmed(one, 'presence-restart');
    return one;
  },
  {
    to: async (t) => {
      const settings = { app: server.app };
      const [former, next] = [await startServer(t, settings), await startServer(t, settings)];
      next.former = former;
      former.next = next;
      return former;
    },
  },
);


beside(
  'disconnecting, and connecting again at once',
  async (t, library, proxy) => {
    const one = await connected(t, library, proxy);
    one.disconnect();
    one.connect();
    await told(one, 'connected', 'connection');
    // The goodbye of the first connection, which pusher-client takes for one of the second.
    if (library === Theirs) await told(one, 'error', 'connection');
    await left(proxy);
    return one;
  },
  {
    differs: (theirs) => {
      const isLate = ([, event]) => event === 'error';
      assert.deepEqual(theirs.told.filter(isLate), [['connection', 'error', { type: 'WebSocketError', error: 'close code 1005' }]]);
      return { ...theirs, told: theirs.told.filter((one) => !isLate(one)) };
    },
  },
);

/** What tidings-client tells of a loss in place of nothing, and of coming back. */
const comesBack = [
  ['connection', 'state_change', { previous: 'connected', current: 'disconnected' }],
  ['connection', 'disconnected'],
  ['connection', 'state_change', { previous: 'disconnected', current: 'connecting' }],
  ['connection', 'connecting'],
  ['connection', 'state_change', { previous: 'connecting', current: 'connected' }],
  ['connection', 'connected'],
];

const scriptedHere = (t) => scripted(t, { app });

const more = (list, ...items) => [...list, ...items];

/** The place of the first emission of this name. */
const placeOf = (told, name) => told.findIndex(([, event]) => event === name);

// The codes of P-17.3: those after which pusher-client comes back, those after which it gives up, and those it lies still after.
for (const [code, reason, stays] of [
  [1002, 'because'], [1003, 'because'], [4100, 'because'], [4150, 'because'], [4200, 'because'], [4201, ''], [4000, 'because'], [4001, ''], [4099, 'because'],
  [1000, '', 'still'], [1001, 'because', 'still'], [1011, 'because', 'still'], [4300, 'because', 'away'], [4999, '', 'away'],
]) {
  beside(
    `P-20.12 P-17.3: a server that closes with ${code}${reason && ' and says why'}`,
    async (t, library, proxy) => {
      const one = await connected(t, library, proxy);
      const peer = await proxy.target.peers.next();
      peer.socket.close(code, reason);
      await told(one, 'error', 'connection');
      if (stays === undefined ? code < 4000 || code >= 4100 : library === Ours) await told(one, 'connected', 'connection');
      // Both answer the close; whether that arrives is a matter of chance.
      proxy.said.clear();
      return one;
    },
    {
      to: scriptedHere,
      differs: (theirs) => {
        if (stays === undefined) return theirs;
        const place = placeOf(theirs.told, 'error');
        const before = stays === 'still' ? theirs.told.slice(0, place) : theirs.told.slice(0, placeOf(theirs.told, 'disconnected') - 1);
        return { ...theirs, requests: more(theirs.requests, ...theirs.requests), told: more(before, ['connection', 'connecting_in', 1], theirs.told[place], ...comesBack) };
      },
    },
  );
}

beside('P-20.10: messages of all kinds, and what is none', async (t, library, proxy) => {
  const one = await connected(t, library, proxy);
  const peer = await proxy.target.peers.next();
  subscribe(one, 'odd');
  for (const text of [
    'not JSON', '{"event":"cut', '', 'null', '"text"x',
    '{"event":"no-data"}', '{"event":"no-data","channel":"odd"}', '{"channel":"odd","event":"elsewhere","data":"1"}', '{"event":"unknown","channel":"nowhere","data":"1"}',
    '{"event":"object","channel":"odd","data":{"a":1}}', '{"event":"list","channel":"odd","data":[1]}', '{"event":"number","channel":"odd","data":1e3}',
    '{"event":"null","channel":"odd","data":null}', '{"event":"more","channel":"odd","data":"{}","user_id":"u","id":9,"other":{"deep":[{}]}}',
    ' {"event" : "spaces" , "channel" : "odd" , "data" : " [ 1 ] " } ', '{"event":"twice","event":"last","channel":"odd","data":"1"}',
    '{"event":"half a pair","channel":"odd","data":"\\ud800"}', '{"event":"Grüße 🎈","channel":"odd","data":"\\"Grüße 🎈\\u2028\\""}',
    '{"event":"App\\\\Events\\\\Shipped","channel":"odd","data":"{\\"id\\":1}"}',
    '{"event":"pusher:ping","data":"{}"}', '{"event":"pusher:pong","data":{}}', '{"event":"pusher:error","data":{"code":null,"message":"no"}}',
    '{"event":"pusher:error","data":"{\\"code\\":4301,\\"message\\":\\"no\\"}"}', '{"event":"pusher:unheard-of","data":"{}"}',
    '{"event":"pusher:connection_established","data":"{\\"socket_id\\":\\"9.9\\"}"}', '{"event":"pusher_internal:unheard-of","channel":"odd","data":"{}"}',
    '{"event":"pusher:subscription_error","channel":"odd","data":{"type":"T","error":"e","status":4}}',
    '{"event":"pusher_internal:subscription_succeeded","channel":"odd"}', '{"event":"pusher:cache_miss","channel":"odd","data":"{}"}',
    '{"event":"end","channel":"odd","data":"1"}',
  ]) {
    peer.text(text);
  }
  await told(one, 'end', 'odd');
  // That pings are answered with a message is another matter.
  proxy.said.clear();
  return one;
}, { to: scriptedHere });

beside(
  'P-20.11 P-16.1: a server that is silent is pinged, and answers',
  async (t, library, proxy) => {
    const one = await connected(t, library, proxy);
    const peer = await proxy.target.peers.next();
    for (let n = 0; n < 2; n++) {
      await peer.said.next();
      peer.say('pusher:pong', '{}');
      await told(one, 'pong', 'connection');
    }
    return one;
  },
  {
    to: (t) => scripted(t, { app, activityTimeout: 1 }),
    differs: ({ said, ...rest }) => {
      assert.deepEqual(said, [{ ping: '' }, { ping: '' }]);
      return { ...rest, said: said.map(() => ({ message: { event: 'pusher:ping', data: {} } })) };
    },
  },
);

beside(
  'P-20.11 P-16.9: a server that does not answer a ping is left, and tried again',
  async (t, library, proxy) => {
    const one = await connected(t, library, proxy, { activityTimeout: 100, pongTimeout: 100 });
    await told(one, 'disconnected', 'connection');
    await told(one, 'connected', 'connection');
    // pusher-client waits for the goodbye of the server that is silent; how it tells of that is not seen here.
    proxy.said.clear();
    return one;
  },
  {
    to: scriptedHere,
    differs: (theirs) => {
      const place = placeOf(theirs.told, 'disconnected') - 1;
      const error = { type: 'WebSocketError', error: 'the server was silent for 200ms and did not answer a ping' };
      return { ...theirs, told: more(theirs.told.slice(0, place), ['connection', 'connecting_in', 1], ['connection', 'error', error], ...theirs.told.slice(place)) };
    },
  },
);

test('P-20.12: where nobody listens pusher-client gives up, and tidings-client comes when somebody does', async (t) => {
  const former = await scripted(t, { app });
  await former.stop();
  const [theirs, ours] = [Theirs, Ours].map((library) => client(t, library, former));
  theirs.connect();
  await told(theirs, 'error', 'connection');
  const first = theirs.told.all.slice(0, -1);
  assert.deepEqual(first.slice(2), [['connection', 'state_change', { previous: 'connecting', current: 'disconnected' }], ['connection', 'disconnected']]);
  assert.deepEqual(theirs.told.all.at(-1), ['connection', 'error', { type: 'WebSocketError', error: 'Unknown socket error: ECONNREFUSED connect' }]);
  ours.connect();
  await told(ours, 'connecting_in', 'connection');
  await told(ours, 'disconnected', 'connection');
  await scripted(t, { app, port: former.port });
  await told(ours, 'connected', 'connection');
  const error = { type: 'WebSocketError', error: `cannot reach http://127.0.0.1:${former.port}: Connection refused (os error 111); is the server running there?` };
  assert.deepEqual(ours.told.all.slice(0, 6), [...first.slice(0, 2), ['connection', 'connecting_in', 1], ['connection', 'error', error], ...first.slice(2)]);
  assert.equal(theirs.connection.state, 'disconnected');
});
