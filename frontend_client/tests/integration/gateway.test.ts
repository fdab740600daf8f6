/*
 * Against a real gateway with a real worker; `pytest tests/frontend` starts both and says where they are. The kinds
 * count, gate and approve are those of tests/browser/processors.py.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '@supabase/supabase-js';
import { createClient as createClient109 } from 'supabase-js-2.109';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import type { Client } from '../../src/core/client.js';
import { questionRows, taskRows } from '../../src/core/live-rows.js';
import {
  createAgentTasks,
  DuplicateTask,
  type HumanTask,
  isEvent,
  QuestionClosed,
  TaskCancelled,
  TaskNotFound,
  TaskRefused,
} from '../../src/index.js';
import { until } from '../project.js';

const { AGENT_WORKER_URL: url = '', AGENT_WORKER_KEY: key = '' } = process.env;
const folder = mkdtempSync(join(tmpdir(), 'agent-worker-client-'));
afterAll(() => rmSync(folder, { recursive: true }));

const versions = { '2.119': createClient, '2.109': createClient109 as unknown as typeof createClient };
const gate = () => join(folder, crypto.randomUUID());

describe.skipIf(url === '').each(Object.entries(versions))('over supabase-js %s', (_, create) => {
  /** A new visitor: a client and a session of its own. */
  async function visitor() {
    const supabase = create(url, key, {
      realtime: { transport: WebSocket as never, reconnectAfterMs: () => 50 },
      auth: { persistSession: false, storageKey: crypto.randomUUID() },
    }) as Client;
    onTestFinished(async () => {
      await supabase.removeAllChannels();
      await supabase.auth.stopAutoRefresh();
      supabase.realtime.disconnect();
    });
    const { data, error } = await supabase.auth.signInAnonymously();
    if (error !== null) throw error;
    return { supabase, tasks: createAgentTasks(supabase), userId: data.user?.id };
  }

  it('answers, twenty times in a row, however quick the answer is', async () => {
    const { tasks } = await visitor();
    for (let number = 0; number < 20; number += 1) {
      const statuses: string[] = [];
      const task = await tasks.submit({ kind: 'echo', prompt: `number ${number}` }, ({ status }) =>
        statuses.push(status),
      );
      expect(task.response_payload?.answer).toBe(`number ${number}`);
      expect(statuses.at(-1)).toBe('completed');
    }
  });

  it('streams every event once, in order, and the text while the task still runs', async () => {
    const { tasks } = await visitor();
    const { id } = await tasks.submitAsync({ kind: 'count', payload: { to: 12, pause_ms: 60 } });
    let text = '';
    const reading = (async () => {
      for await (const piece of tasks.streamText(id)) text = piece.restarted ? piece.text : text + piece.text;
    })();
    const seqs: number[] = [];
    let said = '';
    for await (const event of tasks.stream(id)) {
      seqs.push(event.seq);
      if (isEvent(event, 'text-delta')) said += event.data.delta;
      if (said.startsWith('3@') && !said.includes(' 12@')) expect((await tasks.status(id)).status).toBe('processing');
    }
    await reading;

    expect(seqs).toEqual(seqs.map((_, index) => index + 1));
    expect(said.match(/\d+(?=@)/g)).toEqual(Array.from({ length: 12 }, (_, index) => `${index + 1}`));
    expect(text).toBe(said);
  });

  it('writes every column of a request, as the grants allow', async () => {
    const { tasks, userId } = await visitor();
    const id = crypto.randomUUID();
    const task = await tasks.submitAsync({
      ...{ id, userId, kind: 'echo', enterpriseId: 'acme', priority: 5, runAt: new Date(Date.now() + 3_600_000) },
      ...{ maxAttempts: 2, attemptTimeoutS: 30, dedupeKey: `once-${id}`, prompt: 'later', context: { page: 1 } },
    });

    expect(task).toMatchObject({
      id,
      user_id: userId,
      enterprise_id: 'acme',
      priority: 5,
      max_attempts: 2,
      timeout_s: 30,
    });
    expect(task.request_payload).toEqual({ prompt: 'later', context: { page: 1 } });
    await expect(tasks.submitAsync({ kind: 'echo', dedupeKey: `once-${id}` })).rejects.toBeInstanceOf(DuplicateTask);
    expect((await tasks.cancel(id)).status).toBe('cancelled');
  });

  it('refuses what the database refuses, in its words', async () => {
    const { tasks } = await visitor();
    const refused = await tasks.submit({ prompt: 'x', priority: 9 }).catch((error) => error);
    expect(refused).toBeInstanceOf(TaskRefused);
    expect(refused.code).toBe('42501');
    const wrong = await tasks.submit({ prompt: 'x', maxAttempts: 99 }).catch((error) => error);
    expect([wrong.code, wrong.message]).toEqual(['23514', expect.stringContaining('max_attempts must be 1 to 25')]);
  });

  it('goes on after its socket was cut', async () => {
    const { supabase, tasks } = await visitor();
    const file = gate();
    const { id } = await tasks.submitAsync({ kind: 'gate', payload: { file } });
    let said = '';
    const reading = (async () => {
      for await (const { text } of tasks.streamText(id)) said += text;
    })();
    await until(() => said.includes('waiting'));
    (
      supabase.realtime as unknown as { socketAdapter: { socket: { conn: { terminate(): void } } } }
    ).socketAdapter.socket.conn.terminate();
    writeFileSync(file, '');

    await reading;
    expect((await tasks.status(id)).response_payload?.answer).toBe('through');
  });

  it('goes on after the token was replaced', async () => {
    const { supabase, tasks } = await visitor();
    const file = gate();
    const statuses: string[] = [];
    const answered = tasks.submit({ kind: 'gate', payload: { file } }, ({ status }) => statuses.push(status));
    await until(() => statuses.includes('processing'));
    await supabase.auth.refreshSession();
    writeFileSync(file, '');

    expect((await answered).response_payload?.answer).toBe('through');
  });

  it('cancels what runs', async () => {
    const { tasks } = await visitor();
    let id = '';
    const answered = tasks.submit({ kind: 'gate', payload: { file: gate() } }, (task) => {
      id = task.status === 'processing' ? task.id : id;
    });
    const rejected = expect(answered).rejects.toBeInstanceOf(TaskCancelled);
    await until(() => id !== '');
    await tasks.cancel(id);

    await rejected;
  });

  it('reads an answer that is too large for Realtime', async () => {
    const { tasks } = await visitor();
    const prompt = 'x'.repeat(1_500_000);

    expect((await tasks.submit({ kind: 'echo', prompt })).response_payload?.answer).toBe(prompt);
  });

  it('keeps lists current, and puts questions to the user', async () => {
    const { supabase, tasks } = await visitor();
    const list = taskRows({ supabase });
    const questions = questionRows({ supabase, status: 'pending' });
    onTestFinished(list.start());
    onTestFinished(questions.start());
    await until(() => list.snapshot().isLive && questions.snapshot().isLive);

    const answered = tasks.submit({ kind: 'approve', prompt: 'Go on?' });
    await until(() => list.snapshot().rows[0]?.status === 'waiting');
    await until(() => questions.snapshot().rows.length === 1);
    const [question] = questions.snapshot().rows as [HumanTask];
    expect(question.title).toBe('Go on?');
    await tasks.answer(question.id, { approved: true });

    expect((await answered).response_payload?.answer).toBe('approved');
    await until(() => questions.snapshot().rows.length === 0);
    await until(() => list.snapshot().rows[0]?.status === 'completed');
    await expect(tasks.answer(question.id, { approved: false })).rejects.toBeInstanceOf(QuestionClosed);
  });

  it('keeps one visitor out of the tasks of another', async () => {
    const [mine, theirs] = [await visitor(), await visitor()];
    const list = taskRows({ supabase: theirs.supabase });
    onTestFinished(list.start());
    await until(() => list.snapshot().isLive && !list.snapshot().isLoading);

    const { id } = await mine.tasks.submit({ kind: 'echo', prompt: 'mine' });

    await expect(theirs.tasks.status(id)).rejects.toBeInstanceOf(TaskNotFound);
    await expect(theirs.tasks.cancel(id)).rejects.toBeInstanceOf(TaskNotFound);
    await expect(theirs.tasks.wait(id)).rejects.toBeInstanceOf(TaskNotFound);
    expect(list.snapshot().rows).toEqual([]);
  });
});
