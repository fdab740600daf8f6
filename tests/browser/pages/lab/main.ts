// Everything a test wants to call from outside, on `window.lab`.
import * as client from '@agent-worker/client';
import { createClient } from '@supabase/supabase-js';
import { supabase } from '../supabase';

Object.assign(window, { lab: { ...client, createClient, supabase } });
await supabase.auth.signInAnonymously();
document.title = 'ready';
