// Compiles the native part and puts it where the package looks for it; with --debug faster, and slower at its work.
import { spawnSync } from 'node:child_process';
import { copyFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = dirname(dirname(fileURLToPath(import.meta.url)));
const profile = process.argv.includes('--debug') ? [] : ['--release'];
const arguments_ = ['build', '--locked', '--package', 'tidings-client-node', '--message-format=json-render-diagnostics', ...profile];
const cargo = spawnSync('cargo', arguments_, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8', maxBuffer: 1 << 28 });
if (cargo.error) throw new Error('cannot run cargo: is Rust installed?', { cause: cargo.error });
if (cargo.status !== 0) process.exit(cargo.status ?? 1);

const library = cargo.stdout
  .split('\n')
  .filter((line) => line.startsWith('{'))
  .map((line) => JSON.parse(line))
  .find(({ reason, target }) => reason === 'compiler-artifact' && target.name === 'tidings_client_node' && target.kind.includes('cdylib'));
const built = join(folder, 'tidings-client.node');
// A process that has loaded the old one keeps it; written over, it would crash.
rmSync(built, { force: true });
copyFileSync(library.filenames.find((name) => /\.(so|dylib|dll)$/.test(name)), built);
console.log(built);
