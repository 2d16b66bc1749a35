// Pusher's fallback to HTTP by hand (P-19.3, P-19.4): sessions, their receivers, and every frame that comes.
import { randomInt } from 'node:crypto';
import { Agent, request } from 'node:http';
import { cleanup } from './cleanup.mjs';
import { Inbox, within } from './wait.mjs';

/** Sends a request and resolves with the response as its head comes. */
function ask(server, agent, path, { method = 'POST', body = '', headers = {} } = {}) {
  const asked = new Promise((resolve, refuse) => {
    const sent = request({ host: server.host, port: server.port, path, method, agent, headers: { 'Content-Type': 'application/json', ...headers } }, resolve);
    sent.on('error', refuse);
    sent.end(body);
  });
  return within(asked, `the answer to ${method} ${path}`);
}

async function whole(response) {
  const parts = [];
  for await (const part of response) parts.push(part);
  return { status: response.statusCode, headers: response.headers, text: Buffer.concat(parts).toString() };
}

/** What a client takes of one response: with more it leaves, once it has read all that came (P-19.6). */
const RESPONSE_MAX = 256 * 1024;

/**
 * One response that takes frames; `frames` holds them without their line ends, `prelude` is the length of what came before them, `full` whether
 * it was left as the library does it.
 */
class Receiver {
  frames = new Inbox('frames of a receiver');
  prelude = 0;
  full = false;

  constructor(response) {
    this.response = response;
    this.status = response.statusCode;
    this.headers = response.headers;
    let [rest, length] = ['', 0];
    response.setEncoding('utf8').on('data', (text) => {
      const lines = (rest + text).split('\n');
      length += text.length;
      rest = lines.pop();
      for (const line of lines) this.#line(line);
      if (rest !== '' || length <= RESPONSE_MAX) return;
      this.full = true;
      response.destroy();
    });
    // Whether it ended as it should, or broke off.
    this.ended = new Promise((resolve) => response.on('close', () => resolve(response.complete)));
    response.on('error', () => {});
  }

  #line(line) {
    if (/^h{2,}$/.test(line)) this.prelude = line.length + 1;
    else this.frames.push(line);
  }

  /** The next frame. */
  frame() {
    return this.frames.next(() => true, 'a frame');
  }

  /** The messages of the next frame, which must have some. */
  async messages() {
    const frame = await this.frame();
    if (!frame.startsWith('a[')) throw new Error(`messages were to come, not ${frame}`);
    return JSON.parse(frame.slice(1)).map((text) => JSON.parse(text));
  }

  /** Resolves with whether the response ended as it should. */
  end() {
    return within(this.ended, 'the end of a response');
  }

  /** Breaks the response off. */
  leave() {
    this.response.destroy();
    return this.end();
  }
}

/** A session, named as clients name theirs. */
export class Fallback {
  constructor(t, server, { key = server.app.key, query = 'protocol=7&client=js&version=8.6.0' } = {}) {
    this.server = server;
    this.query = query;
    this.agent = new Agent({ keepAlive: true });
    cleanup(t, () => this.agent.destroy());
    const name = Array.from({ length: 8 }, () => randomInt(32).toString(32)).join('');
    this.base = `/pusher/app/${key}/${randomInt(1000)}/${name}`;
  }

  /** A request for a route of this session, answered whole. */
  async ask(route, options) {
    return whole(await ask(this.server, this.agent, `${this.base}/${route}`, options));
  }

  /** Opens a receiver, or one more. */
  async receive(transport, options) {
    return new Receiver(await ask(this.server, this.agent, `${this.base}/${transport}?${this.query}&t=1&n=1`, options));
  }

  /** The frame of one poll. */
  async poll() {
    const receiver = await this.receive('xhr');
    const frame = await receiver.frame();
    await receiver.end();
    return frame;
  }

  /** Sends messages, objects as JSON, and resolves with the status. */
  async send(...messages) {
    const texts = messages.map((one) => (typeof one === 'string' ? one : JSON.stringify(one)));
    return (await this.ask('xhr_send?t=1&n=2', { body: JSON.stringify(texts) })).status;
  }

  subscribe(channel) {
    return this.send({ event: 'pusher:subscribe', data: { channel } });
  }
}
