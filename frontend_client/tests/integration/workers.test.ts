/*
 * Against a real gateway with a real worker; `pytest tests/frontend/test_workers.py` starts both and a scripted model,
 * and says where they are.
 */
import { createClient } from '@supabase/supabase-js';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import {
  isAbortError,
  AgentWorkerClient as OctavusClient,
  type StreamEvent,
  type ToolResult,
  toSSEStream,
  WorkerError,
} from '../../src/workers/index.js';
import { until } from '../project.js';
import * as definitions from './definitions.js';

const { AGENT_WORKER_URL: url = '', AGENT_WORKER_KEY: key = '', AGENT_WORKER_SECRET_KEY: secret = '' } = process.env;

const client = new OctavusClient({ baseUrl: url, apiKey: secret });

async function all(events: AsyncIterable<StreamEvent>): Promise<StreamEvent[]> {
  const seen: StreamEvent[] = [];
  for await (const event of events) seen.push(event);
  return seen;
}

/** Events without what differs from run to run. */
function shapes(events: readonly StreamEvent[]): string[] {
  return events
    .map(({ type }) => type)
    .filter((type, index, types) => type !== 'text-delta' || types[index - 1] !== type);
}

const textOf = (events: readonly StreamEvent[]) =>
  events.map((event) => (event.type === 'text-delta' ? event.delta : '')).join('');

const performWebSearch = async (query: unknown) => [`All about ${query}.`];

const search = performWebSearch;

/** A route of a web framework, as the guide has it. */
async function POST(request: Request) {
  const { agentId, input } = await request.json();

  const events = client.workers.execute(agentId, input, {
    tools: {
      'web-search': async (args) => await search(args.query),
    },
  });

  return new Response(toSSEStream(events), {
    headers: { 'Content-Type': 'text/event-stream' },
  });
}

