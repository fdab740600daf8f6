/** What operators ask and do, by RPC. Others are refused with the code 42501. */
import type { SupabaseClient } from '@supabase/supabase-js';
import type { Minute } from '../model/activity';
import type { FleetStatus, Kind, Worker } from '../model/fleet';
import { momentOf, type Search } from '../model/qualifiers';
import type { Status } from '../model/task';
import { unwrap } from './failure';

export interface Activity {
  readonly minutes: readonly Minute[];
  readonly waitedS: Quantiles;
  readonly ranS: Quantiles;
}

export interface Quantiles {
  readonly p50: number | null;
  readonly p95: number | null;
}

export interface Changed {
  readonly id: string;
  readonly before: Status;
  readonly after: Status;
  readonly error?: string | null;
}

export async function fleetStatus(supabase: SupabaseClient): Promise<FleetStatus> {
  return unwrap(await supabase.rpc('agent_worker_status')) as FleetStatus;
}

export async function listWorkers(supabase: SupabaseClient): Promise<readonly Worker[]> {
  return unwrap(await supabase.rpc('agent_worker_workers')) as readonly Worker[];
}

export async function listKinds(supabase: SupabaseClient): Promise<readonly Kind[]> {
  return unwrap(await supabase.rpc('agent_worker_kinds')) as readonly Kind[];
}

export async function readActivity(
  supabase: SupabaseClient,
  minutes: number,
  kind: string | undefined,
): Promise<Activity> {
  const answer = await supabase.rpc('agent_worker_activity', { p_minutes: minutes, p_kind: kind ?? null });
  const read = unwrap(answer) as {
    minutes: readonly { at: string; completed: number; failed: number; cancelled: number }[];
    waited_s: Quantiles;
    ran_s: Quantiles;
  };
  return {
    minutes: read.minutes.map((minute) => ({ ...minute, at: Date.parse(minute.at) })),
    waitedS: read.waited_s,
    ranS: read.ran_s,
  };
}

/** Ids of the tasks of a search that changed last, newest first; its id, until and earlier pages are not for this. */
export async function newestIds(
  supabase: SupabaseClient,
  search: Search,
  limit: number,
  now: number,
): Promise<readonly string[]> {
  const since = search.since === undefined ? null : momentOf(search.since, now);
  const answer = await supabase.rpc('agent_worker_tasks', {
    p_statuses: search.statuses.length > 0 ? search.statuses : null,
    p_kind: search.kind ?? null,
    p_tenant: search.tenant ?? null,
    p_code: search.code ?? null,
    p_since: since === null ? null : new Date(since).toISOString(),
    p_limit: limit,
  });
  return (unwrap(answer) as readonly { id: string }[]).map((row) => row.id);
}

/** Set tasks back to pending. At most 1,000. */
export async function retryTasks(supabase: SupabaseClient, ids: readonly string[]): Promise<readonly Changed[]> {
  return unwrap(await supabase.rpc('agent_worker_retry', { p_ids: ids })) as readonly Changed[];
}

/** Stop tasks, whoever they belong to. At most 1,000. */
export async function cancelAny(supabase: SupabaseClient, ids: readonly string[]): Promise<readonly Changed[]> {
  return unwrap(await supabase.rpc('agent_worker_cancel', { p_ids: ids })) as readonly Changed[];
}

export async function setPaused(supabase: SupabaseClient, kind: string, isPaused: boolean): Promise<void> {
  unwrap(await supabase.rpc(isPaused ? 'agent_worker_pause' : 'agent_worker_resume', { p_kind: kind }));
}

export async function drainWorker(supabase: SupabaseClient, id: string): Promise<void> {
  unwrap(await supabase.rpc('agent_worker_drain', { p_worker_id: id }));
}
