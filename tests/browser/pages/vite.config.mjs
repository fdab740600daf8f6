// Builds the pages of the browser tests with what the example has installed.
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const here = import.meta.dirname;
const example = resolve(here, '../../../examples/react-chat');
const require = createRequire(join(example, 'package.json'));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { default: react } = await load('@vitejs/plugin-react');
const client = resolve(here, '../../../frontend_client/src');
const installed = (name) => ({
  find: new RegExp(`^${name}(?=/|$)`),
  replacement: join(example, 'node_modules', name),
});

export default {
  root: here,
  base: './',
  plugins: [react()],
  build: {
    rollupOptions: { input: { seed: join(here, 'seed/index.html'), lab: join(here, 'lab/index.html') } },
  },
  resolve: {
    alias: [
      { find: /^@agent-worker\/client$/, replacement: join(client, 'index.ts') },
      { find: /^@agent-worker\/client\/react$/, replacement: join(client, 'react/index.ts') },
      installed('react'),
      installed('react-dom'),
      installed('@supabase/supabase-js'),
    ],
  },
};
