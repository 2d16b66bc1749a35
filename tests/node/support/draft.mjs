// A client of the WebSocket draft of 2010: text between two bytes, a handshake in two steps (S-6.10).
import assert from 'node:assert/strict';
import { Wire } from './wire.mjs';

/** Keys and nonce with a known proof. */
export const KEYS = { 'Sec-WebSocket-Key1': '4 @1  46546xW%0l 1 5', 'Sec-WebSocket-Key2': '12998 5 Y3 1  .P00' };
export const PROOFS = [
  ['aaaaaaaa', Buffer.from('ca3400d8a50847972cd5715ababf437b', 'hex')],
  ['^n:ds[4U', Buffer.from("8jKS'y:G*Co,Wxa-")],
];

export class Draft {
  /** Asks, and takes the head of the answer. The nonce is not sent, unless it is among `more` bytes. */
  static async ask(server, path, headers = {}, more = '') {
    const draft = new Draft();
    draft.wire = await Wire.open(server);
    draft.wire.request('GET', path, { headers: { Upgrade: 'WebSocket', Connection: 'Upgrade', Origin: 'http://a.example', ...KEYS, ...headers } });
    draft.wire.write(more);
    draft.head = await draft.wire.head();
    return draft;
  }

  /** The whole handshake. */
  static async open(server, path) {
    const draft = await Draft.ask(server, path);
    assert.equal(draft.head.status, 101, draft.head.line);
    const [nonce, proof] = PROOFS[0];
    draft.wire.write(nonce);
    assert.deepEqual(await draft.wire.bytes(16), proof);
    return draft;
  }

  send(text) {
    this.wire.write(Buffer.concat([Buffer.from([0]), Buffer.from(text), Buffer.from([0xff])]));
  }

  /** The next text. */
  async text() {
    assert.deepEqual([...(await this.wire.bytes(1))], [0]);
    return (await this.wire.before([0xff])).toString();
  }

  /** Expects the server's last word, and the end. */
  async closed() {
    assert.deepEqual([...(await this.wire.bytes(2))], [0xff, 0]);
    assert.equal(await this.wire.rest(), '');
  }
}
