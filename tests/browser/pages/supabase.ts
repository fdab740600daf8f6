import { configureAgentWorker } from '@agent-worker/client';
import { createClient } from '@supabase/supabase-js';

// Given in the address, because the gateway's port and key are known only when it runs.
const given = new URLSearchParams(location.search);

export const supabase = createClient(given.get('url') ?? '', given.get('key') ?? '');
configureAgentWorker({ supabase });
