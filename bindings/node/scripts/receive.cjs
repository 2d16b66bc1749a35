// Receives events from the server of the client library's benchmark and says how fast: `receive.cjs PORT EVENTS LIBRARY`, where LIBRARY is a
// folder that can be required. Started by scripts/client with NODE=1.
'use strict';

const [, , port, wanted, library] = process.argv;
const Pusher = require(library);
const events = Number(wanted);

const client = new Pusher('load', { host: '127.0.0.1', wsPort: Number(port), proxy: false });
const began = process.hrtime.bigint();
const before = process.cpuUsage();
let expected = 0;
client.subscribe('stocks').bind('new-price', ({ n }) => {
  if (n !== expected) throw new Error(`event ${n} in place of ${expected}`);
  if (++expected < events) return;
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  const { user, system } = process.cpuUsage(before);
  const name = library.split('/').pop().padEnd(22);
  console.log(`  ${name} ${String(Math.round(events / seconds)).padStart(9)} events/s, ${((user + system) / events).toFixed(3)} µs of the processor per event`);
  process.exit(0);
});
