/** Stored definitions of pipelines, as operators see them. */
import type { SupabaseClient } from '@supabase/supabase-js';
import type { JsonObject, Status } from '../model/task';
import { unwrap } from './failure';

export interface DefinitionRow {
  readonly id: string;
  readonly slug: string;
  /** The newest. */
  readonly version: number;
  readonly name: string | null;
  readonly description: string | null;
  readonly format: string | null;
  readonly updated_at: string;
  /** Those that have not ended, and those that ended within a day. */
  readonly runs: Readonly<Record<Status, number>>;
}

export interface RunRow {
  readonly id: string;
  readonly status: Status;
  /** Null while it has not begun. */
  readonly version: number | null;
  readonly created_at: string;
  readonly started_at: string | null;
  readonly finished_at: string | null;
  readonly error: string | null;
  readonly code: string | null;
}

export interface Definition {
  readonly slug: string;
  readonly version: number;
  readonly content: JsonObject;
  /** Of this version. */
  readonly updated_at: string;
  /** Newest first. */
  readonly versions: readonly { readonly version: number; readonly created_at: string }[];
  /** The newest, of any version. */
  readonly runs: readonly RunRow[];
}

export async function listDefinitions(supabase: SupabaseClient): Promise<readonly DefinitionRow[]> {
  return unwrap(await supabase.rpc('agent_worker_definitions')) as readonly DefinitionRow[];
}

/** @param version Null: the newest. */
export async function readDefinition(
  supabase: SupabaseClient,
  slug: string,
  version: number | null,
): Promise<Definition> {
  const answer = await supabase.rpc('agent_worker_definition', { p_reference: slug, p_version: version });
  return unwrap(answer) as Definition;
}
