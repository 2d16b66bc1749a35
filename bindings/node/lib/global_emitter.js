// Events by name and all of them, called as EventEmitter2 does it: listeners to everything come first, and get the event's name as well.
// An event called `error` is one like any other.
'use strict';

class GlobalEmitter {
  #all = [];
  #named = new Map();

  on(event, callback) {
    requireFunction(callback);
    this.#named.set(event, [...this.listeners(event), callback]);
    return this;
  }

  /** Without `callback`, all listeners to the event; without both, all listeners to any event. */
  off(event, callback) {
    if (event === undefined) this.#named.clear();
    else this.#keep(event, callback === undefined ? [] : without(this.listeners(event), callback));
    return this;
  }

  onAny(callback) {
    requireFunction(callback);
    this.#all = [...this.#all, callback];
    return this;
  }

  /** Without `callback`, all listeners to everything. */
  offAny(callback) {
    this.#all = callback === undefined ? [] : without(this.#all, callback);
    return this;
  }

  listeners(event) {
    return this.#named.get(event) ?? [];
  }

  /** Whether anybody was told. */
  emit(event, ...values) {
    const all = this.#all;
    for (const callback of all) callback.call(this, event, ...values);
    // Read now, so that one added by those above is called too.
    const named = this.listeners(event);
    for (const callback of named) callback.call(this, ...values);
    return all.length + named.length > 0;
  }

  #keep(event, callbacks) {
    if (callbacks.length === 0) this.#named.delete(event);
    else this.#named.set(event, callbacks);
  }
}

function requireFunction(callback) {
  if (typeof callback !== 'function') throw new TypeError('a listener must be a function');
}

/** A copy without one `callback`: lists are never changed, so whoever goes through one sees what was there. */
function without(callbacks, callback) {
  const place = callbacks.lastIndexOf(callback);
  return callbacks.filter((_, at) => at !== place);
}

module.exports = GlobalEmitter;
