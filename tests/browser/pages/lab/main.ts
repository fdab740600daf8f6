// Everything a test wants to call from outside, on `window.lab`.
import * as client from '@agent-worker/client';
import { supabase } from '../supabase';

Object.assign(window, { lab: { ...client, supabase } });
await supabase.auth.signInAnonymously();
document.title = 'ready';
