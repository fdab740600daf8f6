import { beforeEach, describe, expect, it } from 'vitest';
import type { Client } from '../src/core/client.js';
import {
  configureAgentWorker,
  DuplicateTask,
  streamAgentTask,
  streamAgentText,
  submitAgentTask,
  TaskFailed,
  TaskNotFound,
} from '../src/index.js';
import { startProject, until } from './project.js';
import type { ScriptedProject } from './server.js';

let project: ScriptedProject;
let supabase: Client;
let id: string;

beforeEach(async () => {
  ({ project, supabase } = await startProject());
  configureAgentWorker({ supabase });
  id = `${project.add({ status: 'processing', attempt: 1 }).id}`;
});

const live = () => until(() => project.topics.includes(`task:${id}`));
const says = (delta: string) => project.say(id, 'text-delta', { id: 'a', delta });

async function read(stream: AsyncIterable<{ seq: number }>, seen: number[] = []): Promise<number[]> {
  for await (const event of stream) seen.push(event.seq);
  return seen;
}

async function readText(stream: ReturnType<typeof streamAgentText>, shown = { text: '', restarts: 0 }) {
  for await (const piece of stream) {
    shown.text = piece.restarted ? piece.text : shown.text + piece.text;
    shown.restarts += Number(piece.restarted);
  }
  return shown;
}

describe('streamAgentTask', () => {
  it('gives what is there and what comes, and ends with the task', async () => {
    project.say(id, 'start');
    const seen: number[] = [];
    const reading = read(streamAgentTask(id), seen);
    await live();
    says('a');
    await until(() => seen.length === 2);
    says('b');
    project.say(id, 'finish');
    project.complete(id, 'ab');

    expect(await reading).toEqual([1, 2, 3, 4]);
    await until(() => project.topics.length === 0);
  });

  it('goes on after a number', async () => {
    for (const word of ['a', 'b', 'c']) says(word);
    project.complete(id, 'abc');

    expect(await read(streamAgentTask(id, { afterSeq: 2 }))).toEqual([3]);
    expect(project.joins).toEqual([]);
  });

  it('reads more events than one page holds', async () => {
    for (let count = 0; count < 2300; count += 1) says('.');
    project.complete(id, '…');

    expect(await read(streamAgentTask(id))).toHaveLength(2300);
  });

  it('fills a gap from the table', async () => {
    const seen: number[] = [];
    const reading = read(streamAgentTask(id), seen);
    await live();
    says('a');
    await until(() => seen.length === 1);
    project.isDeaf = true;
    says('lost');
    project.isDeaf = false;
    says('c');

    await until(() => seen.length === 3);
    project.complete(id, 'done');
    expect(await reading).toEqual([1, 2, 3]);
  });

  it('loses nothing when the last events and the end are not told', async () => {
    const seen: number[] = [];
    const reading = read(streamAgentTask(id), seen);
    await live();
    says('a');
    await until(() => seen.length === 1);
    project.isDeaf = true;
    says('b');
    project.cut();
    project.complete(id, 'ab');
    project.isDeaf = false;

    expect(await reading).toEqual([1, 2]);
  });

  it('throws after the last event when the task fails', async () => {
    says('a');
    project.change(id, { status: 'failed', response_payload: { error: 'No.', code: 'content_filtered' } });
    const seen: number[] = [];

    await expect(read(streamAgentTask(id), seen)).rejects.toBeInstanceOf(TaskFailed);
    expect(seen).toEqual([1]);
  });

  it('may begin while the task is being submitted', async () => {
    const chosen = '5f0c1bd2-3a46-4c09-a3a5-000000000003';
    const answered = submitAgentTask({ prompt: 'Hello', id: chosen });
    const seen: number[] = [];
    const reading = read(streamAgentTask(chosen), seen);
    await until(() => project.topics.includes(`task:${chosen}`));
    project.say(chosen, 'start');
    await until(() => seen.length === 1);
    project.complete(chosen, 'Hi.');

    await reading;
    expect((await answered).response_payload?.answer).toBe('Hi.');
    expect(project.joins).toEqual([`private:task:${chosen}`]);
  });

  it('throws what the submission throws, or that there is no such task', async () => {
    const answered = submitAgentTask({ prompt: 'Hello', id });
    const refused = expect(answered).rejects.toBeInstanceOf(DuplicateTask);
    await expect(read(streamAgentTask(id))).rejects.toBeInstanceOf(DuplicateTask);
    await refused;
    await expect(read(streamAgentTask('5f0c1bd2-3a46-4c09-a3a5-000000000009'))).rejects.toBeInstanceOf(TaskNotFound);
  });

  it('lets go of its channel when the loop is left', async () => {
    says('a');
    for await (const _ of streamAgentTask(id)) break;
    await until(() => project.topics.length === 0);
  });

  it('ends when it is aborted', async () => {
    const stop = new AbortController();
    const reading = read(streamAgentTask(id, { signal: stop.signal }));
    await live();
    stop.abort(new Error('enough'));

    await expect(reading).rejects.toThrow('enough');
    await until(() => project.topics.length === 0);
  });
});

describe('streamAgentText', () => {
  it('gives text that is broadcast before it is stored, and the stored text in its place', async () => {
    const shown = { text: '', restarts: 0 };
    const reading = readText(streamAgentText(id), shown);
    await live();
    project.stream(id, { seq: 1, part: 0, text: 'Hel' });
    await until(() => shown.text === 'Hel');
    project.stream(id, { seq: 1, part: 1, text: 'lo ' });
    await until(() => shown.text === 'Hello ');
    says('Hello ');
    project.stream(id, { seq: 2, part: 0, text: 'there' });
    await until(() => shown.text === 'Hello there');
    says('there');
    project.complete(id, 'Hello there');

    expect(await reading).toEqual({ text: 'Hello there', restarts: 0 });
  });

  it('gives text that was broadcast before the channel was joined', async () => {
    project.stream(id, { seq: 1, part: 0, text: 'ear' });
    const shown = { text: '', restarts: 0 };
    const reading = readText(streamAgentText(id), shown);
    await until(() => shown.text === 'ear');
    project.stream(id, { seq: 1, part: 1, text: 'ly' });
    await until(() => shown.text === 'early');
    says('early');
    project.complete(id, 'early');

    expect(await reading).toEqual({ text: 'early', restarts: 0 });
  });

  it('goes without what was missed where nothing is kept', async () => {
    project.refuseReplay = 'UnableToReplayMessages: Realtime was unable to replay messages';
    const shown = { text: '', restarts: 0 };
    const reading = readText(streamAgentText(id), shown);
    await live();
    project.stream(id, { seq: 1, part: 0, text: 'now' });
    await until(() => shown.text === 'now');
    says('now');
    project.complete(id, 'now');

    await reading;
    expect(project.joins).toEqual([`private:task:${id}`, `private:task:${id}`]);
  });

  it('takes back what an attempt said that was given up', async () => {
    const shown = { text: '', restarts: 0 };
    const reading = readText(streamAgentText(id), shown);
    await live();
    says('wrong');
    await until(() => shown.text === 'wrong');
    project.say(id, 'attempt-start', { attempt: 2, resume: 'retry', keep: [] }, 2);
    await until(() => shown.text === '');
    project.say(id, 'text-delta', { id: 'b', delta: 'right' }, 2);
    project.complete(id, 'right');

    expect(await reading).toEqual({ text: 'right', restarts: 1 });
  });
});
