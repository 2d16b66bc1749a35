// The vectors of Pushy's protocol over real SockJS: dialogues and requests that were taken from the original, signed for the present time.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { cleanup } from './support/cleanup.mjs';
import { OK, PREFIX, TRANSPORTS, ask, connect, open, post, refused, seconds, sha256, startPushy, trigger } from './support/pushy.mjs';
import { Receiver, fresh } from './support/sockjs.mjs';

const file = new URL('../../crates/dialect/tests/pushy-vectors.json', import.meta.url);
const vectors = JSON.parse(readFileSync(file, 'utf8'));

/** What placeholders stand for. Those of messages are learnt from what comes. */
class Values {
  known = { now: String(seconds()) };

  fill(text) {
    return text.replace(/\$\{([^}]+)\}/g, (_, name) => {
      const shifted = /^now([+-]\d+)$/.exec(name);
      if (shifted) return String(Number(this.known.now) + Number(shifted[1]));
      assert.ok(name in this.known, `${name} is not known`);
      return this.known[name];
    });
  }

  /** Whether `actual` is this message to the byte, but for what the placeholders stand for. */
  match(expected, actual) {
    const names = [];
    const parts = expected.split(/\$\{([^}]+)\}/).map((part, place) => {
      if (place % 2 === 0) return part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
      if (part in this.known) return this.known[part];
      names.push(part);
      return part === 'ms' ? '(\\d{13})' : /^m\d+$/.test(part) ? '([0-9a-f]{8})' : '([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})';
    });
    const found = new RegExp(`^${parts.join('')}$`).exec(actual);
    assert.ok(found, `expected ${expected}\ncame ${actual}`);
    names.forEach((name, place) => {
      const value = found[place + 1];
      if (name === 'ms') return assert.ok(Math.abs(Number(value) - Date.now()) < 60_000, value);
      this.known[name] ??= value;
      return assert.equal(value, this.known[name]);
    });
  }
}

async function play(t, server, transport, steps) {
  const values = new Values();
  const peers = {};
  for (const step of steps) {
    const peer = peers[step.conn];
    if (step.sign) values.known.auth = sha256(values.fill(step.sign));
    if (step.do === 'connect') peers[step.conn] = await connect(t, server, transport);
    else if (step.do === 'send') await peer.send(values.fill(step.text));
    else if (step.do === 'close') peer.end();
    else if (step.expect === 'message') values.match(step.text.replace('"protocol":"websocket"', `"protocol":"${transport}"`), await peer.text());
    else if (step.expect === 'silence') for (const name of step.conns) await peers[name].silent();
    else {
      assert.equal(step.do, 'http', JSON.stringify(step));
      const query = Object.entries(step.query).map(([name, value]) => [name, values.fill(value)]);
      const channel = decodeURIComponent(step.path.split('/')[3]);
      const answer = await post(server, channel, Object.fromEntries(query), { type: step.content_type, body: step.body, method: step.method, path: step.path });
      assert.equal(answer.status, step.expect_status, answer.text);
      // Where the original answered with a page, the answer is JSON like all others (Y-6.8).
      if (step.expect_body !== undefined) assert.equal(answer.text, values.fill(step.expect_body));
      else assert.equal(answer.body.error.code, String(step.expect_status));
    }
  }
}

for (const transport of TRANSPORTS) {
  for (const { name, about, steps } of [...vectors.golden_transcripts, ...vectors.tidings_only_transcripts]) {
    test(`Y-13.2 Y-1.1 Y-3.1 Y-3.2 Y-3.7 Y-8.5 Y-8.6 Y-8.7 over ${transport}: ${name}: ${about}`, async (t) => play(t, await startPushy(t, { sockjs: { disconnect_delay: 1 } }), transport, steps));
  }
}

const server = await startPushy({ after });

test('Y-3.3 every transport has its name', async (t) => {
  for (const transport of [...TRANSPORTS, 'websocket-raw']) {
    const peer = await connect(t, server, transport);
    assert.equal((await peer.message()).data.protocol, transport);
    // The dialogue is the same without frames.
    await peer.command('subscribe', { channel: 'hello' });
    assert.match(await peer.text(), /^\{"event":"pushy:subscription-success","data":\{"channel":"hello","memberId":"[0-9a-f]{8}"\}\}$/);
    peer.end();
  }
});

test('Y-3.3 S-3.10 so have the transports of old browsers, over which the dialogue is the same', async (t) => {
  for (const [receiver, transport, sending] of [
    ['eventsource', 'eventsource', '/xhr_send'],
    ['htmlfile', 'htmlfile', '/xhr_send'],
    ['jsonp', 'jsonp-polling', '/jsonp_send'],
  ]) {
    const url = fresh(PREFIX);
    let from = await Receiver.open(server, url, receiver);
    cleanup(t, () => from.end());
    const next = async () => {
      if (from.kind.polls) from = await Receiver.open(server, url, receiver);
      // The message is quoted for SockJS, and once more for a page.
      return (await from.wire.chunk()).replaceAll('\\', '');
    };
    await from.frame('o');
    assert.match(await next(), new RegExp(`"event":"pushy:connect","data":\\{"socketId":"[0-9a-f-]{36}","protocol":"${transport}"\\}`));
    const message = JSON.stringify([JSON.stringify({ command: 'subscribe', data: { channel: `Old-${transport}` } })]);
    assert.ok([200, 204].includes((await ask(server, 'POST', url + sending, { headers: { 'Content-Type': 'text/plain' }, body: message })).status));
    assert.match(await next(), new RegExp(`"event":"pushy:subscription-success","data":\\{"channel":"Old-${transport}"`));
    assert.equal((await trigger(server, `old-${transport}`, 'news', { text: '50% <b>' })).status, 201);
    assert.match(await next(), new RegExp(`"event":"news","channel":"Old-${transport}","data":\\{"text":"50(%|%25) (<|u003c)b>"`));
  }
});

