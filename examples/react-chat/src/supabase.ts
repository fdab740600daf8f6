import { configureAgentWorker } from '@agent-worker/client';
import { createClient } from '@supabase/supabase-js';

/** The one client of this app, with the session of whoever is signed in. */
export const supabase = createClient(
  import.meta.env.VITE_SUPABASE_URL,
  import.meta.env.VITE_SUPABASE_ANON_KEY,
);

configureAgentWorker({ supabase });

/** A visitor has tasks of its own, without an account. */
export async function signIn(): Promise<void> {
  const { data } = await supabase.auth.getSession();
  if (data.session) return;
  const { error } = await supabase.auth.signInAnonymously();
  if (error) throw error;
}
