/* Small agents; the model `openai/scripted` is that of tests/frontend/test_workers.py. */
import type { AgentDefinition } from '../../src/workers/index.js';

function definition(slug: string, protocol: string, prompts: Record<string, string> = {}): AgentDefinition {
  return {
    settings: { slug, name: slug, format: 'worker' },
    protocol,
    prompts: Object.entries(prompts).map(([name, content]) => ({ name, content })),
  };
}

const TALK = { system: 'You help.', ask: '{{TOPIC}}' };
const SEARCH = `tools:
  web-search:
    description: Searches the web
    parameters:
      query: {type: string}
`;

/** A model that looks something up before it answers. */
export const research = definition(
  'research',
  `input:
  TOPIC: {type: string}
  DEPTH: {type: string, optional: true}
variables:
  ANALYSIS: {type: string}
${SEARCH}steps:
  Open:
    block: start-thread
    thread: research
    model: openai/scripted
    system: system
    tools: [web-search]
    maxSteps: 5
  Ask:
    block: add-message
    thread: research
    role: user
    prompt: ask
    input: [TOPIC]
  Research:
    block: next-message
    thread: research
    output: ANALYSIS
output: ANALYSIS
`,
  TALK,
);

/** A model that answers at once: \`You asked: …\`; slowly when it is asked slowly, and not at all when it refuses. */
export const answer = definition(
  'answer',
  `input:
  TOPIC: {type: string}
variables:
  ANSWER: {type: string}
steps:
  Open:
    block: start-thread
    thread: talk
    model: openai/scripted
    system: system
  Ask:
    block: add-message
    thread: talk
    role: user
    prompt: ask
    input: [TOPIC]
  Answer:
    block: next-message
    thread: talk
    output: ANSWER
output: ANSWER
`,
  TALK,
);

export const oneTool = definition(
  'one-tool',
  `input:
  TOPIC: {type: string}
${SEARCH}steps:
  Search:
    block: tool-call
    tool: web-search
    input: {query: TOPIC}
`,
);

/** Two tools, one after the other. */
export const twoTools = definition(
  'two-tools',
  `input:
  TOPIC: {type: string}
variables:
  FOUND: {type: unknown}
  USER: {type: unknown}
${SEARCH}  get-user-data:
    description: Tells about a user
    parameters:
      userId: {type: string}
steps:
  Search:
    block: tool-call
    tool: web-search
    input: {query: TOPIC}
    output: FOUND
  Look up:
    block: tool-call
    tool: get-user-data
    input: {userId: u1}
    output: USER
output: USER
`,
);

export const approval = definition(
  'approval',
  `input:
  PLAN: {type: string}
variables:
  OK: {type: boolean}
steps:
  Approve:
    block: human-approval
    prompt: plan
    input: [PLAN]
    approved: OK
output: OK
`,
  { plan: 'May we {{PLAN}}?' },
);

const WAIT = `input:
  FOR: {type: string}
steps:
  Rest:
    block: wait
    for: FOR
`;

export const rest = definition('rest', WAIT);

/** Answers with an object, and then writes down what was said. */
export const review = definition(
  'review',
  `input:
  TOPIC: {type: string}
variables:
  REVIEW: {type: Review}
  TALK: {type: string}
types:
  Review:
    title: {type: string}
    stars: {type: integer}
steps:
  Open:
    block: start-thread
    thread: talk
    model: openai/scripted
    system: system
  Ask:
    block: add-message
    thread: talk
    role: user
    prompt: ask
    input: [TOPIC]
  Review:
    block: next-message
    thread: talk
    responseType: Review
    output: REVIEW
  Write down:
    block: serialize-thread
    thread: talk
    description: Writing down
    output: TALK
output: TALK
`,
  TALK,
);

/** Waits for something that is no duration. */
export const nonsense = definition('nonsense', WAIT);
