// Pushy's place taken with its own file, peers that speak SockJS frame by frame over three transports, and the trigger.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { Agent, request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { cleanup } from './cleanup.mjs';
import { RawSocket, TEXT, frame, tcp } from './raw_socket.mjs';
import { HOST, Server, freePort } from './server.mjs';
import { Inbox, within } from './wait.mjs';

export const PREFIX = '/pushy/socket';
export const SECRET = 'secret';
/** The transports whose clients are tested, by their names in the protocol. */
export const TRANSPORTS = ['websocket', 'xhr-streaming', 'xhr-polling'];
/** The sample that comes with Pushy, without port and secret. Its delays are seconds (Y-2.5). */
const SAMPLE = {
  ssl: false,
  sockjs: { sockjs_url: 'http://cdn.sockjs.org/sockjs-0.3.min.js', prefix: PREFIX, websocket: true, response_limit: '128K', jsessionid: false, heartbeat_delay: 25, disconnect_delay: 5 },
};

export const sha256 = (text) => createHash('sha256').update(text).digest('hex');
export const seconds = () => Math.floor(Date.now() / 1000);

/** `tidings pushy config.json`. */
class DropIn extends Server {
  constructor(port, file) {
    super(port, { app: { id: 'pushy', key: 'pushy', secret: file.secretKey } });
    this.file = { port, host: HOST, ...file };
    if (file.ssl) this.url = this.url.replace('http:', 'https:');
  }

  arguments() {
    return ['pushy', this.configuration];
  }

  async configure() {
    this.configuration = join(this.folder, 'config.json');
    await writeFile(this.configuration, JSON.stringify(this.file));
  }
}

/** Starts it with a file like the sample; `settings` are further keys, those of `sockjs` beside the sample's. */
export async function startPushy(t, { sockjs = {}, ...settings } = {}) {
  const server = new DropIn(await freePort(), { secretKey: SECRET, ...SAMPLE, ...settings, sockjs: { ...SAMPLE.sockjs, ...sockjs } });
  cleanup(t, () => server.stop());
  await server.start();
  return server;
}

/** One end of a SockJS session. `messages` holds what came inside `a` frames, as text. */
class Peer {
  messages = new Inbox('messages of a peer');
  #closed;

