// The main job at size: many real subscribers, many events through the real library, each exactly once and in order.
import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { after, test } from 'node:test';
import { cleanup } from './support/cleanup.mjs';
import { RawSocket, TEXT } from './support/raw_socket.mjs';
import { connected, subscribe } from './support/pusher_js.mjs';
import { newApp, startServer } from './support/server.mjs';
import { within } from './support/wait.mjs';

const CHANNELS = 50;
const RAW = 900;
const CLIENTS = 100;
const EVENTS = 10_000;
const PER_CHANNEL = EVENTS / CHANNELS;
const BATCH = 10;

/** What one subscriber saw of its channel; complete when the closing event has come. */
class Reading {
  seen = [];
  #end;

  constructor(name, channel) {
    this.name = name;
    this.complete = new Promise((resolve) => (this.#end = resolve));
    this.channel = channel;
  }

  take(event, channel, data) {
    if (channel !== this.channel) throw new Error(`${this.name} got an event of ${channel}`);
    if (event === 'end') this.#end();
    else this.seen.push(data);
  }
}

const server = await startServer({ after }, { app: newApp() });

async function rawReader(t, n) {
  const reading = new Reading(`raw socket ${n}`, `job-${n % CHANNELS}`);
  const raw = await RawSocket.open(server);
  cleanup(t, () => raw.end());
  await raw.subscribe(reading.channel);
  raw.onFrame = ({ opcode, message }) => opcode === TEXT && reading.take(message.event, message.channel, message.data);
  return reading;
}

async function clientReader(t, n) {
  const reading = new Reading(`pusher-js ${n}`, `job-${n % CHANNELS}`);
  const client = await connected(t, server);
  const channel = await subscribe(client, reading.channel);
  channel.bind_global((event, data) => reading.take(event, reading.channel, data));
  return reading;
}

/** Publishes one channel's share: half of the channels by single events, half by batches, each in order. */
async function publish(api, channel, singly) {
  const texts = Array.from({ length: PER_CHANNEL }, (_, n) => `${channel} event ${n}`);
  if (singly) for (const data of texts) await api.trigger(channel, 'e', data);
  else for (let n = 0; n < texts.length; n += BATCH) await api.triggerBatch(texts.slice(n, n + BATCH).map((data) => ({ channel, name: 'e', data })));
  await api.trigger(channel, 'end', 'end');
  return texts;
}

test('P-1.4 P-3.8 P-5.4: 1,000 subscribers on 50 channels get 10,000 events exactly once and in order', async (t) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  cleanup(t, () => agent.destroy());
  const api = server.api({ agent });
  const readings = [];
  for (let n = 0; n < RAW; n += 50) readings.push(...(await Promise.all(Array.from({ length: 50 }, (_, m) => rawReader(t, n + m)))));
  for (let n = 0; n < CLIENTS; n += 20) readings.push(...(await Promise.all(Array.from({ length: 20 }, (_, m) => clientReader(t, n + m)))));
  assert.equal(readings.length, RAW + CLIENTS);

  const channels = Array.from({ length: CHANNELS }, (_, n) => `job-${n}`);
  const published = await Promise.all(channels.map((channel, n) => publish(api, channel, n % 2 === 0)));
  const expected = new Map(channels.map((channel, n) => [channel, published[n]]));
  assert.equal(published.flat().length, EVENTS);

  const missing = () => readings.filter((one) => one.seen.length < PER_CHANNEL).map((one) => `${one.name}: ${one.seen.length}`);
  await within(Promise.all(readings.map((one) => one.complete)), () => `the last event everywhere; short are ${missing().slice(0, 10)}`, 120_000);
  for (const reading of readings) assert.deepEqual(reading.seen, expected.get(reading.channel), reading.name);
});
