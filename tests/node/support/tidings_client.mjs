// The package under test, pusher-client beside it, and all that either tells, in order.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cleanup } from './cleanup.mjs';
import { BINARY } from './server.mjs';
import { channelAuth } from './sign.mjs';
import { Inbox } from './wait.mjs';

const require = createRequire(import.meta.url);

export const PACKAGE = fileURLToPath(new URL('../../../bindings/node', import.meta.url));

// The build leaves it beside the binary.
process.env.TIDINGS_NODE_ADDON ??= join(dirname(BINARY), 'libtidings_client_node.so');

export const Ours = require(PACKAGE);
export const Theirs = require('pusher-client');

for (const library of [Ours, Theirs]) library.warn = () => {};

/** A client of `library` at `server`, not yet connected, which tells everything into `told`. */
export function client(t, library, server, options = {}) {
  const auto = library.autoConnect;
  library.autoConnect = false;
  const made = new library(options.key ?? server.app.key, { host: server.host, wsPort: server.port, ...options });
  library.autoConnect = auto;
  made.told = new Inbox('what a client tells');
  overhear(made.connection, 'connection', made.told);
  made.bindAll((event, data) => made.told.push(['all', event, copy(data)]));
  // All that it has had.
  made.socketIds = [];
  made.connection.on('connected', () => made.socketIds.push(made.connection.socket_id));
  cleanup(t, () => made.disconnect());
  return made;
}

/** Subscribes, and tells what happens on the channel too. */
export function subscribe(client, name) {
  const channel = client.subscribe(name);
  overhear(channel, name, client.told);
  return channel;
}

function overhear(emitter, name, told) {
  const { emit } = emitter;
  emitter.emit = function emitAndTell(event, ...values) {
    told.push([name, event, ...values.filter((value) => value !== undefined).map(copy)]);
    return emit.call(this, event, ...values);
  };
}

/** As it is now: members, for one, change. */
function copy(value) {
  if (value instanceof Error) return `${value.name}`;
  if (Buffer.isBuffer(value)) return value.toString();
  if (Array.isArray(value)) return value.map(copy);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, copy(one)]));
}

/** Waits for an emission with this name, of `emitter` if given. */
export function told(client, event, emitter) {
  return client.told.next(([from, name]) => name === event && (emitter === undefined || from === emitter), `${event} of ${emitter ?? 'anybody'}`);
}

/** What differs from run to run, replaced: socket ids, in the order of their coming, signatures, which are checked, and timestamps. */
export function comparable(items, socketIds, app) {
  const text = JSON.stringify(items, (name, value) => {
    if (value?.event === 'pusher:subscribe' && value.data.auth !== undefined) {
      const { channel, channel_data, auth } = value.data;
      const right = socketIds.some((id) => channelAuth(app, id, channel, channel_data) === auth);
      return { ...value, data: { ...value.data, auth: right ? 'right' : 'wrong' } };
    }
    return value;
  });
  const plain = socketIds.reduce((shown, id, place) => shown.replaceAll(id, `socket-${place + 1}`), text);
  return JSON.parse(plain.replace(/[0-9a-f]{64}/g, 'signature'));
}