  constructor(server, { prefix = PREFIX, headers = {} } = {}) {
    this.server = server;
    this.headers = headers;
    this.url = `${prefix}/000/${randomBytes(8).toString('hex')}`;
    this.closed = new Promise((resolve) => (this.#closed = resolve));
  }

  /** A frame of SockJS. */
  take(text) {
    if (text.startsWith('a')) for (const message of JSON.parse(text.slice(1))) this.messages.push(message);
    else if (text.startsWith('c')) this.over(...JSON.parse(text.slice(1)));
    else assert.ok(['o', 'h'].includes(text), `no frame of SockJS: ${text}`);
  }

  over(code, reason) {
    this.#closed({ code, reason });
  }

  /** Takes nothing from the network until `resume`. */
  pause() {
    this.raw.socket.pause();
  }

  resume() {
    this.raw.socket.resume();
  }

  /** How the server closed it. */
  close() {
    return within(this.closed, () => `a close; came ${JSON.stringify(this.messages.all.slice(-5))}`);
  }

  /** The text of the next message. */
  text() {
    return this.messages.next();
  }

  /** The next message, or the next of this event. */
  async message(event) {
    return JSON.parse(await this.messages.next((text) => event === undefined || JSON.parse(text).event === event, event ?? 'a message'));
  }

  /** Sends messages: strings as they are, anything else as JSON. Resolves when they are taken. */
  send(...messages) {
    return this.pass(JSON.stringify(messages.map((message) => (typeof message === 'string' ? message : JSON.stringify(message)))));
  }

  command(command, data) {
    return this.send({ command, data });
  }

  /** Subscribes, signed where that is needed, and gives the `data` of the success. */
  async subscribe(channel, data) {
    const asked = { channel };
    if (/^(private|presence|personal|peer)-/i.test(channel)) asked.auth = subscriptionAuth(this, channel, data);
    if (data !== undefined) asked.data = data;
    await this.command('subscribe', asked);
    return (await this.message('pushy:subscription-success')).data;
  }

  /** Sends what is answered at once and expects this event. */
  async ask(command, data, event) {
    await this.command(command, data);
    const message = await this.message();
    assert.equal(message.event, event, JSON.stringify(message));
    return message.data;
  }

  /**
   * Resolves when nothing is under way to it; throws if something else came. What others did before is in the inbox of the connection's
   * thread, which a turn looks at after its sockets: the second answer is behind it.
   */
  async silent() {
    for (const round of [1, 2]) {
      await this.send('{}');
      const message = await this.message();
      assert.deepEqual(message, { event: 'pushy:error', data: { message: 'Bogus message recieved', code: '100' } }, `round ${round}`);
    }
  }
}

class WebSocketPeer extends Peer {
  async start() {
    const onFrame = (one) => this.take(one.text);
    this.raw = await RawSocket.connect(this.server, `${this.url}/websocket`, { json: false, headers: this.headers, onFrame });
    this.raw.closed.then(({ code, reason }) => this.over(code, reason));
  }

  async pass(body) {
    this.raw.write(frame(TEXT, body));
  }

  /** Breaks off, as a lost network does. */
  end() {
    this.raw.end();
  }
}

/** Over a WebSocket without frames of SockJS (S-6.9). */
class RawWebSocketPeer extends Peer {
  constructor(server, { prefix = PREFIX, headers } = {}) {
    super(server, { prefix, headers });
    this.url = `${prefix}/websocket`;
  }

  async start() {
    const onFrame = (one) => this.messages.push(one.text);
    this.raw = await RawSocket.connect(this.server, this.url, { json: false, headers: this.headers, onFrame });
    this.raw.closed.then(({ code, reason }) => this.over(code, reason));
  }

  async pass(body) {
    for (const message of JSON.parse(body)) this.raw.write(frame(TEXT, message));
  }

  end() {
    this.raw.end();
  }
}

class HttpPeer extends Peer {
  #agent = new Agent({ keepAlive: true });
  #last = Promise.resolve();
  #ended = false;

  async start() {
    this.loop();
  }

  /** One receiving request after the other. `receives` says of which kind. */
  async loop() {
    while (!this.#ended) {
      await this.gate;
      const closed = await this.#receive();
      if (closed) return;
    }
  }

  #receive() {
    return new Promise((resolve) => {
      let [rest, closed] = ['', false];
      const asked = this.request('POST', this.receives, '', (response) => {
        assert.equal(response.statusCode, 200);
        response.setEncoding('utf8');
        response.on('data', (part) => {
          const lines = (rest + part).split('\n');
          rest = lines.pop();
          for (const line of lines) {
            if (/^h{2048}$/.test(line)) continue;
            closed ||= line.startsWith('c');
            this.take(line);
          }
        });
        response.on('end', () => resolve(closed));
        response.on('error', () => resolve(true));
      });
      asked.on('error', () => resolve(true));
      this.receiving = asked;
    });
  }

  request(method, path, body, answered) {
    const headers = { ...this.headers, 'Content-Type': 'text/plain', 'Content-Length': Buffer.byteLength(body) };
    const asked = httpRequest({ host: HOST, port: this.server.port, method, path: this.url + path, agent: this.#agent, headers }, answered);
    asked.end(body);
    return asked;
  }

  /** One sending request after the other, as clients do. */
  pass(body) {
    const sent = this.#last.then(() => this.#send(body));
    this.#last = sent.catch(() => {});
    return sent;
  }

  #send(body) {
    return new Promise((resolve, refuse) => {
      const asked = this.request('POST', '/xhr_send', body, (response) => {
        response.resume();
        response.on('end', () => (response.statusCode === 204 ? resolve() : refuse(new Error(`sending was answered ${response.statusCode}`))));
      });
      asked.on('error', refuse);
    });
  }

  end() {
    this.#ended = true;
    this.receiving?.destroy();
    this.#agent.destroy();
  }
}

class StreamingPeer extends HttpPeer {
  receives = '/xhr_streaming';

  pause() {
    this.receiving.socket.pause();
  }

  resume() {
    this.receiving.socket.resume();
  }
}

class PollingPeer extends HttpPeer {
  receives = '/xhr';

  /** It does not ask again. */
  pause() {
    this.gate = new Promise((resolve) => (this.resume = resolve));
  }
}

const PEERS = { websocket: WebSocketPeer, 'websocket-raw': RawWebSocketPeer, 'xhr-streaming': StreamingPeer, 'xhr-polling': PollingPeer };

/** A peer whose greeting has not been taken. */
export async function connect(t, server, transport = 'websocket', options) {
  const peer = new PEERS[transport](server, options);
  await peer.start();
  cleanup(t, () => peer.end());
  return peer;
}

/** A connection, its greeting taken: `socketId` is set. */
export async function open(t, server, transport, options) {
  const peer = await connect(t, server, transport, options);
  const { event, data } = await peer.message();
  assert.equal(event, 'pushy:connect');
  peer.socketId = data.socketId;
  return peer;
}

/** The signature for a private channel (Y-7.1, Y-7.2): `data` is what the command will carry. */
export function subscriptionAuth(peer, channel, data, secret = peer.server.app.secret) {
  const covered = data === undefined ? '' : `:${JSON.stringify(data)}`;
  return sha256(`${peer.socketId}:${channel.toLowerCase()}${covered}:${secret}`);
}

/** The key of a trigger (Y-6.6). `body` is the text that is signed. */
export function triggerKey(channel, event, timestamp, body, secret) {
  return sha256(`${channel.toLowerCase()}:${event}:${timestamp}:${body}:${secret}`);
}

/** A request as it is given, on a connection of its own: the path may have any bytes that end no line. */
export async function ask(server, method, path, { headers = {}, body = '' } = {}) {
  const socket = await tcp(server);
  const parts = [];
  socket.on('data', (part) => parts.push(part));
  const over = new Promise((resolve) => socket.on('error', () => {}).on('close', resolve));
  const lines = { Host: `${server.host}:${server.port}`, Connection: 'close', 'Content-Length': Buffer.byteLength(body), ...headers };
  const head = Object.entries(lines).filter(([, value]) => value !== null).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${head.join('')}\r\n`), Buffer.from(body)]));
  await within(over, 'the end of an answer');
  const text = Buffer.concat(parts).toString();
  const end = text.indexOf('\r\n\r\n');
  const [line, ...rest] = text.slice(0, end).split('\r\n');
  const named = rest.map((one) => [one.slice(0, one.indexOf(':')).toLowerCase(), one.slice(one.indexOf(':') + 1).trim()]);
  return { status: Number(line.split(' ')[1]), headers: Object.fromEntries(named), body: text.slice(end + 4) };
}

/** A request to the trigger with these parameters; every answer is JSON (Y-6.3). */
export async function post(server, channel, parameters, { type, body = '', method = 'POST', path } = {}) {
  const query = Object.entries(parameters).map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
  const headers = type ? { 'Content-Type': type } : {};
  const answer = await ask(server, method, `${path ?? `/pushy/channel/${encodeURIComponent(channel)}/trigger`}?${query}`, { headers, body });
  assert.equal(answer.headers['content-type'], 'application/json', JSON.stringify(answer));
  return { status: answer.status, text: answer.body, body: JSON.parse(answer.body) };
}

/** Publishes `data` as JSON, signed. */
export function trigger(server, channel, event, data = {}, { secret = server.app.secret, socketId, timestamp = seconds() } = {}) {
  const body = JSON.stringify(data);
  const parameters = { event, timestamp, auth_key: triggerKey(channel, event, timestamp, body, secret) };
  if (socketId !== undefined) parameters.socket_id = socketId;
  return post(server, channel, parameters, { type: 'application/json', body });
}

export const OK = { 200: '{"status":{"code":200,"message":"Ok"}}', 201: '{"status":{"code":201,"message":"Ok"}}' };

/** The body of a refusal (Y-6.3). */
export const refused = (code, message) => JSON.stringify({ error: { code, message } });
