/** Reading and changing tasks over REST, as any client may. */
import { type AgentTaskPayload, answerHumanTask, submitAgentTaskAsync } from '@agent-worker/client';
import type { SupabaseClient } from '@supabase/supabase-js';
import { idRange, momentOf, type Search } from '../model/qualifiers';
import {
  isFinal,
  type JsonObject,
  type Question,
  STATUSES,
  type Status,
  type Task,
  type TaskEvent,
  type TaskRow,
} from '../model/task';
import { expectDone, unwrap } from './failure';
import { newestIds } from './fleet';

const TABLE = 'agent_task_requests';

/** Columns of a list; also what a Realtime subscription of a list carries. */
export const LIST_COLUMNS = [
  'id',
  'kind',
  'status',
  'attempt',
  'max_attempts',
  'priority',
  'enterprise_id',
  'created_at',
  'started_at',
  'finished_at',
  'updated_at',
  'run_at',
  'cancel_requested_at',
  'progress',
] as const;

const ROW = [
  ...LIST_COLUMNS,
  'prompt:request_payload->>prompt',
  'message:request_payload->messages->-1->>content',
  'agent:request_payload->>agent',
  'code:response_payload->>code',
  'error:response_payload->>error',
].join(',');

const TASK = `${LIST_COLUMNS.join(',')},user_id,timeout_s,dedupe_key,parent_id,worker_id,request_payload,response_payload`;

export const PAGE_SIZE = 50;

/** A project answers with 1,000 rows at most. */
const MOST_EVENTS = 1000;

/** Where a page ended: many tasks may have changed at the same time, so the id tells which of them were there. */
export interface Cursor {
  readonly at: string;
  /** Null: with the first of that time. */
  readonly id: string | null;
}

export interface Page {
  readonly rows: readonly TaskRow[];
  /** Where the next page goes on; null: there is none. */
  readonly next: Cursor | null;
}

interface ListOptions {
  /** Operators may ask for the newest of all tasks in a way that stays quick on a long queue. */
  readonly isOperator: boolean;
  /** The `next` of the page before. */
  readonly cursor?: Cursor;
}

/** A page of the tasks of a search by their last change, newest first. A later page may repeat rows of the first. */
export async function listTasks(
  supabase: SupabaseClient,
  search: Search,
  { isOperator, cursor }: ListOptions,
): Promise<Page> {
  const now = Date.now();
  if (isOperator && cursor === undefined && search.until === undefined && search.id === undefined) {
    const found = await listNewest(supabase, search, now);
    // Which of those that changed at the same time are on this page is not told: the next page begins with the first.
    const last = found.length > PAGE_SIZE ? found[PAGE_SIZE - 1] : undefined;
    return { rows: found.slice(0, PAGE_SIZE), next: last === undefined ? null : { at: last.updated_at, id: null } };
  }
  const found = await listByGroups(supabase, search, cursor, now);
  const last = found.length > PAGE_SIZE ? found[PAGE_SIZE - 1] : undefined;
  return { rows: found.slice(0, PAGE_SIZE), next: last === undefined ? null : { at: last.updated_at, id: last.id } };
}

async function listNewest(supabase: SupabaseClient, search: Search, now: number): Promise<readonly TaskRow[]> {
  const ids = await newestIds(supabase, search, PAGE_SIZE + 1, now);
  const rows = new Map((await readRows(supabase, ids)).map((row) => [row.id, row]));
  return ids.flatMap((id) => rows.get(id) ?? []);
}

const GROUPS: readonly (readonly Status[])[] = [
  ['pending'],
  ['processing', 'waiting'],
  ['completed', 'failed', 'cancelled'],
];

/**
 * Each group of states is read from the newest end of its own index, because no index has all of them: what ended by
 * its end, what runs and what waits from the small index of those, what is pending from its lanes.
 */
async function listByGroups(
  supabase: SupabaseClient,
  search: Search,
  cursor: Cursor | undefined,
  now: number,
): Promise<readonly TaskRow[]> {
  const wanted = search.statuses.length > 0 ? search.statuses : STATUSES;
  const groups = GROUPS.map((group) => group.filter((status) => wanted.includes(status)));
  const found = await Promise.all(
    groups.filter((group) => group.length > 0).map((group) => listGroup(supabase, group, search, cursor, now)),
  );
  return found.flat().sort(byChange);
}

async function listGroup(
  supabase: SupabaseClient,
  statuses: readonly Status[],
  search: Search,
  cursor: Cursor | undefined,
  now: number,
): Promise<readonly TaskRow[]> {
  const ended = statuses.some(isFinal);
  const column = ended ? 'finished_at' : 'updated_at';
  let query = supabase
    .from(TABLE)
    .select(ROW)
    .in('status', [...statuses])
    .order(column, { ascending: false })
    .order('id')
    .limit(PAGE_SIZE + 1);
  // What names the index, which has only those.
  if (ended) query = query.not('finished_at', 'is', null);
  if (search.kind !== undefined) query = query.eq('kind', search.kind);
  if (search.tenant !== undefined) query = query.eq('enterprise_id', search.tenant);
  if (search.code !== undefined) query = query.eq('response_payload->>code', search.code);
  if (search.id !== undefined) {
    const [first, last] = idRange(search.id);
    query = query.gte('id', first).lte('id', last);
  }
  const since = search.since === undefined ? null : momentOf(search.since, now);
  const until = search.until === undefined ? null : momentOf(search.until, now);
  if (since !== null) query = query.gte(column, new Date(since).toISOString());
  if (until !== null) query = query.lt(column, new Date(until).toISOString());
  if (cursor !== undefined) {
    query = query.lte(column, cursor.at);
    if (cursor.id !== null) query = query.or(`${column}.lt."${cursor.at}",id.gt.${cursor.id}`);
  }
  return unwrap(await query) as unknown as readonly TaskRow[];
}

