// A proxy that shows what a client and a server say to each other by WebSocket, message by message, and changes nothing.
import { balancer } from './balancer.mjs';
import { CLOSE, PING, TEXT } from './raw_socket.mjs';
import { Inbox } from './wait.mjs';

/**
 * Starts one in front of `target`, which may be replaced. `requests` holds the targets of the upgrades. `said` holds what the clients said:
 * `{ message }` with the parsed JSON of a text, `{ ping }` with the payload, `{ close }` with the code or `null`.
 */
export async function recorder(t, target) {
  const heard = { requests: [], said: new Inbox('what a client said') };
  const proxy = await balancer(t, target, (socket) => {
    const reader = new Reader(heard);
    socket.on('data', (bytes) => reader.take(bytes));
  });
  return Object.assign(proxy, heard);
}

/** One direction of a connection, whose frames are masked and whole. */
class Reader {
  #bytes = Buffer.alloc(0);
  #upgraded = false;

  constructor(heard) {
    this.heard = heard;
  }

  take(bytes) {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    if (!this.#upgraded && !this.#head()) return;
    while (this.#frame());
  }

  #head() {
    const end = this.#bytes.indexOf('\r\n\r\n');
    if (end < 0) return false;
    this.heard.requests.push(this.#bytes.subarray(0, this.#bytes.indexOf('\r\n')).toString().split(' ')[1]);
    this.#bytes = this.#bytes.subarray(end + 4);
    this.#upgraded = true;
    return true;
  }

  #frame() {
    const bytes = this.#bytes;
    if (bytes.length < 2) return false;
    const short = bytes[1] & 0x7f;
    if (short === 127) throw new Error('nobody says as much in a test');
    const start = short === 126 ? 8 : 6;
    if (bytes.length < start) return false;
    const size = short === 126 ? bytes.readUInt16BE(2) : short;
    if (bytes.length < start + size) return false;
    const mask = bytes.subarray(start - 4, start);
    const payload = Buffer.from(bytes.subarray(start, start + size).map((byte, place) => byte ^ mask[place & 3]));
    this.#bytes = bytes.subarray(start + size);
    this.#tell(bytes[0] & 15, payload);
    return true;
  }

  #tell(opcode, payload) {
    if (opcode === TEXT) this.heard.said.push({ message: JSON.parse(payload) });
    if (opcode === PING) this.heard.said.push({ ping: payload.toString() });
    if (opcode === CLOSE) this.heard.said.push({ close: payload.length < 2 ? null : payload.readUInt16BE(0) });
  }
}
