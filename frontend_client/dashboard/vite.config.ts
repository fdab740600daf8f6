import { resolve } from 'node:path';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  // Relative, so that a proxy may put the gateway under a path of its own.
  base: './',
  resolve: {
    alias: { '@agent-worker/client': resolve(import.meta.dirname, '../src') },
    // The client's source lies beside this folder, and what it imports is installed in this one.
    dedupe: ['react', 'react-dom', '@supabase/supabase-js'],
  },
  plugins: [oneAnswer()],
  build: {
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

/**
 * Put the style sheet into the page: the frame is painted when the page itself has come, and waits for no second answer.
 * The gateway names its hash in the content security policy. What the script begins after the paint is fetched meanwhile.
 */
function oneAnswer(): Plugin {
  return {
    name: 'one-answer',
    apply: 'build',
    enforce: 'post',
    generateBundle(_, bundle) {
      const page = bundle['index.html'];
      if (page?.type !== 'asset') throw new Error('No index.html was built.');
      const later = Object.values(bundle)
        .filter((file) => file.type === 'chunk' && file.isDynamicEntry)
        .map((file) => `<link rel="modulepreload" crossorigin href="./${file.fileName}" />`);
      page.source = String(page.source)
        .replace(/<link rel="stylesheet"[^>]* href="\.\/([^"]+)">/gu, (_link, name) => {
          const sheet = bundle[name];
          if (sheet?.type !== 'asset') throw new Error(`The page names ${name}, which was not built.`);
          delete bundle[name];
          return `<style>${String(sheet.source).trim()}</style>`;
        })
        .replace('</head>', `  ${later.join('\n    ')}\n  </head>`);
    },
  };
}
