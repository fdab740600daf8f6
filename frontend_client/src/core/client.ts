import type { SupabaseClient } from '@supabase/supabase-js';
import { NotConfigured } from './errors.js';

/**
 * A Supabase client with any schema of yours, made by any supabase-js from 2.50 on: two copies of supabase-js in one app
 * have types that do not fit each other, so only the shape is asked for.
 */
export interface AnySupabaseClient {
  schema(name: never): unknown;
  channel(topic: string): unknown;
  removeChannel(channel: never): Promise<unknown>;
  readonly realtime: object;
  readonly auth: object;
}

/** The same, as it is used in here. */
// biome-ignore lint/suspicious/noExplicitAny: whatever the app's own database types are, they are not read here.
export type Client = SupabaseClient<any, any, any>;

let configured: AnySupabaseClient | null = null;

/**
 * Say which Supabase client everything here uses unless told otherwise. Call it once, where your app creates its client:
 * there is no second client and no second session.
 *
 * @example
 * ```ts
 * import { createClient } from '@supabase/supabase-js';
 * import { configureAgentWorker } from '@agent-worker/client';
 *
 * export const supabase = createClient(import.meta.env.VITE_SUPABASE_URL, import.meta.env.VITE_SUPABASE_ANON_KEY);
 * configureAgentWorker({ supabase });
 * ```
 */
export function configureAgentWorker(options: { supabase: AnySupabaseClient }): void {
  configured = options.supabase;
}

/** The client of a call, else the configured one; throws NotConfigured. */
export function clientOf(options?: { supabase?: AnySupabaseClient | undefined }): Client {
  const client = options?.supabase ?? configured;
  if (client === null) throw new NotConfigured();
  return client as unknown as Client;
}
