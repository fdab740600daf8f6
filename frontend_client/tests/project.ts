import { createClient } from '@supabase/supabase-js';
import { onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import type { Client } from '../src/core/client.js';
import { ScriptedProject } from './server.js';

/** A scripted project for this test, and a client of it. */
export async function startProject(): Promise<{ project: ScriptedProject; supabase: Client }> {
  const project = await ScriptedProject.start();
  // The socket of Node.js 22 never says that it could not connect.
  const transport = WebSocket as never;
  const supabase = createClient(project.url, 'sb_publishable_test', {
    realtime: { transport, reconnectAfterMs: () => 20 },
    auth: { persistSession: false, autoRefreshToken: false, storageKey: project.url },
  });
  onTestFinished(async () => {
    await supabase.realtime.disconnect();
    await project.stop();
  });
  return { project, supabase };
}

/** Wait until a claim holds; fails after fifty seconds with what it last threw. */
export async function until<Value>(claim: () => Value | Promise<Value>): Promise<Value> {
  const deadline = Date.now() + 50_000;
  for (;;) {
    try {
      const value = await claim();
      if (value !== false && value !== undefined && value !== null) return value;
      throw new Error(`still ${value}: ${claim}`);
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}
