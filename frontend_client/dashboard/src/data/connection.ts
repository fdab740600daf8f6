/** How the page reaches its project: what the gateway tells of itself, and who is signed in. */
import { createClient, type Session, type SupabaseClient } from '@supabase/supabase-js';
import { Reach } from './reach';

export interface Configuration {
  /** Address of the project; '' means the one that served this page. */
  readonly url: string;
  readonly publishable_key: string;
  /** Of a development server on this machine only: so that nobody has to type. */
  readonly sign_in: { readonly email: string; readonly password: string } | null;
}

export interface Connection {
  readonly supabase: SupabaseClient;
  readonly reach: Reach;
  readonly url: string;
  readonly key: string;
}

const CONFIG_TIMEOUT_MS = 10_000;

/**
 * Read `config.json` beside the page and make the client.
 *
 * @throws Error with a sentence for people, when the gateway does not answer or answers something else.
 */
export async function connect(): Promise<{ connection: Connection; configuration: Configuration }> {
  const configuration = await readConfiguration();
  const url = configuration.url || new URL('.', document.baseURI).href.replace(/\/$/u, '');
  const reach = new Reach();
  const supabase = createClient(url, configuration.publishable_key, {
    global: { fetch: reach.fetch },
    auth: { storageKey: 'agent-worker-dashboard', detectSessionInUrl: false },
    // A page that is open for days joins again for ever.
    realtime: { reconnectAfterMs: (tries: number) => [500, 1000, 2000, 5000][tries - 1] ?? 5000 },
  });
  return { connection: { supabase, reach, url, key: configuration.publishable_key }, configuration };
}

/** Return the session that was kept, or sign in where the server offers it; null: somebody has to type. */
export async function resume(supabase: SupabaseClient, configuration: Configuration): Promise<Session | null> {
  const { data } = await supabase.auth.getSession();
  if (data.session && (await isStillGood(supabase))) return data.session;
  if (configuration.sign_in === null) return null;
  const signedIn = await supabase.auth.signInWithPassword(configuration.sign_in);
  return signedIn.data.session;
}

/** Whether the signed-in user runs the fleet; only the service role can grant it. */
export function isOperator(session: Session): boolean {
  return session.user.app_metadata.agent_worker === 'operator';
}

/** A kept session of a server that was set up anew is worth nothing: ask once. */
async function isStillGood(supabase: SupabaseClient): Promise<boolean> {
  const { error } = await supabase.auth.getUser();
  if (error === null) return true;
  const status = error.status ?? 0;
  if (status === 0 || status >= 500) return true;
  await supabase.auth.signOut({ scope: 'local' });
  return false;
}

async function readConfiguration(): Promise<Configuration> {
  const response = await fetch('config.json', {
    signal: AbortSignal.timeout(CONFIG_TIMEOUT_MS),
  }).catch((error: unknown) => {
    throw new Error('The gateway does not answer.', { cause: error });
  });
  if (!response.ok) throw new Error(`The gateway has no config.json (HTTP ${response.status}).`);
  const read = (await response.json().catch(() => null)) as Partial<Configuration> | null;
  if (typeof read?.publishable_key !== 'string') throw new Error('The config.json of the gateway names no key.');
  return { url: read.url ?? '', publishable_key: read.publishable_key, sign_in: read.sign_in ?? null };
}
