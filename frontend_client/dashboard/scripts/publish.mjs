/*
 * Put what was built where the gateway serves it from, in one step, if it is within its budget: what a visitor loads,
 * compressed.
 */
import { readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';

const BUDGET_BYTES = 200_000;
const built = resolve(import.meta.dirname, '../dist');
const served = resolve(import.meta.dirname, '../../../agent_worker/gateway/dashboard');

const files = readdirSync(built, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
const sizes = files.map((entry) => gzipSync(readFileSync(join(entry.parentPath, entry.name))).length);
const total = sizes.reduce((sum, size) => sum + size, 0);
console.log(`dashboard: ${Math.ceil(total / 1000)} kB compressed, of at most ${BUDGET_BYTES / 1000}`);
if (total > BUDGET_BYTES) process.exit(1);
rmSync(served, { recursive: true, force: true });
renameSync(built, served);
