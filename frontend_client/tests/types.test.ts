/* What the compiler has to say: `npm run check` compiles this file. */
import { createClient, type SupabaseClient } from '@supabase/supabase-js';
import type { SupabaseClient as SupabaseClient50 } from 'supabase-js-2.50';
import type { SupabaseClient as SupabaseClient109 } from 'supabase-js-2.109';
import { describe, expectTypeOf, it } from 'vitest';
import {
  type AgentTask,
  type AgentTaskError,
  type AgentTaskEvent,
  type AgentTaskRequest,
  type AnySupabaseClient,
  configureAgentWorker,
  createAgentTasks,
  isEvent,
  type streamAgentTask,
  type submitAgentTask,
  type subscribeToAgentTasks,
} from '../src/index.js';
import type { useAgentTask, useHumanTasks } from '../src/react/index.js';

type MyDatabase = {
  public: {
    Tables: { notes: { Row: { id: number }; Insert: { id?: number }; Update: { id?: number }; Relationships: [] } };
    Views: Record<never, never>;
    Functions: Record<never, never>;
  };
};

describe('types', () => {
  it('take a client with any schema', () => {
    expectTypeOf<SupabaseClient<MyDatabase>>().toExtend<AnySupabaseClient>();
    expectTypeOf<SupabaseClient>().toExtend<AnySupabaseClient>();
    expectTypeOf<SupabaseClient109<MyDatabase>>().toExtend<AnySupabaseClient>();
    expectTypeOf<SupabaseClient50<MyDatabase>>().toExtend<AnySupabaseClient>();
    expectTypeOf<{ from: () => void }>().not.toExtend<AnySupabaseClient>();
    expectTypeOf(configureAgentWorker).toBeCallableWith({
      supabase: createClient<MyDatabase>('http://localhost', 'key'),
    });
    expectTypeOf(createAgentTasks).toBeCallableWith(createClient('http://localhost', 'key'));
  });

  it('give the answer as text that can be rendered', () => {
    expectTypeOf<Awaited<ReturnType<typeof submitAgentTask>>>().toEqualTypeOf<AgentTask>();
    expectTypeOf<NonNullable<AgentTask['response_payload']>['answer']>().toEqualTypeOf<string | undefined>();
    expectTypeOf<ReturnType<typeof useAgentTask>['currentTask']>().toEqualTypeOf<AgentTask | null>();
    expectTypeOf<ReturnType<typeof useAgentTask>['error']>().toEqualTypeOf<AgentTaskError | null>();
  });

  it('know the status, and the columns of a request', () => {
    expectTypeOf<AgentTask['status']>().toEqualTypeOf<
      'pending' | 'processing' | 'waiting' | 'completed' | 'failed' | 'cancelled'
    >();
    expectTypeOf<{ prompt: string; context: { page: number }; anything: Date[] }>().toExtend<AgentTaskRequest>();
    expectTypeOf<{ priority: string }>().not.toExtend<AgentTaskRequest>();
    expectTypeOf<{ runAt: number }>().not.toExtend<AgentTaskRequest>();
  });

  it('narrow events', () => {
    const read = (event: AgentTaskEvent) => {
      if (isEvent(event, 'text-delta')) expectTypeOf(event.data.delta).toEqualTypeOf<string>();
      if (isEvent(event, 'attempt-start')) expectTypeOf(event.data.keep).toEqualTypeOf<string[]>();
    };
    expectTypeOf(read).toBeFunction();
    expectTypeOf<ReturnType<typeof streamAgentTask>>().toExtend<AsyncIterable<AgentTaskEvent>>();
  });

  it('stop what was begun with a function', () => {
    expectTypeOf<ReturnType<typeof subscribeToAgentTasks>>().toEqualTypeOf<() => void>();
    expectTypeOf<ReturnType<typeof useHumanTasks>['answer']>().parameter(0).toEqualTypeOf<string>();
  });
});
