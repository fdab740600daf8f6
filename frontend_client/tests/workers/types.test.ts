/* What the compiler has to say: `npm run check` compiles this file. */
import { describe, expectTypeOf, it } from 'vitest';
import {
  AgentWorkerClient,
  type ErrorType,
  type FinishReason,
  type StreamEvent,
  type StreamEventOf,
  type ToolHandlers,
  type toSSEStream,
  type WorkersApi,
} from '../../src/workers/index.js';

describe('types', () => {
  it('narrow events by their type', () => {
    const read = (event: StreamEvent) => {
      switch (event.type) {
        case 'text-delta':
          return expectTypeOf(event.delta).toEqualTypeOf<string>();
        case 'worker-result':
          expectTypeOf(event.output).toEqualTypeOf<unknown>();
          return expectTypeOf(event.error).toEqualTypeOf<string | undefined>();
        case 'error':
          expectTypeOf(event.errorType).toEqualTypeOf<ErrorType>();
          return expectTypeOf(event.retryable).toEqualTypeOf<boolean>();
        case 'client-tool-request':
          expectTypeOf(event.executionId).toEqualTypeOf<string>();
          return expectTypeOf(event.toolCalls[0]?.args).toEqualTypeOf<Readonly<Record<string, unknown>> | undefined>();
        case 'source':
          return event.sourceType === 'url'
            ? expectTypeOf(event.url).toEqualTypeOf<string>()
            : expectTypeOf(event.mediaType).toEqualTypeOf<string>();
        default:
          return undefined;
      }
    };
    expectTypeOf(read).parameter(0).toEqualTypeOf<StreamEvent>();
    expectTypeOf<StreamEventOf<'finish'>['finishReason']>().toEqualTypeOf<FinishReason>();
    // @ts-expect-error there is no such event
    expectTypeOf<StreamEventOf<'no-such-event'>>().toBeNever();
    // @ts-expect-error the names of types are checked
    const wrong = (event: StreamEvent) => event.type === 'text-detla';
    expectTypeOf(wrong).toBeFunction();
  });

  it('let a handler name its arguments, or take them as they come', () => {
    expectTypeOf<{
      named: (args: { query: string }) => Promise<string[]>;
      plain: (args: Record<string, unknown>) => number;
      none: () => void;
    }>().toExtend<ToolHandlers>();
    expectTypeOf<{ wrong: (args: string) => void }>().not.toExtend<ToolHandlers>();
    expectTypeOf<{ wrong: string }>().not.toExtend<ToolHandlers>();
    const tools: ToolHandlers = {
      search: (args, { signal }) => {
        expectTypeOf(args).toEqualTypeOf<Record<string, unknown>>();
        expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
      },
    };
    expectTypeOf(tools).toEqualTypeOf<ToolHandlers>();
  });

  it('name the output of a worker', () => {
    const generate = (workers: WorkersApi) => workers.generate<string[]>('a', {});
    expectTypeOf<Awaited<ReturnType<typeof generate>>['output']>().toEqualTypeOf<string[] | undefined>();
  });

  it('take what the environment has, and give what answers take', () => {
    expectTypeOf(AgentWorkerClient).toBeConstructibleWith({ baseUrl: 'http://x', apiKey: process.env.KEY });
    expectTypeOf(AgentWorkerClient).toBeConstructibleWith({
      baseUrl: 'http://x',
      accessToken: async () => 'token',
      fetch,
    });
    // @ts-expect-error an address is needed
    expectTypeOf(AgentWorkerClient).toBeConstructibleWith({ apiKey: 'key' });
    expectTypeOf<ReturnType<typeof toSSEStream>>().toExtend<BodyInit>();
    expectTypeOf<ReturnType<WorkersApi['execute']>>().toExtend<AsyncGenerator<StreamEvent>>();
    expectTypeOf<Parameters<typeof toSSEStream>[0]>().toEqualTypeOf<AsyncIterable<{ readonly type: string }>>();
  });
});
