// The vectors of encrypted channels: what a publisher derives and seals, and that the server passes the envelope through untouched.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import nacl from 'tweetnacl';
import { cleanup } from './support/cleanup.mjs';
import { RawSocket } from './support/raw_socket.mjs';
import { startServer } from './support/server.mjs';

const file = new URL('../../crates/dialect/tests/pusher-vectors.json', import.meta.url);
const { vectors } = JSON.parse(readFileSync(file, 'utf8'));
const of = (kind) => vectors.filter((vector) => vector.kind === kind);
const bytes = (base64) => new Uint8Array(Buffer.from(base64, 'base64'));
const server = await startServer({ after });

test('P-22.3: there are vectors of both kinds', () => {
  assert.deepEqual([of('shared_secret').length, of('secretbox').length], [2, 2]);
});

for (const { id, in: given, out } of of('shared_secret')) {
  test(`P-9.2 ${id}: the key that a publisher derives for ${given.channel}`, () => {
    const library = server.api({ encryptionMasterKeyBase64: given.encryption_master_key_base64 });
    assert.equal(library.authorizeChannel('123.456', given.channel).shared_secret, out.shared_secret);
  });
}

for (const { id, in: given, out } of of('secretbox')) {
  test(`P-9.3 ${id}: the envelope arrives byte for byte and opens`, async (t) => {
    const raw = await RawSocket.open(server);
    cleanup(t, () => raw.end());
    await raw.subscribe(given.channel);
    // Past the library's own sealing: the envelope is published as the vector has it.
    await server.api().post({ path: '/events', body: { name: 'sealed', data: out.event_data, channels: [given.channel] } });
    const { data } = await raw.message('sealed');
    assert.equal(data, out.event_data);
    const { nonce, ciphertext } = JSON.parse(data);
    assert.deepEqual([nonce, ciphertext], [out.nonce, out.ciphertext]);
    const opened = nacl.secretbox.open(bytes(ciphertext), bytes(nonce), bytes(given.shared_secret));
    assert.equal(Buffer.from(opened).toString('utf8'), given.plaintext);
  });
}
