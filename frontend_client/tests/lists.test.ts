import { beforeEach, expect, it, onTestFinished } from 'vitest';
import type { Client } from '../src/core/client.js';
import { questionRows, taskRows } from '../src/core/live-rows.js';
import { answerHumanTask, configureAgentWorker, subscribeToAgentTasks, TaskNotFound } from '../src/index.js';
import { startProject, until } from './project.js';
import type { ScriptedProject } from './server.js';

let project: ScriptedProject;
let supabase: Client;

beforeEach(async () => {
  ({ project, supabase } = await startProject());
  configureAgentWorker({ supabase });
});

function started(...options: Parameters<typeof taskRows>) {
  const list = taskRows(...options);
  onTestFinished(list.start());
  return list;
}

const kinds = (list: ReturnType<typeof taskRows>) => list.snapshot().rows.map(({ kind }) => kind);

it('a list shows the newest first, and follows what is inserted, changed and deleted', async () => {
  project.add({ kind: 'a' });
  const second = project.add({ kind: 'b' });
  const list = started({});
  await until(() => list.snapshot().isLive && !list.snapshot().isLoading);
  expect(kinds(list)).toEqual(['b', 'a']);

  project.add({ kind: 'c' });
  await until(() => kinds(list).join() === 'c,b,a');
  project.complete(second.id, 'done');
  await until(() => list.snapshot().rows[1]?.status === 'completed');
  project.tell('DELETE', 'agent_task_requests', second);
  await until(() => kinds(list).join() === 'c,a');
});

it('a list keeps to its filter and its limit', async () => {
  const tasks = ['a', 'b', 'c'].map((kind) => project.add({ kind }));
  const list = started({ status: ['pending', 'processing'], limit: 2 });
  await until(() => list.snapshot().isLive && kinds(list).join() === 'c,b');

  project.complete(tasks[2]?.id, 'done');

  await until(() => kinds(list).join() === 'b,a');
});

it('a list reads its rows again after the connection was lost', async () => {
  const list = started({});
  await until(() => list.snapshot().isLive);
  project.isDeaf = true;
  project.cut();
  await until(() => !list.snapshot().isLive);
  project.add({ kind: 'missed' });
  project.isDeaf = false;

  await until(() => kinds(list).join() === 'missed');
});

it('a list says what is wrong, goes on trying, and heals', async () => {
  project.isDown = true;
  const list = started({});
  await until(() => list.snapshot().error?.code === 'unreachable');
  project.isDown = false;

  await until(() => !list.snapshot().isLoading);
  expect(list.snapshot().error).toBeNull();
});

it('subscribeToAgentTasks tells new tasks and changes once, and not what was there before', async () => {
  const old = project.add({ kind: 'old' });
  const told: string[] = [];
  const stop = subscribeToAgentTasks((task) => told.push(`${task.kind} ${task.status}`));
  onTestFinished(stop);
  // The list reads again once changes flow, and only after it has read for the first time.
  await until(() => project.topics.length === 1 && project.requests.length >= 2);

  project.add({ kind: 'new' });
  project.complete(old.id, 'done');
  await until(() => told.length === 2);
  stop();
  project.add({ kind: 'later' });
  await until(() => project.topics.length === 0);

  expect(told).toEqual(['new pending', 'old completed']);
});

it('an answered question leaves the list of those that wait', async () => {
  const question = project.ask(project.add().id);
  const list = questionRows({ status: 'pending' });
  onTestFinished(list.start());
  await until(() => list.snapshot().rows.length === 1);

  const answered = await answerHumanTask(`${question.id}`, { approved: true });

  expect([answered.status, answered.response]).toEqual(['completed', { approved: true }]);
  await until(() => list.snapshot().rows.length === 0);
  await expect(answerHumanTask('5f0c1bd2-3a46-4c09-a3a5-000000000009', {})).rejects.toBeInstanceOf(TaskNotFound);
});