describe.skipIf(url === '' || secret === '')('workers', () => {
  beforeAll(async () => {
    for (const definition of Object.values(definitions)) await client.agents.create(definition);
  });

  describe('as the guide has it', () => {
    it('are executed, and say what they do (basic usage)', async () => {
      const print = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
      const log = vi.spyOn(console, 'log').mockReturnValue();
      const agentId = (await client.agents.get('research')).id;

      // Execute a worker
      const events = client.workers.execute(
        agentId,
        { TOPIC: 'AI safety', DEPTH: 'detailed' },
        { tools: { 'web-search': ({ query }) => performWebSearch(query) } },
      );

      // Process events
      for await (const event of events) {
        if (event.type === 'worker-start') {
          console.log(`Worker ${event.workerSlug} started`);
        }
        if (event.type === 'text-delta') {
          process.stdout.write(event.delta);
        }
        if (event.type === 'worker-result') {
          console.log('Output:', event.output);
        }
      }

      const said = print.mock.calls.map(([piece]) => piece).join('');
      expect(log.mock.calls).toEqual([['Worker research started'], ['Output:', said]]);
      expect(said).toBe('Found: ["All about AI safety."]');
    });

    it('have tools run by handlers, and those without are asked for (tool handlers)', async () => {
      const searchWeb = performWebSearch;
      const db = { users: { findById: async (id: unknown) => ({ id, name: 'Ann' }) } };

      const events = client.workers.execute(
        'two-tools',
        { TOPIC: 'AI safety' },
        {
          tools: {
            'web-search': async (args) => {
              const results = await searchWeb(args.query);
              return results;
            },
            'get-user-data': async (args) => {
              return await db.users.findById(args.userId);
            },
          },
        },
      );

      const seen = await all(events);
      expect(seen.filter(({ type }) => type === 'tool-output-available')).toMatchObject([
        { output: ['All about AI safety.'] },
        { output: { id: 'u1', name: 'Ann' } },
      ]);
      expect(seen.filter(({ type }) => type === 'start')).toHaveLength(3);
      expect(shapes(seen)).not.toContain('tool-request');
    });

    it('say every kind of event that the table lists (stream events)', async () => {
      const executed = await all(client.workers.execute('research', { TOPIC: 'tea' }));
      const asked = executed.find((event) => event.type === 'client-tool-request');
      expect(asked).toBeDefined();
      if (asked?.type !== 'client-tool-request') return;
      const results = asked.toolCalls.map(({ toolCallId }) => ({ toolCallId, result: ['tea'] }));
      const continued = await all(client.workers.continue('research', asked.executionId, results));
      const failed = await all(client.workers.execute('research', {}));

      const seen = [...executed, ...continued, ...failed];
      const table = ['start', 'finish', 'text-start', 'text-delta', 'text-end', 'block-start', 'block-end'];
      const more = ['tool-input-available', 'tool-output-available', 'client-tool-request', 'error', 'usage'];
      expect(new Set(seen.map(({ type }) => type))).toEqual(
        new Set([
          ...table,
          ...more,
          'worker-start',
          'worker-result',
          'tool-input-start',
          'tool-input-delta',
          'tool-input-end',
        ]),
      );
      expect(seen.find(({ type }) => type === 'worker-start')).toEqual({
        type: 'worker-start',
        workerId: asked.executionId,
        workerSlug: 'research',
        input: { TOPIC: 'tea', DEPTH: 'NONE' },
      });
      expect(seen.find(({ type }) => type === 'worker-result')).toEqual({
        type: 'worker-result',
        workerId: asked.executionId,
        output: 'Found: ["tea"]',
      });
    });

    it('give their output (extracting output)', async () => {
      async function executeWorker(
        client: OctavusClient,
        agentId: string,
        input: Record<string, unknown>,
      ): Promise<unknown> {
        const events = client.workers.execute(agentId, input);

        for await (const event of events) {
          if (event.type === 'worker-result') {
            if (event.error) {
              throw new Error(event.error);
            }
            return event.output;
          }
        }

        return undefined;
      }

      // Usage
      const analysis = await executeWorker(client, 'answer', { TOPIC: 'AI' });

      expect(analysis).toBe('You asked: AI');
      await expect(executeWorker(client, 'answer', { TOPIC: 'refuse this' })).rejects.toThrow();
    });

    it('are continued with what the client did (client tool continuation)', async () => {
      const agentId = 'two-tools';
      const input = { TOPIC: 'tea' };
      const executeClientTools = async (calls: readonly { toolCallId: string; toolName: string }[]) =>
        calls.map(({ toolCallId, toolName }): ToolResult => ({ toolCallId, result: toolName }));
      const rest: StreamEvent[] = [];

      for await (const event of client.workers.execute(agentId, input)) {
        if (event.type === 'client-tool-request') {
          // Execute tools client-side
          const results = await executeClientTools(event.toolCalls);

          // Continue execution
          for await (const ev of client.workers.continue(agentId, event.executionId, results)) {
            // Handle remaining events
            rest.push(ev);
          }
          break;
        }
      }

      const next = rest.find((event) => event.type === 'client-tool-request');
      expect(next).toMatchObject({
        toolCalls: [{ toolCallId: expect.any(String), toolName: 'get-user-data', args: { userId: 'u1' } }],
      });
      if (next?.type !== 'client-tool-request') return;
      expect(await client.workers.status(agentId, next.executionId)).toMatchObject({ status: 'waiting' });
      const results = await executeClientTools(next.toolCalls);
      const end = await all(client.workers.continue(agentId, next.executionId, results));
      expect(end).toContainEqual({ type: 'worker-result', workerId: next.executionId, output: 'get-user-data' });
    });

    it('are passed on to a browser (streaming to HTTP response)', async () => {
      const body = JSON.stringify({ agentId: 'research', input: { TOPIC: 'tea' } });
      const response = await POST(new Request('http://localhost/', { method: 'POST', body }));

      const frames = (await response.text()).split('\n\n');
      expect(response.headers.get('content-type')).toBe('text/event-stream');
      expect(frames.slice(-2)).toEqual(['data: [DONE]', '']);
      const events = frames.slice(0, -2).map((frame) => JSON.parse(frame.replace(/^data: /, '')) as StreamEvent);
      expect(textOf(events)).toBe('Found: ["All about tea."]');
    });

    it('are cancelled by a signal (cancellation)', async () => {
      const controller = new AbortController();
      let executionId = '';
      let last: StreamEvent | null = null;

      const events = client.workers.execute('answer', { TOPIC: 'slowly' }, { signal: controller.signal });

      try {
        for await (const event of events) {
          // Process events
          last = event;
          if (event.type === 'start') executionId = event.executionId ?? '';
          if (event.type === 'text-delta') controller.abort();
        }
      } catch (error) {
        if (isAbortError(error)) {
          console.log('Worker cancelled');
        }
      }

      expect(last).toEqual({ type: 'finish', finishReason: 'stop', executionId });
      await until(async () => (await client.workers.status('answer', executionId)).status === 'cancelled');
    });

    it('tell their errors in the stream and in the result (error handling)', async () => {
      const print = vi.spyOn(console, 'error').mockReturnValue();

      for await (const event of client.workers.execute('answer', { TOPIC: 'refuse this' })) {
        // Stream-level error event
        if (event.type === 'error') {
          console.error(`Error: ${event.message}`);
          console.error(`Type: ${event.errorType}`);
          console.error(`Retryable: ${event.retryable}`);
        }

        // Worker-level error in result
        if (event.type === 'worker-result' && event.error) {
          console.error(`Worker failed: ${event.error}`);
        }
      }

      expect(print.mock.calls.flat()).toEqual([
        expect.stringMatching(/^Worker failed: ./),
        expect.stringMatching(/^Error: ./),
        'Type: provider_error',
        'Retryable: false',
      ]);
    });

    it.each([
      ['validation_error', 'research', {}],
      ['validation_error', 'research', { TOPIC: 7 }],
      ['not_found_error', 'nobody', {}],
      ['provider_error', 'answer', { TOPIC: 'refuse this' }],
      ['tool_error', 'one-tool', { TOPIC: 'tea' }],
      ['execution_error', 'nonsense', { FOR: 'a while' }],
    ])('fail as the table has it: %s', async (errorType, agentId, input) => {
      const search = () => Promise.reject(new Error('No network.'));

      const events = await all(client.workers.execute(agentId, input, { tools: { 'web-search': search } }));

      expect(events.filter(({ type }) => type === 'error')).toMatchObject([{ errorType, message: expect.any(String) }]);
      expect(events.at(-1)?.type).toBe('error');
      const error = await client.workers
        .generate(agentId, input, { tools: { 'web-search': search } })
        .catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(WorkerError);
      expect(error).toMatchObject({ errorType });
    });

    it('are what the full example does', async () => {
      const print = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
      const log = vi.spyOn(console, 'log').mockReturnValue();

      async function runResearchWorker(topic: string) {
        console.log(`Researching: ${topic}\n`);

        const events = client.workers.execute(
          'research',
          {
            TOPIC: topic,
            DEPTH: 'detailed',
          },
          {
            tools: {
              'web-search': async ({ query }) => {
                console.log(`Searching: ${query}`);
                return await performWebSearch(query);
              },
            },
          },
        );

        let output: unknown;

        for await (const event of events) {
          switch (event.type) {
            case 'worker-start':
              console.log(`Started: ${event.workerSlug}`);
              break;

            case 'block-start':
              console.log(`Step: ${event.blockName}`);
              break;

            case 'text-delta':
              process.stdout.write(event.delta);
              break;

            case 'worker-result':
              if (event.error) {
                throw new Error(event.error);
              }
              output = event.output;
              break;

            case 'error':
              throw new Error(event.message);
          }
        }

        console.log('\n\nResearch complete!');
        return output;
      }

      // Run the worker
      const result = await runResearchWorker('AI safety best practices');

      expect(result).toBe('Found: ["All about AI safety best practices."]');
      expect(print.mock.calls.map(([piece]) => piece).join('')).toBe(result);
      expect(log.mock.calls.flat()).toEqual([
        'Researching: AI safety best practices\n',
        'Started: research',
        'Step: Research',
        'Searching: AI safety best practices',
        '\n\nResearch complete!',
      ]);
    });
  });

  it('give their output without their stream', async () => {
    expect(await client.workers.generate('answer', { TOPIC: 'AI' })).toEqual({
      executionId: expect.any(String),
      output: 'You asked: AI',
      usage: {
        cost: expect.objectContaining({ currency: 'USD', byok: true }),
        tokens: expect.objectContaining({ totalTokens: expect.any(Number) }),
      },
    });
  });

  it('ask a person as they ask a tool', async () => {
    const ask = vi.fn(() => ({ approved: true }));
    const options = { tools: { agent_worker_human_approval: ask } };

    expect(await client.workers.generate('approval', { PLAN: 'go on' }, options)).toMatchObject({ output: true });

    expect(ask.mock.calls).toEqual([
      [
        expect.objectContaining({ title: expect.any(String) }),
        expect.objectContaining({ toolName: 'agent_worker_human_approval', toolCallId: expect.any(String) }),
      ],
    ]);
  });

  it('go on wherever connections break, and no event comes twice or is left out', async () => {
    let connections = 0;
    /** Each connection carries a little more than the last one, and then breaks. */
    const breaking: typeof fetch = async (input, init) => {
      const response = await fetch(input, init);
      connections += 1;
      if (response.body === null || !response.ok) return response;
      let left = 150 * connections;
      const cut = new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          controller.enqueue(chunk.slice(0, left));
          left -= chunk.length;
          if (left <= 0) controller.error(new TypeError('cut'));
        },
      });
      return new Response(response.body.pipeThrough(cut), response);
    };
    const broken = new OctavusClient({ baseUrl: url, apiKey: secret, fetch: breaking });
    const tools = {
      'web-search': ({ query }: { query: string }) => performWebSearch(query),
      'get-user-data': () => 'Ann',
    };

    const events = await all(broken.workers.execute('two-tools', { TOPIC: 'tea' }, { tools }));

    const whole = await all(client.workers.execute('two-tools', { TOPIC: 'tea' }, { tools }));
    expect(connections).toBeGreaterThan(5);
    expect(shapes(events)).toEqual(shapes(whole));
    const start = events[0];
    const id = start?.type === 'start' ? start.executionId : '';
    const replay = await fetch(`${url}/api/agents/two-tools/executions/${id}/events`, {
      headers: { apikey: secret, accept: 'application/json' },
    });
    const stored = ((await replay.json()) as { events: StreamEvent[] }).events;
    const asks = (event: StreamEvent) =>
      event.type === 'tool-request' || (event.type === 'finish' && event.finishReason === 'tool-calls');
    expect(events).toEqual(stored.filter((event) => !asks(event)));
  });

  it('run once for one key, whoever starts them how often', async () => {
    const idempotencyKey = crypto.randomUUID();
    const start = () => all(client.workers.execute('answer', { TOPIC: 'AI' }, { idempotencyKey }));

    const [first, ...others] = await Promise.all([start(), start(), start()]);

    for (const other of others) expect(other).toEqual(first);
    const changed = await all(client.workers.execute('answer', { TOPIC: 'BI' }, { idempotencyKey }));
    expect(changed).toMatchObject([{ type: 'error', code: 'idempotency_mismatch' }]);
  });

  it('are stopped by leaving the loop, unless they have a key of the caller', async () => {
    async function left(options: { idempotencyKey?: string }): Promise<string> {
      let executionId = '';
      for await (const event of client.workers.execute('answer', { TOPIC: 'slowly' }, options)) {
        if (event.type === 'start') executionId = event.executionId ?? '';
        if (event.type === 'text-delta') break;
      }
      return executionId;
    }

    const [stopped, kept] = await Promise.all([left({}), left({ idempotencyKey: crypto.randomUUID() })]);

    await until(async () => (await client.workers.status('answer', stopped)).status === 'cancelled');
    expect(await client.workers.status('answer', kept)).toMatchObject({ status: 'processing' });
    await client.workers.cancel('answer', kept);
    await until(async () => (await client.workers.status('answer', kept)).status === 'cancelled');
  });

  it('are stopped before they have said anything', async () => {
    const controller = new AbortController();
    const events = all(client.workers.execute('rest', { FOR: '1h' }, { signal: controller.signal }));
    setTimeout(() => controller.abort(), 20);

    expect((await events).at(-1)).toMatchObject({ type: 'finish', finishReason: 'stop' });
  });

  it('are for users as well, who see their own runs only, and no definitions', async () => {
    async function user() {
      const supabase = createClient(url, key, { auth: { persistSession: false, storageKey: crypto.randomUUID() } });
      const { data } = await supabase.auth.signInAnonymously();
      await supabase.auth.stopAutoRefresh();
      return new OctavusClient({ baseUrl: url, apiKey: key, accessToken: data.session?.access_token ?? '' });
    }
    const [ann, bob] = await Promise.all([user(), user()]);

    const { executionId, output } = await ann.workers.generate('answer', { TOPIC: 'AI' });

    expect(output).toBe('You asked: AI');
    expect(await ann.workers.status('answer', executionId)).toMatchObject({ status: 'completed', output });
    await expect(bob.workers.status('answer', executionId)).rejects.toMatchObject({ errorType: 'not_found_error' });
    await expect(bob.workers.cancel('answer', executionId)).rejects.toMatchObject({ errorType: 'not_found_error' });
    await expect(ann.agents.list()).rejects.toMatchObject({ errorType: 'permission_error' });
    const nobody = new OctavusClient({ baseUrl: url, apiKey: key });
    await expect(nobody.workers.generate('answer', {})).rejects.toMatchObject({ errorType: 'authentication_error' });
  });

  it('are kept by version', async () => {
    const definition = { ...definitions.answer, settings: { ...definitions.answer.settings, slug: 'versions' } };
    const { agentId } = await client.agents.create(definition);

    expect(await client.agents.list()).toContainEqual(
      expect.objectContaining({ id: agentId, slug: 'versions', name: 'answer', format: 'worker' }),
    );
    expect(await client.agents.get('versions')).toMatchObject({ ...definition, id: agentId });
    expect((await client.agents.update(agentId, { protocol: definition.protocol })).agentId).toBe(agentId);
    await expect(client.agents.create(definition)).rejects.toMatchObject({ status: 409 });
    await expect(client.agents.update('versions', { protocol: 'steps: 7' })).rejects.toMatchObject({ status: 400 });
    expect(await client.agents.validate(definition)).toMatchObject({ valid: true, errors: [] });
    expect(await client.agents.validate({ ...definition, protocol: 'steps: 7' })).toMatchObject({
      valid: false,
      errors: [{ severity: 'error', message: expect.any(String) }],
    });
    await client.agents.delete('versions');
    await expect(client.agents.get('versions')).rejects.toMatchObject({ errorType: 'not_found_error' });
  });
});
