/*
 * Compile every `ts` and `tsx` block of the pages against this package, and every @example in the sources. A name after
 * the language makes a block a file that other blocks of the page may import: ```tsx MyComponent.tsx.
 */
import { execFileSync } from 'node:child_process';
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, '.docs');
const fence = /^```(tsx?)(?: (\S+))?\n([\s\S]*?)^```$/gm;
const names = (source) =>
  [...source.matchAll(/^export (?:async )?(?:function\*?|class|const) (\w+)/gm)].map(([, name]) => name);

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder);

let count = 0;
function write(language, name, text, from) {
  count += 1;
  writeFileSync(join(folder, name ?? `${from}-${count}.${language}`), `${text}\nexport {};\n`);
}

for (const page of ['frontend', 'agents-api']) {
  const text = readFileSync(join(root, `../docs/${page}.md`), 'utf8');
  for (const [, language, name, block] of text.matchAll(fence)) write(language, name, block, page);
}

// An example stands where its reader has imported what it uses.
const everything = (file) => {
  const exported = names(readFileSync(join(root, file), 'utf8'));
  return exported.length === 0 ? '' : `import { ${exported.join(', ')} } from '../${file.replace(/tsx?$/, 'js')}';\n`;
};
const sources = globSync('src/{core,react}/*.ts', { cwd: root });
const imports = sources
  .filter((file) => !/schema|session|follow|channel|tables|time|rows/.test(file))
  .map(everything)
  .join('');
const given =
  'declare let id: string, lastSeen: number;\ndeclare const supabase: AnySupabaseClient, task: AgentTask, question: HumanTask;\n';
const types =
  "import type { AgentTask, AnySupabaseClient, HumanTask } from '../src/index.js';\nimport { subscribeToAgentTasks } from '../src/index.js';\n";
const ofWorkers = `import * as everything from '../src/workers/index.js';
import type { AgentWorkerClient as Client, StreamEvent } from '../src/workers/index.js';
const { AgentsApi, AgentWorkerClient, isAbortError, toSSEStream, WorkerError, WorkersApi } = everything;
declare const executionId: string, toolCallId: string;
`;
const ourClient = 'declare const client: Client;\n';
for (const file of [...sources, ...globSync('src/workers/*.ts', { cwd: root })]) {
  for (const [comment] of readFileSync(join(root, file), 'utf8').matchAll(/\/\*\*[\s\S]*?\*\//g)) {
    const text = comment.replace(/^ \* ?/gm, '');
    for (const [, language, , example] of text.matchAll(fence)) {
      const own = [...example.matchAll(/(?:const|let) \{? ?(\w+)/g)].map(([, name]) => name);
      const lines = given.replace(/\b(id|task|supabase)\b/g, (name) => (own.includes(name) ? `${name}_` : name));
      const before = file.includes('workers')
        ? ofWorkers + (own.includes('client') ? '' : ourClient)
        : types + imports + lines;
      const used = example.includes('import ') ? '' : before;
      write(language, undefined, `${used}${example}`, basename(file, '.ts'));
    }
  }
}

const config = {
  extends: '../tsconfig.json',
  compilerOptions: {
    noUnusedLocals: false,
    noUnusedParameters: false,
    types: ['node', 'vite/client'],
    module: 'ESNext',
    moduleResolution: 'Bundler',
    paths: {
      '@agent-worker/client': ['../src/index.ts'],
      '@agent-worker/client/react': ['../src/react/index.ts'],
      '@agent-worker/client/workers': ['../src/workers/index.ts'],
    },
  },
  include: ['*.ts', '*.tsx'],
};
writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
try {
  execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', folder], { stdio: 'inherit' });
} catch {
  process.exit(1); // tsc has said why; the blocks stay in .docs
}
rmSync(folder, { recursive: true });
console.log(`${count} examples compile`);
