// The channels of a client: public, private and presence, and the list of them.
'use strict';

const { EventEmitter } = require('node:events');
const Members = require('./members');

const INTERNAL = 'pusher_internal:';

/** A public channel. The others are like it. */
class Channel extends EventEmitter {
  #all = [];

  constructor(name, pusher) {
    super();
    this.name = name;
    // Not to be shown with the channel: it is larger than all there is to see here.
    Object.defineProperty(this, 'pusher', { value: pusher });
    this.subscribed = false;
    this.subscription_count = undefined;
    // What a program listens to is its own matter.
    this.setMaxListeners(0);
  }

  bind(event, callback) {
    return this.on(event, callback);
  }

  /** Without `callback`, all listeners to the event; without both, all listeners. */
  unbind(event, callback) {
    if (callback !== undefined) return this.off(event, callback);
    return event === undefined ? this.removeAllListeners() : this.removeAllListeners(event);
  }

  /** Has `callback` called with name and data of everything that happens in the channel, before all others. */
  bindAll(callback) {
    if (typeof callback !== 'function') throw new TypeError('a listener must be a function');
    this.#all = [...this.#all, callback];
    return this;
  }

  bind_all(callback) {
    return this.bindAll(callback);
  }

  /** Without `callback`, all that were given to `bindAll`. */
  unbindAll(callback) {
    this.#all = callback === undefined ? [] : this.#all.filter((one) => one !== callback);
    return this;
  }

  unbind_all(callback) {
    return this.unbindAll(callback);
  }

  /** Sends a client event. Whether there is a connection to send it by. */
  trigger(event, data) {
    return this.pusher.sendEvent(event, data, this.name);
  }

  emit(event, ...values) {
    // What an application publishes may be called anything, and this name is thrown if nobody listens.
    const isHeard = event !== 'error' || this.listenerCount('error') > 0;
    if (event !== 'newListener' && event !== 'removeListener') {
      for (const callback of this.#all) callback.call(this, event, ...values);
    }
    return (isHeard && super.emit(event, ...values)) || this.#all.length > 0;
  }

  disconnect() {
    this.subscribed = false;
  }

  handleEvent(event, data) {
    if (!event.startsWith(INTERNAL)) {
      this.emit(event, data);
    } else if (event === 'pusher_internal:subscription_succeeded') {
      this.subscribed = true;
      this.emit('pusher:subscription_succeeded', data);
    } else if (event === 'pusher_internal:subscription_count') {
      this.subscription_count = data?.subscription_count;
      this.emit('pusher:subscription_count', data);
    }
  }
}

class PrivateChannel extends Channel {}

/** A channel whose events only those can read who were given its secret. */
class EncryptedChannel extends PrivateChannel {
  trigger() {
    throw new Error(`client events cannot be encrypted, so none are sent to ${this.name}`);
  }
}

class PresenceChannel extends PrivateChannel {
  constructor(name, pusher) {
    super(name, pusher);
    this.members = new Members();
  }

  disconnect() {
    this.members.reset();
    super.disconnect();
  }

  handleEvent(event, data) {
    switch (event) {
      case 'pusher_internal:subscription_succeeded':
        this.members.onSubscription(data);
        this.subscribed = true;
        this.emit('pusher:subscription_succeeded', this.members);
        break;
      case 'pusher_internal:member_added':
        this.emit('pusher:member_added', this.members.addMember(data));
        break;
      case 'pusher_internal:member_removed': {
        const member = this.members.removeMember(data);
        if (member) this.emit('pusher:member_removed', member);
        break;
      }
      default:
        super.handleEvent(event, data);
    }
  }
}

/** The channels of one client. */
class Channels {
  constructor() {
    this.channels = Object.create(null);
  }

  /** The channel, made if there is none. */
  add(name, pusher) {
    return (this.channels[name] ??= made(name, pusher));
  }

  find(name) {
    return this.channels[name];
  }

  each(callback) {
    for (const [name, channel] of Object.entries(this.channels)) callback(channel, name);
  }

  list() {
    return Object.values(this.channels);
  }

  remove(name) {
    delete this.channels[name];
  }

  disconnect() {
    this.each((channel) => channel.disconnect());
  }
}

function made(name, pusher) {
  if (name.startsWith('private-encrypted-')) return new EncryptedChannel(name, pusher);
  if (name.startsWith('private-')) return new PrivateChannel(name, pusher);
  if (name.startsWith('presence-')) return new PresenceChannel(name, pusher);
  return new Channel(name, pusher);
}

module.exports = { Channels, INTERNAL };
