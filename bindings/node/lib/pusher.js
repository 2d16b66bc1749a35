// The client: a connection, its channels, and listeners to the events of all of them. Its interface is that of npm's pusher-client 1.1.0.
'use strict';

const { Channels, INTERNAL } = require('./channels');
const Connection = require('./connection');
const GlobalEmitter = require('./global_emitter');
const { complete } = require('./options');
const User = require('./user');

class Pusher {
  /** Whether new clients connect at once. */
  static autoConnect = true;

  /** To be set to a function that takes what is logged. */
  static log = undefined;

  static debug(...values) {
    if (Pusher.log) Pusher.log(...values);
  }

  static warn(...values) {
    console.log(...values);
  }

  constructor(appKey, options) {
    if (!appKey) Pusher.warn('You must pass your app key when you instantiate Pusher.');
    this.key = appKey;
    this.config = complete(options);
    if (this.config.encryptionMasterKey && !this.config.secret) {
      throw new TypeError('encryptionMasterKey needs a secret: with an authEndpoint it is the endpoint that gives the shared secret of a channel');
    }
    this.channels = new Channels();
    this.globalEmitter = new GlobalEmitter();
    this.user = new User();
    this.connection = new Connection(this.key, this.config, {
      debug: (...values) => Pusher.debug(...values),
      established: (data) => this.#announce('connection_established', data),
      identify: (channel, id) => this.#identify(channel, id),
      refuse: (channel, data, why) => this.#refuse(channel, data, why),
      signinFailed: (why) => this.#signinFailed(why),
    });
    this.connection.on('message', (message) => this.#receive(message));
    this.connection.on('disconnected', () => this.#reset());
    this.connection.on('error', (error) => Pusher.warn('Error', error));
    if (Pusher.autoConnect) this.connect();
  }

  connect() {
    this.connection.connect();
  }

  disconnect() {
    this.connection.disconnect();
  }

  /** The channel with this name that is or is being subscribed to. */
  channel(name) {
    return this.channels.find(name);
  }

  allChannels() {
    return this.channels.list();
  }

  subscribe(name) {
    const isNew = this.channels.find(name) === undefined;
    const channel = this.channels.add(name, this);
    if (isNew && /^(private|presence)-/.test(name) && !this.config.secret && !this.config.authEndpoint) {
      this.channels.remove(name);
      throw new Error(`Cannot authorize channel ${name}. Value for either "secret" or "authEndpoint" missing in config.`);
    }
    // One that was refused is asked for again; otherwise nothing changes.
    this.connection.subscribe(name);
    return channel;
  }

  unsubscribe(name) {
    this.channels.remove(name);
    this.connection.unsubscribe(name);
  }

  /** Has `callback` called with the data of events of this name, whatever their channel. */
  bind(event, callback) {
    this.globalEmitter.on(event, callback);
    return this;
  }

  /** Without `callback`, all listeners to the event; without both, all listeners to any event. */
  unbind(event, callback) {
    this.globalEmitter.off(event, callback);
    return this;
  }

  /** Has `callback` called with name and data of all events, before all other listeners. */
  bindAll(callback) {
    this.globalEmitter.onAny(callback);
    return this;
  }

  bind_all(callback) {
    return this.bindAll(callback);
  }

  /** Without `callback`, all that were given to `bindAll`. */
  unbindAll(callback) {
    this.globalEmitter.offAny(callback);
    return this;
  }

  unbind_all(callback) {
    return this.unbindAll(callback);
  }

  /** Sends an event. Says whether there is a connection to send it by. */
  sendEvent(name, data, channel) {
    return this.connection.sendEvent(name, data, channel);
  }

  /** Signs in as `userData`, or as whom `userAuthEndpoint` says, now and on every further connection. */
  signin() {
    this.connection.signin();
  }

  isEncrypted() {
    return Boolean(this.config.encrypted);
  }

  #receive(message) {
    const { event, channel: name, data } = message;
    if (typeof event !== 'string') return;
    const channel = name ? this.channel(name) : undefined;
    channel?.handleEvent(event, data);
    if (event === 'pusher_internal:subscription_succeeded' && channel) this.#announce('subscribe', { channel: name });
    this.user.handleMessage(message);
    if (!event.startsWith(INTERNAL)) this.globalEmitter.emit(event, data);
  }

  /** Tells those who listen to this name, but not those who listen to everything: nobody published it. */
  #announce(event, data) {
    for (const callback of this.globalEmitter.listeners(event)) callback.call(this.globalEmitter, data);
  }

  #identify(name, id) {
    // As the program wrote it: a number stays one.
    const own = this.config.secret && this.config.channel_data?.user_id;
    this.channel(name)?.members?.setMyID(String(own) === id ? own : id);
  }

  #refuse(name, data, why) {
    Pusher.warn(`Couldn't subscribe to ${name}`, why);
    this.channel(name)?.handleEvent('pusher:subscription_error', data);
  }

  #signinFailed(why) {
    Pusher.warn("Couldn't sign in", why);
    this.globalEmitter.emit('pusher:signin_error', { type: 'AuthError', error: why });
  }

  #reset() {
    this.channels.disconnect();
    this.user.reset();
  }
}

module.exports = Pusher;
