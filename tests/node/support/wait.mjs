// Waiting for what happens, with a deadline instead of a sleep.

/** Milliseconds after which a wait has failed. */
export const DEADLINE = 20_000;

/** Settles as `promise` does, or fails with a text that names `what` was waited for. */
export async function within(promise, what, deadline = DEADLINE) {
  let timer;
  const late = new Promise((_, refuse) => {
    timer = setTimeout(() => refuse(new Error(`waited ${deadline} ms for ${typeof what === 'function' ? what() : what}`)), deadline);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves with the first argument of the callback that `register` hands out. */
export function once(register, what, deadline) {
  return within(new Promise((resolve) => register(resolve)), what, deadline);
}

/** What arrived, in order. `next` takes items out, `all` keeps everything that ever came. */
export class Inbox {
  all = [];
  #waiting = [];
  #takers = [];

  constructor(name) {
    this.name = name;
  }

  push(item) {
    this.all.push(item);
    const taker = this.#takers.findIndex((one) => one.match(item));
    if (taker < 0) this.#waiting.push(item);
    else this.#takers.splice(taker, 1)[0].resolve(item);
  }

  /** The first item not yet taken that `match` accepts, now or later. Items it refuses stay for other takers. */
  next(match = () => true, what = match.toString(), deadline = DEADLINE) {
    const found = this.#waiting.findIndex((item) => match(item));
    if (found >= 0) return Promise.resolve(this.#waiting.splice(found, 1)[0]);
    const arrived = new Promise((resolve) => this.#takers.push({ match, resolve }));
    return within(arrived, () => `${what} in ${this.name}; it holds ${shown(this.all)}`, deadline);
  }

  /** Forgets what arrived and was not taken. */
  clear() {
    this.all = [];
    this.#waiting = [];
  }
}

function shown(items) {
  const text = JSON.stringify(items.slice(-20));
  return text.length > 2_000 ? `${text.slice(0, 2_000)}…` : text;
}
