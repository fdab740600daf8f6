/*
 * Put what was built where the gateway serves it from, in one step, if it is within its budget: what a visitor loads,
 * compressed. The compressed forms lie beside the files, so that the gateway has nothing to compress.
 */
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';

const BUDGET_BYTES = 200_000;
const built = resolve(import.meta.dirname, '../dist');
const served = resolve(import.meta.dirname, '../../../agent_worker/gateway/dashboard');

const files = readdirSync(built, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name));
const total = files.reduce((sum, file) => sum + compress(file), 0);
console.log(`dashboard: ${Math.ceil(total / 1000)} kB compressed, of at most ${BUDGET_BYTES / 1000}`);
if (total > BUDGET_BYTES) process.exit(1);
rmSync(served, { recursive: true, force: true });
renameSync(built, served);

/** Write both forms; returns the bytes of the larger, which every browser takes. */
function compress(file) {
  const content = readFileSync(file);
  const zipped = gzipSync(content, { level: 9 });
  writeFileSync(`${file}.gz`, zipped);
  writeFileSync(`${file}.br`, brotliCompressSync(content));
  return zipped.length;
}
