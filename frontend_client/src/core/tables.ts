/*
 * Every request to the three tables. Rows are trusted to have the types of the schema: they come from the database.
 */
import type { Client } from './client.js';
import { asTaskError, DuplicateTask, errorOf, type Refusal, TaskNotFound, Unreachable } from './errors.js';
import type { JsonObject } from './json.js';
import type { AgentTaskInsert, AgentTaskUpdate, HumanTaskUpdate } from './schema.js';
import type { AgentTask, AgentTaskEvent, AgentTaskStatus, HumanTask } from './task.js';
import { pause } from './time.js';

/** Most events that one request brings. A hosted project gives out 1,000 rows at most. */
export const EVENT_PAGE = 1000;

const RETRY_MS = [500, 1000, 2000];

interface Reply {
  readonly data: unknown;
  readonly error: Refusal | null;
  readonly status: number;
}

async function answered<Data>(request: PromiseLike<Reply>): Promise<Data> {
  const { data, error, status } = await Promise.resolve(request).catch((thrown) => {
    throw asTaskError(thrown);
  });
  if (error !== null) throw errorOf(error, status);
  return data as Data;
}

/**
 * Newer versions of supabase-js try a failed reading again for up to seven seconds. Who reads every other second does
 * not want that: the retries would hold up the reading that follows a reconnection.
 */
function once<Request extends object>(request: Request): Request {
  const { retry } = request as { retry?: (isOn: boolean) => unknown };
  retry?.call(request, false);
  return request;
}

const table = (supabase: Client, name: string) => supabase.schema('public').from(name);

const inserts = new WeakMap<Client, Map<string, Promise<AgentTask>>>();

/** The insert of a task that is under way over this client: who follows the task waits for its row. */
export function insertUnderWay(supabase: Client, id: string): Promise<AgentTask> | undefined {
  return inserts.get(supabase)?.get(id);
}

/**
 * Insert a task and return its row. The id is chosen here, so a lost reply is no reason to fear a second task: the same
 * row is sent again, and found where the first one had arrived.
 */
export function insertTask(
  supabase: Client,
  row: AgentTaskInsert & { id: string },
  signal?: AbortSignal,
): Promise<AgentTask> {
  const byId = inserts.get(supabase) ?? new Map<string, Promise<AgentTask>>();
  inserts.set(supabase, byId);
  const inserted = insertPatiently(supabase, row, signal).finally(() => byId.delete(row.id));
  byId.set(row.id, inserted);
  return inserted;
}

async function insertPatiently(
  supabase: Client,
  row: AgentTaskInsert & { id: string },
  signal?: AbortSignal,
): Promise<AgentTask> {
  for (let attempt = 0; ; attempt += 1) {
    signal?.throwIfAborted();
    try {
      return await answered(table(supabase, 'agent_task_requests').insert(row).select().single());
    } catch (error) {
      if (attempt > 0 && error instanceof DuplicateTask) {
        const written = await selectTask(supabase, row.id);
        if (written !== null) return written;
      }
      const delay = RETRY_MS[attempt];
      if (!(error instanceof Unreachable) || delay === undefined) throw error;
      await pause(delay, signal);
    }
  }
}

/** Read a task; null where there is none, or none of this user's. */
export function selectTask(supabase: Client, id: string): Promise<AgentTask | null> {
  return answered(table(supabase, 'agent_task_requests').select().eq('id', id).maybeSingle());
}

/** The same for one who will look again anyway. */
export function lookUpTask(supabase: Client, id: string): Promise<AgentTask | null> {
  return answered(once(table(supabase, 'agent_task_requests').select().eq('id', id).maybeSingle()));
}

/** Read a page of a task's events after `seq`, in order. */
export function selectEvents(supabase: Client, id: string, seq: number): Promise<AgentTaskEvent[]> {
  const after = table(supabase, 'agent_task_events').select().eq('task_id', id).gt('seq', seq);
  return answered(once(after.order('seq').limit(EVENT_PAGE)));
}

/** Ask for a stop and return the task as it is then; throws TaskNotFound. */
export async function requestCancel(supabase: Client, id: string): Promise<AgentTask> {
  const change: AgentTaskUpdate = { cancel_requested_at: new Date().toISOString() };
  const task = await answered<AgentTask | null>(
    table(supabase, 'agent_task_requests').update(change).eq('id', id).select().maybeSingle(),
  );
  if (task === null) throw new TaskNotFound(`task ${id}`);
  return task;
}

const newest = (query: ReturnType<ReturnType<typeof table>['select']>, limit: number) =>
  once(query.order('created_at', { ascending: false }).order('id', { ascending: false }).limit(limit));

/** Which tasks a list shows. */
export interface TaskFilter {
  readonly status?: AgentTaskStatus | readonly AgentTaskStatus[] | undefined;
  readonly kind?: string | undefined;
  readonly enterpriseId?: string | undefined;
}

/** Read the newest tasks. */
export function selectTasks(supabase: Client, filter: TaskFilter, limit: number): Promise<AgentTask[]> {
  let query = table(supabase, 'agent_task_requests').select();
  if (filter.status !== undefined) query = query.in('status', [filter.status].flat());
  if (filter.kind !== undefined) query = query.eq('kind', filter.kind);
  if (filter.enterpriseId !== undefined) query = query.eq('enterprise_id', filter.enterpriseId);
  return answered(newest(query, limit));
}

/** Which questions a list shows. */
export interface QuestionFilter {
  readonly status?: HumanTask['status'] | undefined;
  readonly taskId?: string | undefined;
}

/** Read questions, the newest first. */
export function selectQuestions(supabase: Client, filter: QuestionFilter, limit: number): Promise<HumanTask[]> {
  let query = table(supabase, 'human_tasks').select();
  if (filter.status !== undefined) query = query.eq('status', filter.status);
  if (filter.taskId !== undefined) query = query.eq('task_id', filter.taskId);
  return answered(newest(query, limit));
}

/** Answer a question; throws QuestionClosed, TaskNotFound. */
export async function writeAnswer(supabase: Client, id: string, response: JsonObject): Promise<HumanTask> {
  const change: HumanTaskUpdate = { response };
  const question = await answered<HumanTask | null>(
    table(supabase, 'human_tasks').update(change).eq('id', id).select().maybeSingle(),
  );
  if (question === null) throw new TaskNotFound(`question ${id}`);
  return question;
}
