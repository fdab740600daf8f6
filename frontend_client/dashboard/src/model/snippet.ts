/** The lines of code that ask for the same task again, for somebody's own app. */
import type { JsonObject } from './task';

export interface Asked {
  readonly kind: string;
  readonly request_payload: JsonObject;
  readonly enterprise_id?: string | null;
  readonly priority?: number;
}

export function supabaseSnippet(url: string, key: string, asked: Asked): string {
  const row: Record<string, unknown> = { kind: asked.kind, request_payload: asked.request_payload };
  if (asked.enterprise_id) row.enterprise_id = asked.enterprise_id;
  if (asked.priority) row.priority = asked.priority;
  return `import { createClient } from '@supabase/supabase-js'

const supabase = createClient(${quote(url)}, ${quote(key)})

const { data: task, error } = await supabase
  .from('agent_task_requests')
  .insert(${indent(literal(row), '  ')})
  .select()
  .single()
if (error) throw error

supabase
  .channel(\`task-\${task.id}\`)
  .on(
    'postgres_changes',
    { event: 'UPDATE', schema: 'public', table: 'agent_task_requests', filter: \`id=eq.\${task.id}\` },
    ({ new: row }) => console.log(row.status, row.response_payload),
  )
  .subscribe()
`;
}

export function insertStatement(asked: Asked): string {
  const payload = JSON.stringify(asked.request_payload).replaceAll("'", "''");
  return `INSERT INTO agent_task_requests (kind, request_payload)\nVALUES ('${asked.kind.replaceAll("'", "''")}', '${payload}')\nRETURNING id;`;
}

/** JSON as people write it in JavaScript: names without quotes where they may. */
function literal(value: unknown): string {
  return JSON.stringify(value, null, 2).replaceAll(/^(\s*)"([A-Za-z_$][\w$]*)":/gmu, '$1$2:');
}

function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

function indent(text: string, by: string): string {
  return text.replaceAll('\n', `\n${by}`);
}
