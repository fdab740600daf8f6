import { createClient as createClient50 } from 'supabase-js-2.50';
import { createClient as createClient109 } from 'supabase-js-2.109';
import { beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import type { Client } from '../src/core/client.js';
import {
  type AgentTask,
  cancelAgentTask,
  configureAgentWorker,
  createAgentTasks,
  DuplicateTask,
  getTaskStatus,
  submitAgentTask,
  submitAgentTaskAsync,
  TaskCancelled,
  TaskFailed,
  TaskNotFound,
  TaskRefused,
  TaskTimeout,
  Unreachable,
  waitForAgentTask,
} from '../src/index.js';
import { startProject, until } from './project.js';
import type { ScriptedProject } from './server.js';

let project: ScriptedProject;
let supabase: Client;

beforeEach(async () => {
  ({ project, supabase } = await startProject());
  configureAgentWorker({ supabase });
});

const reads = () => project.requests.filter((request) => request === 'GET agent_task_requests').length;
const live = () => until(() => project.topics.some((topic) => topic.startsWith('task:')));

describe('submitAgentTask', () => {
  it('resolves with the completed row and tells each status once', async () => {
    const seen: string[] = [];
    const answered = submitAgentTask({ prompt: 'Hello', context: { page: 3 } }, (task) => seen.push(task.status));
    await live();
    const id = project.tables.agent_task_requests[0]?.id;
    project.change(id, { status: 'processing' });
    project.complete(id, 'Hi.');

    const task = await answered;

    expect(task.response_payload?.answer).toBe('Hi.');
    expect(task.request_payload).toEqual({ prompt: 'Hello', context: { page: 3 } });
    expect(seen).toEqual(['pending', 'processing', 'completed']);
    await until(() => project.topics.length === 0);
  });

  it('resolves when the task completes before anybody listens', async () => {
    project.onInsert = ({ id }) => project.complete(id, 'quick');

    const task = await submitAgentTask('Hello');

    expect(task.response_payload?.answer).toBe('quick');
  });

  it('resolves by looking when changes never flow', async () => {
    project.isDeaf = true;
    project.onInsert = ({ id }) => void setTimeout(() => project.complete(id, 'seen'), 50);

    expect((await submitAgentTask('Hello')).response_payload?.answer).toBe('seen');
  });

  it('looks again after the socket was cut, so that what happened meanwhile is not lost', async () => {
    const answered = submitAgentTask('Hello');
    await live();
    project.isDeaf = true;
    project.cut();
    project.complete(project.tables.agent_task_requests[0]?.id, 'while away');
    project.isDeaf = false;

    expect((await answered).response_payload?.answer).toBe('while away');
  });

  it('opens its channel again when the server has closed it', async () => {
    const answered = submitAgentTask('Hello');
    await live();
    project.closeChannels();
    await live();
    project.complete(project.tables.agent_task_requests[0]?.id, 'still here');

    expect((await answered).response_payload?.answer).toBe('still here');
  });

  it('listens to the tables on a public topic where private ones are refused', async () => {
    project.refusePrivate = 'Unauthorized: You do not have permissions to read from this Channel topic';
    const answered = submitAgentTask('Hello');
    await live();
    const id = project.tables.agent_task_requests[0]?.id;
    project.complete(id, 'public');

    expect((await answered).response_payload?.answer).toBe('public');
    expect(project.joins).toEqual([`private:task:${id}`, `task:${id}`]);
  });

  it('reads the row when a change was too large to be told', async () => {
    const answered = submitAgentTask('Hello');
    await live();
    const id = project.tables.agent_task_requests[0]?.id;
    project.isDeaf = true;
    const { response_payload: _, ...rest } = project.complete(id, 'x'.repeat(2_000_000));
    project.isDeaf = false;
    const before = reads();
    project.tell('UPDATE', 'agent_task_requests', rest, ['Error 413: Payload Too Large']);

    expect((await answered).response_payload?.answer).toHaveLength(2_000_000);
    expect(reads()).toBeGreaterThan(before);
  });

  it('takes a change without the request payload, which an update leaves out when it is large', async () => {
    const answered = submitAgentTask({ prompt: 'long' });
    await live();
    const id = project.tables.agent_task_requests[0]?.id;
    await until(() => reads() >= 1);
    const before = reads();
    project.isDeaf = true;
    const { request_payload: _, ...rest } = project.complete(id, 'short');
    project.isDeaf = false;
    project.tell('UPDATE', 'agent_task_requests', rest);

    expect((await answered).request_payload).toEqual({ prompt: 'long' });
    expect(reads()).toBe(before);
  });

  it('writes one row when the reply to an insert is lost', async () => {
    project.lostReplies = 1;
    const answered = submitAgentTask('Hello');
    await live();
    project.complete(project.tables.agent_task_requests[0]?.id, 'once');

    expect((await answered).response_payload?.answer).toBe('once');
    expect(project.tables.agent_task_requests).toHaveLength(1);
  });

  it('rejects with the code and the row of a task that failed', async () => {
    project.onInsert = ({ id }) => {
      const response_payload = { error: 'Slow down.', code: 'rate_limited', retryable: true };
      project.change(id, { status: 'failed', response_payload });
    };

    const error = await submitAgentTask('Hello').catch((thrown) => thrown);

    expect(error).toBeInstanceOf(TaskFailed);
    expect(error).toMatchObject({ code: 'rate_limited', message: 'Slow down.', retryable: true });
    expect(error.task.status).toBe('failed');
  });

  it('rejects when the database refuses the row, with its sentence and hint', async () => {
    const body = { code: '23514', message: 'priority must be 0 to 9', hint: 'Take less.', details: null };
    project.refusal = { status: 400, body };

    const error = await submitAgentTask({ prompt: 'Hello', priority: 99 }).catch((thrown) => thrown);

    expect(error).toBeInstanceOf(TaskRefused);
    expect(error).toMatchObject({ code: '23514', message: 'priority must be 0 to 9', hint: 'Take less.' });
  });

  it('rejects a duplicate as such', async () => {
    const { id } = project.add();
    await expect(submitAgentTask({ prompt: 'Hello', id: `${id}` })).rejects.toBeInstanceOf(DuplicateTask);
  });

  it('rejects with Unreachable when nobody answers, after several tries', async () => {
    project.isDown = true;
    await expect(submitAgentTask('Hello')).rejects.toBeInstanceOf(Unreachable);
    expect(project.requests).toHaveLength(4);
  });

  it('stops waiting after the timeout, and leaves the task alone', async () => {
    const error = await submitAgentTask('Hello', undefined, { timeoutMs: 20 }).catch((thrown) => thrown);

    expect(error).toBeInstanceOf(TaskTimeout);
    expect(project.task(error.taskId).cancel_requested_at).toBeNull();
    await until(() => project.topics.length === 0);
  });

  it('stops waiting when it is aborted', async () => {
    const stop = new AbortController();
    const answered = submitAgentTask('Hello', undefined, { signal: stop.signal });
    await live();
    stop.abort(new Error('left the page'));

    await expect(answered).rejects.toThrow('left the page');
    await until(() => project.topics.length === 0);
  });

  it('rejects when the task is deleted', async () => {
    const answered = submitAgentTask('Hello');
    await live();
    const [task] = project.tables.agent_task_requests.splice(0);
    project.tell('DELETE', 'agent_task_requests', task ?? {});

    await expect(answered).rejects.toBeInstanceOf(TaskNotFound);
  });
});

it('writes every option into its column, and nothing that was not said', async () => {
  const row = await submitAgentTaskAsync({
    prompt: 'Hello',
    pages: [1, 2],
    payload: { priority: 'field of the input' },
    kind: 'summary',
    enterpriseId: 'acme',
    priority: 5,
    runAt: new Date('2030-01-01T00:00:00Z'),
    maxAttempts: 2,
    attemptTimeoutS: 60,
    dedupeKey: 'weekly',
    userId: '5f0c1bd2-3a46-4c09-a3a5-000000000001',
    id: '5f0c1bd2-3a46-4c09-a3a5-000000000002',
  });

  expect(row).toMatchObject({
    kind: 'summary',
    enterprise_id: 'acme',
    priority: 5,
    run_at: '2030-01-01T00:00:00.000Z',
    max_attempts: 2,
    timeout_s: 60,
    dedupe_key: 'weekly',
    user_id: '5f0c1bd2-3a46-4c09-a3a5-000000000001',
    id: '5f0c1bd2-3a46-4c09-a3a5-000000000002',
    request_payload: { prompt: 'Hello', pages: [1, 2], priority: 'field of the input' },
  });
});

it('cancels a task, and whoever waits for it learns of it', async () => {
  const answered = submitAgentTask('Hello');
  const rejected = expect(answered).rejects.toBeInstanceOf(TaskCancelled);
  await live();
  const id = `${project.tables.agent_task_requests[0]?.id}`;

  expect((await cancelAgentTask(id)).status).toBe('cancelled');
  await rejected;
});

it('says that there is no such task', async () => {
  const id = '5f0c1bd2-3a46-4c09-a3a5-000000000009';
  await expect(getTaskStatus(id)).rejects.toBeInstanceOf(TaskNotFound);
  await expect(cancelAgentTask(id)).rejects.toBeInstanceOf(TaskNotFound);
  await expect(waitForAgentTask(id)).rejects.toBeInstanceOf(TaskNotFound);
});

it('lets two who wait for one task share a channel', async () => {
  const { id } = project.add();
  const both = [waitForAgentTask(`${id}`), waitForAgentTask(`${id}`)];
  await live();
  project.complete(id, 'both');

  const answers = await Promise.all(both);

  expect(answers.map((task) => task.response_payload?.answer)).toEqual(['both', 'both']);
  expect(project.joins).toEqual([`private:task:${id}`]);
});

it.each([
  ['2.50', createClient50],
  ['2.109', createClient109],
] as const)('works over supabase-js %s', async (_, create) => {
  const older = (create as typeof createClient109)(project.url, 'key', {
    realtime: { transport: WebSocket as never },
    auth: { persistSession: false },
  });
  const seen: AgentTask['status'][] = [];
  const answered = createAgentTasks(older).submit('Hello', (task) => seen.push(task.status));
  await live();
  const id = project.tables.agent_task_requests[0]?.id;
  project.change(id, { status: 'processing' });
  await until(() => seen.includes('processing'));
  project.complete(id, 'older');

  expect((await answered).response_payload?.answer).toBe('older');
  expect(seen).toEqual(['pending', 'processing', 'completed']);
  await until(() => project.topics.length === 0);
  older.realtime.disconnect();
});
