// A client that behaves as pushi.js does (I-7.1 to I-7.5), frame by frame and quirk by quirk. It is as strict as the original: where that
// would throw in a page, this one notes a fault, and the test fails.
import { EventEmitter } from 'node:events';
import { RawSocket } from './raw_socket.mjs';

const NEEDS_AUTH = /^(private|presence|personal)-/;

export class Pushi extends EventEmitter {
  state = 'disconnected';
  socketId = null;
  channels = {};
  faults = [];
  #auths = {};

  /** `options` is mandatory; `baseUrl` ends in a slash, `authorize(socketId, channel)` stands for the page's auth endpoint. */
  constructor(server, appKey, { authEndpoint, timeout = 50 } = {}) {
    super();
    Object.assign(this, { server, appKey, authEndpoint, timeout });
    this.open();
  }

  async open() {
    if (this.stopped) return;
    try {
      this.raw = await RawSocket.connect(this.server, `/${this.appKey}`, { onFrame: (one) => this.#message(one.message) });
    } catch {
      return this.#retry();
    }
    this.raw.ended.then(() => this.#closed());
  }

  #closed() {
    // It forgets its id and all channels, and comes back for ever.
    this.state = 'disconnected';
    this.socketId = null;
    this.channels = {};
    this.emit('disconnect');
    this.#retry();
  }

  #retry() {
    if (!this.stopped) this.timer = setTimeout(() => this.open(), this.timeout);
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    this.raw?.end();
  }

  #message(json) {
    if (this.state === 'disconnected') {
      if (json.event === 'pusher:connection_established') {
        this.socketId = JSON.parse(json.data).socket_id;
        this.state = 'connected';
        this.emit('connect');
      }
      return;
    }
    if (typeof json.channel !== 'string') {
      this.faults.push(`channel is missing in ${JSON.stringify(json)}`);
      return;
    }
    const isPeer = json.channel.startsWith('peer-');
    const channel = this.channels[json.channel];
    if (!channel && !isPeer) return;
    switch (json.event) {
      case 'pusher_internal:subscription_succeeded':
        this.#subscribed(channel, JSON.parse(json.data));
        break;
      case 'pusher_internal:unsubscription_succeeded':
        this.#unsubscribed(channel, JSON.parse(json.data));
        break;
      case 'pusher_internal:latest': {
        const record = JSON.parse(json.data);
        this.emit('latest', json.channel, record);
        channel?.emit('latest', record);
        break;
      }
      case 'pusher:member_added':
      case 'pusher:member_removed': {
        const name = json.event.slice('pusher:'.length);
        const member = JSON.parse(json.member);
        this.emit(name, json.channel, member);
        channel?.emit(name, member);
        break;
      }
      default:
        // Handlers get the data as the string that it is.
        this.emit('event', json.event, json.data, json.channel, json.mid, json.timestamp);
        channel?.emit(json.event, json.event, json.data, json.mid, json.timestamp);
    }
  }

  #subscribed(channel, record) {
    channel.subscribed = true;
    // Each alias gets a fresh object and hears of it with nothing.
    for (const alias of record.alias ?? []) {
      this.channels[alias] = new Channel(this, alias);
      this.emit('subscribe', alias, {});
    }
    channel.record = record;
    this.emit('subscribe', channel.name, record);
    channel.emit('subscribe', record);
  }

  #unsubscribed(channel, record) {
    for (const alias of record.alias ?? []) delete this.channels[alias];
    delete this.channels[channel.name];
    this.emit('unsubscribe', channel.name, record);
    channel.emit('unsubscribe', record);
  }

  subscribe(name) {
    if (this.channels[name]) return this.channels[name];
    const channel = new Channel(this, name);
    this.channels[name] = channel;
    if (NEEDS_AUTH.test(name)) this.#authorize(name);
    else this.sendEvent('pusher:subscribe', { channel: name });
    return channel;
  }

  async #authorize(name) {
    // Unescaped, and the answer counts whatever its status.
    const answer = await fetch(`${this.authEndpoint}?socket_id=${this.socketId}&channel=${name}`);
    const { auth, channel_data } = await answer.json();
    if (!auth) return;
    this.sendEvent('pusher:subscribe', { channel: name, auth, channel_data });
  }

  unsubscribe(name) {
    if (this.channels[name]) this.sendEvent('pusher:unsubscribe', { channel: name });
  }

  latest(name, skip, count) {
    if (!this.channels[name] && !name.startsWith('peer-')) return;
    this.sendEvent('pusher:latest', { channel: name, skip: skip || 0, count: count || 10 });
  }

  sendEvent(event, data, echo = false, persist = true) {
    this.raw.send({ event, data, echo, persist });
  }

  sendChannel(event, data, channel, echo = false, persist = true) {
    this.raw.send({ event, data, channel, echo, persist });
  }
}

class Channel extends EventEmitter {
  subscribed = false;

  constructor(pushi, name) {
    super();
    Object.assign(this, { pushi, name });
  }

  send(event, data, echo, persist) {
    this.pushi.sendChannel(event, data, this.name, echo, persist);
  }
}
