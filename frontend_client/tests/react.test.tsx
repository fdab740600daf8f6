// @vitest-environment jsdom
import { act, cleanup, renderHook } from '@testing-library/react';
import { StrictMode } from 'react';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Client } from '../src/core/client.js';
import {
  type AgentTaskError,
  configureAgentWorker,
  TaskCancelled,
  TaskFailed,
  TaskRefused,
  TaskTimeout,
} from '../src/index.js';
import { type UseAgentTaskOptions, useAgentTask, useAgentTasks, useHumanTasks } from '../src/react/index.js';
import { startProject, until } from './project.js';
import type { ScriptedProject } from './server.js';

let project: ScriptedProject;
let supabase: Client;

beforeEach(async () => {
  ({ project, supabase } = await startProject());
  configureAgentWorker({ supabase });
});

afterEach(cleanup);

const strictly = { wrapper: StrictMode };
const only = () => project.tables.agent_task_requests[0]?.id;

/** `until`, with React's updates applied. */
const settled = (claim: () => unknown) => act(() => until(claim));

function renderTask(options: UseAgentTaskOptions = {}) {
  return renderHook((props: UseAgentTaskOptions) => useAgentTask(props), { ...strictly, initialProps: options }).result;
}

describe('useAgentTask', () => {
  it('submits, streams and completes, and calls back exactly once under StrictMode', async () => {
    const onComplete = vi.fn();
    const onError = vi.fn();
    const statuses: string[] = [];
    const onStatusChange = (task: { status: string }) => statuses.push(task.status);
    const result = renderTask({ enterpriseId: 'acme', onComplete, onError, onStatusChange });
    expect(result.current).toMatchObject({ isSubmitting: false, isProcessing: false, currentTask: null, text: '' });

    let submitted: Promise<unknown> = Promise.resolve();
    act(() => {
      submitted = result.current.submitTask({ prompt: 'Hello' });
    });
    expect(result.current.isSubmitting).toBe(true);
    await act(async () => {
      await submitted;
    });
    expect(result.current).toMatchObject({ isSubmitting: false, isProcessing: true });
    expect(project.task(only()).enterprise_id).toBe('acme');

    await settled(() => project.topics.length === 1);
    project.change(only(), { status: 'processing', attempt: 1 });
    project.say(only(), 'text-delta', { id: 'a', delta: 'Hi' });
    await settled(() => result.current.text === 'Hi');
    project.stream(only(), { seq: 2, part: 0, text: ' there' });
    await settled(() => result.current.text === 'Hi there');
    project.say(only(), 'text-delta', { id: 'a', delta: ' there.' });
    project.complete(only(), 'Hi there.');
    await settled(() => result.current.currentTask?.response_payload?.answer === 'Hi there.');
    await settled(() => project.topics.length === 0);

    expect(result.current).toMatchObject({ isProcessing: false, text: 'Hi there.', error: null });
    expect(result.current.events).toHaveLength(2);
    expect(onComplete).toHaveBeenCalledTimes(1);
    expect(onError).not.toHaveBeenCalled();
    expect(statuses).toEqual(['pending', 'processing', 'completed']);
    expect(project.tables.agent_task_requests).toHaveLength(1);
  });

  it('completes a task that was done before it could listen', async () => {
    project.onInsert = ({ id }) => project.complete(id, 'quick');
    const onComplete = vi.fn();
    const result = renderTask({ onComplete });

    await act(() => result.current.submitTask('Hello'));
    await settled(() => result.current.currentTask?.status === 'completed');

    expect(onComplete).toHaveBeenCalledTimes(1);
    expect(result.current.isProcessing).toBe(false);
  });

  it.each<[string, (id: unknown) => void, unknown]>([
    [
      'fails',
      (id) => project.change(id, { status: 'failed', response_payload: { error: 'No.', code: 'x' } }),
      TaskFailed,
    ],
    ['is cancelled', (id) => project.change(id, { status: 'cancelled' }), TaskCancelled],
  ])('reports a task that %s', async (_, end, type) => {
    const errors: AgentTaskError[] = [];
    const result = renderTask({ onError: (error) => errors.push(error) });
    await act(() => result.current.submitTask('Hello'));

    end(only());
    await settled(() => result.current.error !== null);

    expect(errors).toEqual([result.current.error]);
    expect(errors[0]).toBeInstanceOf(type);
    expect(result.current.isProcessing).toBe(false);
  });

  it('reports a refused row, and does not reject', async () => {
    project.refusal = { status: 403, body: { code: '42501', message: 'new row violates row-level security policy' } };
    const onError = vi.fn();
    const result = renderTask({ onError });

    let row: unknown;
    await act(async () => {
      row = await result.current.submitTask('Hello');
    });

    expect(row).toBeNull();
    expect(result.current.error).toBeInstanceOf(TaskRefused);
    expect(result.current.isSubmitting).toBe(false);
    expect(onError).toHaveBeenCalledTimes(1);
  });

  it('stops waiting after the timeout', async () => {
    const onError = vi.fn();
    const result = renderTask({ timeoutMs: 30, onError });
    await act(() => result.current.submitTask('Hello'));

    await settled(() => result.current.error instanceof TaskTimeout);
    project.complete(only(), 'too late');
    await settled(() => project.topics.length === 0);

    expect(onError).toHaveBeenCalledTimes(1);
    expect(result.current).toMatchObject({ isProcessing: false, currentTask: { status: 'pending' } });
  });

  it('cancels the current task', async () => {
    const result = renderTask();
    await act(() => result.current.submitTask('Hello'));

    await act(() => result.current.cancel());
    await settled(() => result.current.currentTask?.status === 'cancelled');

    expect(result.current.error).toBeInstanceOf(TaskCancelled);
  });

  it('only submits when it shall not subscribe', async () => {
    const result = renderTask({ autoSubscribe: false });
    await act(() => result.current.submitTask('Hello'));

    expect(result.current).toMatchObject({ isProcessing: false, currentTask: { status: 'pending' } });
    expect(project.joins).toEqual([]);
  });

  it('forgets its task on reset, and shows the next one only', async () => {
    const onComplete = vi.fn();
    const result = renderTask({ onComplete });
    await act(() => result.current.submitTask('first'));
    const first = only();
    act(() => result.current.reset());
    expect(result.current.currentTask).toBeNull();
    await act(() => result.current.submitTask('second'));
    project.complete(first, 'first');
    project.complete(project.tables.agent_task_requests[1]?.id, 'second');
    await settled(() => result.current.currentTask?.status === 'completed');

    expect(onComplete.mock.calls.map(([task]) => task.response_payload.answer)).toEqual(['second']);
  });

  it('calls the callback of the latest render', async () => {
    const first = vi.fn();
    const second = vi.fn();
    const { result, rerender } = renderHook((onComplete: () => void) => useAgentTask({ onComplete }), {
      ...strictly,
      initialProps: first,
    });
    await act(() => result.current.submitTask('Hello'));
    rerender(second);
    project.complete(only(), 'done');
    await settled(() => result.current.currentTask?.status === 'completed');

    expect([first.mock.calls.length, second.mock.calls.length]).toEqual([0, 1]);
  });

  it('keeps its functions from render to render', async () => {
    const { result, rerender } = renderHook(() => useAgentTask(), strictly);
    const { submitTask, cancel, reset } = result.current;
    rerender();
    expect(result.current).toMatchObject({ submitTask, cancel, reset });
  });

  it('says nothing after the component is gone, and lets go of its channel', async () => {
    const onComplete = vi.fn();
    const onStatusChange = vi.fn();
    const { result, unmount } = renderHook(() => useAgentTask({ onComplete, onStatusChange }), strictly);
    await act(() => result.current.submitTask('Hello'));
    await until(() => project.topics.length === 1);
    unmount();
    await until(() => project.topics.length === 0);
    project.complete(only(), 'nobody listens');

    expect(onComplete).not.toHaveBeenCalled();
    expect(onStatusChange.mock.calls.map(([task]) => task.status)).toEqual(['pending']);
  });

  it('looks again when the page becomes visible', async () => {
    const result = renderTask();
    await act(() => result.current.submitTask('Hello'));
    await settled(() => project.topics.length === 1);
    project.isDeaf = true;
    project.complete(only(), 'while hidden');
    document.dispatchEvent(new Event('visibilitychange'));

    await settled(() => result.current.currentTask?.status === 'completed');
  });
});

it('useAgentTasks keeps a list current', async () => {
  const { result, rerender } = renderHook((kind: string | undefined) => useAgentTasks({ kind }), {
    ...strictly,
    initialProps: undefined as string | undefined,
  });
  expect(result.current).toMatchObject({ tasks: [], isLoading: true });
  await settled(() => result.current.isLive);
  const { id } = project.add({ kind: 'a' });
  await settled(() => result.current.tasks.length === 1);
  project.complete(id, 'done');
  await settled(() => result.current.tasks[0]?.status === 'completed');

  rerender('b');
  await settled(() => !result.current.isLoading && result.current.tasks.length === 0);
});

it('useHumanTasks lists what waits, and answers it', async () => {
  const { result } = renderHook(() => useHumanTasks(), strictly);
  const question = project.ask(project.add().id);
  await settled(() => result.current.tasks.length === 1);

  await act(() => result.current.answer(`${question.id}`, { approved: true }));

  expect(result.current.tasks).toEqual([]);
  expect(project.tables.human_tasks[0]?.response).toEqual({ approved: true });
});