function byChange(a: TaskRow, b: TaskRow): number {
  if (a.updated_at !== b.updated_at) return a.updated_at < b.updated_at ? 1 : -1;
  return a.id < b.id ? -1 : 1;
}

export async function readRows(supabase: SupabaseClient, ids: readonly string[]): Promise<readonly TaskRow[]> {
  if (ids.length === 0) return [];
  return unwrap(
    await supabase
      .from(TABLE)
      .select(ROW)
      .in('id', [...ids]),
  ) as unknown as readonly TaskRow[];
}

/** Null: there is no such task, or it is somebody else's. */
export async function readTask(supabase: SupabaseClient, id: string): Promise<Task | null> {
  const found = unwrap(await supabase.from(TABLE).select(TASK).eq('id', id).limit(1)) as unknown as readonly Task[];
  return found[0] ?? null;
}

export async function readChildren(supabase: SupabaseClient, id: string): Promise<readonly TaskRow[]> {
  const query = supabase.from(TABLE).select(ROW).eq('parent_id', id).order('created_at').limit(PAGE_SIZE);
  return unwrap(await query) as unknown as readonly TaskRow[];
}

/** The first events of a task, in order. */
export async function readEvents(supabase: SupabaseClient, taskId: string): Promise<readonly TaskEvent[]> {
  const query = supabase
    .from('agent_task_events')
    .select('task_id,seq,type,data,attempt,created_at')
    .eq('task_id', taskId)
    .order('seq')
    .limit(MOST_EVENTS);
  return unwrap(await query) as unknown as readonly TaskEvent[];
}

/** What a new task takes over from another one. */
export type Asked = Pick<Task, 'kind' | 'request_payload'> & Partial<Pick<Task, 'enterprise_id' | 'timeout_s'>>;

export async function submitTask(supabase: SupabaseClient, asked: Asked): Promise<{ readonly id: string }> {
  const columns = { enterpriseId: asked.enterprise_id ?? undefined, attemptTimeoutS: asked.timeout_s ?? undefined };
  const payload = asked.request_payload as AgentTaskPayload;
  return submitAgentTaskAsync({ kind: asked.kind, payload, ...columns }, { supabase });
}

/** Ask for a stop; tasks that have ended stay as they are. */
export async function cancelTasks(supabase: SupabaseClient, ids: readonly string[]): Promise<void> {
  const change = { cancel_requested_at: new Date().toISOString() };
  expectDone(
    await supabase
      .from(TABLE)
      .update(change)
      .in('id', [...ids]),
  );
}

/** What ended since a moment, newest first and at most `limit`, for a chart of one's own tasks. */
export async function readEnded(
  supabase: SupabaseClient,
  since: number,
  kind: string | undefined,
  limit = 1000,
): Promise<readonly Pick<TaskRow, 'status' | 'finished_at'>[]> {
  let query = supabase
    .from(TABLE)
    .select('status,finished_at')
    .gte('finished_at', new Date(since).toISOString())
    .order('finished_at', { ascending: false })
    .limit(limit);
  if (kind !== undefined) query = query.eq('kind', kind);
  return unwrap(await query) as unknown as readonly Pick<TaskRow, 'status' | 'finished_at'>[];
}

/** How many tasks each state has: of those that ended, in the last hour. For a user's own tasks. */
export async function countOwn(supabase: SupabaseClient, now: number): Promise<Readonly<Record<Status, number>>> {
  const hourAgo = new Date(now - 3_600_000).toISOString();
  const counted = await Promise.all(
    STATUSES.map(async (status) => {
      const query = supabase.from(TABLE).select('id', { count: 'exact', head: true }).eq('status', status);
      const ended = status === 'completed' || status === 'failed' || status === 'cancelled';
      const answer = await (ended ? query.gte('finished_at', hourAgo) : query);
      expectDone(answer);
      return [status, answer.count ?? 0] as const;
    }),
  );
  return Object.fromEntries(counted) as Record<Status, number>;
}

const QUESTION =
  'id,task_id,key,type,title,description,form,context,priority,status,assignee,user_id,response,expires_at,created_at,responded_at';

/** Open questions, oldest first. */
export async function listQuestions(supabase: SupabaseClient): Promise<readonly Question[]> {
  const query = supabase.from('human_tasks').select(QUESTION).eq('status', 'pending').order('created_at').limit(200);
  return unwrap(await query) as unknown as readonly Question[];
}

export async function questionsOf(supabase: SupabaseClient, taskId: string): Promise<readonly Question[]> {
  const query = supabase.from('human_tasks').select(QUESTION).eq('task_id', taskId).order('created_at');
  return unwrap(await query) as unknown as readonly Question[];
}

/** Answer a question; one that was answered meanwhile refuses, in words for people. */
export async function answerQuestion(supabase: SupabaseClient, id: string, response: JsonObject): Promise<void> {
  await answerHumanTask(id, response, { supabase });
}
