// A connection as pusher-client shows it: states, messages and errors as events. The native part does the work and says what happened.
'use strict';

const { EventEmitter } = require('node:events');
const { decode, encode, readData } = require('./message');
const { nativeClient } = require('./native');
const { forNative } = require('./options');

/** As long as a timer can be. It does nothing but keep the process from ending. */
const FOREVER = 0x7fffffff;

class Connection extends EventEmitter {
  #owner;
  #native;
  /** What the native part said and has not been handed on, last first. */
  #notices = [];
  /** Whether the native part is at work, or told to be. */
  #running = false;
  /** How many calls of `disconnect` the native part has not answered: what it says before belongs to a connection that is over. */
  #leaving = 0;
  #alive;

  /** `owner` is told what no event of a connection says, by `debug`, `identify`, `refuse`, `established` and `signinFailed`. */
  constructor(key, config, owner) {
    super();
    this.key = key;
    this.config = config;
    this.encrypted = Boolean(config.encrypted);
    this.activityTimeout = config.activityTimeout;
    this.state = 'initialized';
    this.socket_id = null;
    this.#owner = owner;
    this.setMaxListeners(0);
    const Native = nativeClient();
    // The native part keeps what it is given. If that held the connection, a client that nobody uses any more would stay for ever.
    const self = new WeakRef(this);
    this.#native = new Native(forNative(key, config), (batch) => self.deref()?.#take(batch));
  }

  bind(event, callback) {
    return this.on(event, callback);
  }

  unbind(event, callback) {
    return this.off(event, callback);
  }

  connect() {
    if (this.#running) return;
    this.#running = true;
    // The closure holds the connection, too: one that is up is not collected.
    this.#alive ??= setInterval(() => this.#mayEnd(), FOREVER);
    this.#owner.debug('Connecting', { host: this.config.host, encrypted: this.encrypted });
    this.#native.connect();
    this.#enter('connecting');
  }

  disconnect() {
    if (this.#running) {
      this.#running = false;
      this.#leaving++;
      this.#native.disconnect();
    }
    this.#enter('disconnected');
  }

  /** Sends an event. Says whether there is a connection to send it by. */
  sendEvent(name, data, channel) {
    if (this.state !== 'connected') return false;
    this.#owner.debug('Event sent', name, channel);
    return this.#native.send(encode(name, data, channel));
  }

  /** Has the native part keep up a subscription, or end it. */
  subscribe(channel) {
    this.#native.subscribe(channel);
  }

  unsubscribe(channel) {
    this.#native.unsubscribe(channel);
  }

  signin() {
    this.#native.signin();
  }

  /** Takes a batch. The next one comes when all of it has been handed on. */
  #take(batch) {
    this.#notices = JSON.parse(batch).reverse();
    this.#handOn();
  }

  #handOn() {
    let done = false;
    try {
      while (this.#notices.length > 0) this.#handle(...this.#notices.pop());
      done = true;
    } finally {
      // A listener has thrown, which goes its way; the rest is for the others.
      if (!done) setImmediate(() => this.#handOn());
    }
    this.#native.taken();
  }

  #handle(kind, ...values) {
    if (kind === 'stopped') {
      this.#leaving--;
      this.#mayEnd();
    } else if (this.#leaving === 0) {
      this.#act(kind, ...values);
    }
  }

  #act(kind, first, second, third) {
    switch (kind) {
      case 'message':
        return this.#message(readData(first));
      case 'text':
        return this.#text(first);
      case 'connecting':
        return this.#enter('connecting');
      case 'connected':
        this.socket_id = first;
        this.activityTimeout = second * 1000;
        this.#enter('connected');
        return this.#owner.established({ socket_id: first, activity_timeout: second });
      case 'unavailable':
        return this.#enter('unavailable');
      case 'identity':
        return this.#owner.identify(first, second);
      case 'refused':
        return this.#owner.refuse(first, second, third);
      case 'undecryptable':
        return this.emit('error', { type: 'DecryptionError', channel: first, event: second, error: third });
      case 'signin_failed':
        return this.#owner.signinFailed(first);
      case 'lost':
        if (second > 0) this.emit('connecting_in', Math.round(second));
        this.emit('error', { type: 'WebSocketError', error: first });
        return this.#enter('disconnected');
      case 'ended':
        this.#running = false;
        // Before anybody is told, who may throw, or connect again.
        this.#mayEnd();
        this.#enter('disconnected');
        return this.emit('error', { type: 'WebSocketError', error: first });
      default:
        throw new Error(`the native part says ${kind}: it is of another version`);
    }
  }

  #text(text) {
    let message;
    try {
      message = decode(text);
    } catch (error) {
      this.emit('error', { type: 'MessageParseError', error, data: text });
      return;
    }
    this.#message(message);
  }

  #message(message) {
    this.#owner.debug('Event recd', message);
    switch (message.event) {
      case 'pusher:error':
        this.emit('error', { type: 'PusherError', data: message.data });
        break;
      case 'pusher:ping':
        this.emit('ping');
        break;
      case 'pusher:pong':
        this.emit('pong');
        break;
    }
    this.emit('message', message);
  }

  #enter(state) {
    const previous = this.state;
    if (previous === state) return;
    this.state = state;
    this.#owner.debug('State changed', `${previous} -> ${state}`);
    this.emit('state_change', { previous, current: state });
    this.emit(state, undefined);
  }

  /** Lets the process end once there is nothing to wait for. */
  #mayEnd() {
    if (this.#running || this.#leaving > 0) return;
    clearInterval(this.#alive);
    this.#alive = undefined;
  }
}

module.exports = Connection;