// What is within a second of the bounds needs a clock that stands; crates/dialect has those.
const clockless = vectors.trigger.filter((one) => !/^timestamp [+-](599|600)$/.test(one.name));

test('Y-13.1 Y-6.4 Y-6.6 Y-6.7 Y-6.8 Y-6.9 Y-6.10 Y-6.11 every trigger of the vectors', async (t) => {
  assert.equal(clockless.length, vectors.trigger.length - 4);
  // The event alone says which of them arrived, and the data is compared as text.
  const peer = await open(t, server);
  for (const channel of new Set(clockless.map((one) => one.channel).filter((one) => one !== 'nobody'))) {
    await peer.command('subscribe', { channel });
    const { event, data } = await peer.message();
    if (event === 'pushy:subscription-failed') assert.equal(data.reason, 'Already subscribed to this channel');
  }
  for (const { name, channel, event, timestamp, content_type: type, body, signature_string: text, auth_key: key, tidings } of clockless) {
    const shift = (value) => value.replaceAll(String(vectors.now), String(seconds()));
    const signed = sha256(text) === key.toLowerCase();
    assert.ok(signed, `${name}: the key of a vector is a signature`);
    // The present time stands in the third place alone.
    const [named, rest] = [text.indexOf(`:${vectors.now}:`), `:${vectors.now}:`.length];
    const fresh = named < 0 ? text : text.slice(0, named) + shift(`:${vectors.now}:`) + text.slice(named + rest);
    const auth = key === key.toUpperCase() ? sha256(fresh).toUpperCase() : sha256(fresh);
    const answer = await post(server, channel, { event, timestamp: shift(timestamp), auth_key: auth }, { type, body });
    assert.equal(answer.status, tidings.status, `${name}: ${answer.text}`);
    if (tidings.error_code) assert.equal(answer.body.error.code, tidings.error_code, name);
    else if (tidings.status < 300) assert.equal(answer.text, OK[tidings.status], name);
    else assert.equal(answer.text, refused('400', 'Invalid JSON'), name);
    if (tidings.error_code === '403') assert.equal(answer.body.error.message, `Invalid credentials (${auth})`, name);
    if (tidings.delivered_data_text == null) continue;
    const spelled = vectors.trigger.find((one) => one.channel.toLowerCase() === channel.toLowerCase()).channel;
    assert.equal(await peer.text(), `{"event":${JSON.stringify(event)},"channel":${JSON.stringify(spelled)},"data":${tidings.delivered_data_text}}`, name);
  }
  await peer.silent();
});

test('Y-6.5 the window of the timestamp, well within and well without', async () => {
  for (const [off, status] of [[0, 200], [-560, 200], [560, 200], [-640, 403], [640, 403], [-1e6, 403], [1e9, 403]]) {
    const timestamp = seconds() + off;
    const answer = await post(server, 'window', { event: 'test', timestamp, auth_key: sha256(`window:test:${timestamp}:{}:secret`) });
    assert.equal(answer.status, status, String(off));
    if (status === 403) assert.equal(answer.text, refused('501', 'Timestamp out of bounds (600 seconds)'));
  }
});

test('Y-6.7 the documented key is wrong, the correct one is right', () => {
  const { signature_string: text, correct_auth_key: right, documented_auth_key: wrong } = vectors.documented_example;
  assert.equal(sha256(text), right);
  assert.notEqual(right, wrong);
});

for (const { name, connection_id: subject, channel, signature_string: text, data, tidings, tidings_presence_base: base } of vectors.subscribe) {
  test(`Y-7.1 Y-7.2 Y-7.3 Y-7.4 Y-7.5 Y-8.4 ${name}: ${tidings}`, async (t) => {
    const peer = await open(t, server);
    const asked = { channel, auth: sha256(text.replace(subject, peer.socketId)), ...(data === undefined ? {} : { data }) };
    await peer.command('subscribe', asked);
    const message = await peer.message();
    if (tidings !== 'accept') {
      return assert.deepEqual(message, { event: 'pushy:subscription-failed', data: { channel, reason: 'Invalid credentials' } });
    }
    assert.equal(message.event, 'pushy:subscription-success', JSON.stringify(message));
    const { memberId, presence } = message.data;
    if (data === undefined) assert.equal(presence, undefined, 'nobody brought data');
    else if (base !== undefined) {
      const [member] = presence;
      assert.equal(JSON.stringify(member), JSON.stringify({ ...base, subscribed: member.subscribed, memberId, idle: false }));
    }
    await peer.ask('unsubscribe', { channel }, 'pushy:subscription-end');
    return undefined;
  });
}
