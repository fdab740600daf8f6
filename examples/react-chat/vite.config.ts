import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const source = (path: string) => decodeURIComponent(new URL(`../../frontend_client/src/${path}`, import.meta.url).pathname);

export default defineConfig({
  plugins: [react()],
  resolve: {
    // In this repository the client is used from its source; in yours, `npm install @agent-worker/client`.
    alias: [
      { find: /^@agent-worker\/client$/, replacement: source('index.ts') },
      { find: /^@agent-worker\/client\/react$/, replacement: source('react/index.ts') },
    ],
    dedupe: ['react', 'react-dom', '@supabase/supabase-js'],
  },
});
