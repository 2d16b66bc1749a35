// The signed-in user of a client: who it is, what is sent to it, and who of its watchlist is there.
'use strict';

const { EventEmitter } = require('node:events');

/** An emitter with pusher-client's names, to which an event called `error` is one like any other. */
class Emitter extends EventEmitter {
  bind(event, callback) {
    return this.on(event, callback);
  }

  unbind(event, callback) {
    if (callback !== undefined) return this.off(event, callback);
    return event === undefined ? this.removeAllListeners() : this.removeAllListeners(event);
  }

  emit(event, ...values) {
    return event === 'error' && this.listenerCount(event) === 0 ? false : super.emit(event, ...values);
  }
}

class User extends Emitter {
  /** `online` and `offline`, with `{name, user_ids}` (P-15.9). */
  watchlist = new Emitter();

  constructor() {
    super();
    this.reset();
  }

  reset() {
    this.id = undefined;
    this.user_data = undefined;
  }

  /** Takes the server's confirmation (P-15.3), whose `user_data` is what was signed. */
  signedIn(data) {
    this.user_data = parsed(data?.user_data);
    this.id = this.user_data?.id;
  }

  /** Takes a message of the server that is not about a channel's subscribers. */
  handleMessage({ event, channel, data }) {
    if (event === 'pusher:signin_success') {
      this.signedIn(data);
    } else if (event === 'pusher_internal:watchlist_events') {
      for (const change of data?.events ?? []) this.watchlist.emit(change.name, change);
    } else if (channel !== undefined && channel === `#server-to-user-${this.id}` && !/^pusher(_internal)?:/.test(event)) {
      this.emit(event, data);
    }
  }
}

function parsed(text) {
  if (typeof text !== 'string') return text;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

module.exports = User;
