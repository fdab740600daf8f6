import { resolve } from 'node:path';
import { defineConfig } from 'vitest/config';

/** The gateway serves what is built from this folder; the wheel carries it. */
const BUILT = resolve(import.meta.dirname, '../../agent_worker/gateway/dashboard');

export default defineConfig({
  // Relative, so that a proxy may put the gateway under a path of its own.
  base: './',
  resolve: {
    alias: { '@agent-worker/client': resolve(import.meta.dirname, '../src') },
    // The client's source lies beside this folder, and what it imports is installed in this one.
    dedupe: ['react', 'react-dom', '@supabase/supabase-js'],
  },
  build: {
    outDir: BUILT,
    emptyOutDir: true,
    target: 'es2022',
    // Nothing is inlined as a data: address, so a content security policy needs no exception for it.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 700,
  },
  server: {
    host: '127.0.0.1',
    proxy: Object.fromEntries(
      ['/config.json', '/auth', '/rest', '/realtime'].map((path) => [
        path,
        { target: process.env.AGENT_WORKER_URL ?? 'http://127.0.0.1:54321', ws: path === '/realtime' },
      ]),
    ),
  },
  test: { include: ['tests/**/*.test.{ts,tsx}'], environment: 'node' },
});
