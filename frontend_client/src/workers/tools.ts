import type { PendingToolCall, ToolResult } from './events.js';

/** What a tool may know of its call. */
export interface ToolContext {
  /** The same when the call is repeated: a key against doing things twice. */
  readonly toolCallId: string;
  readonly toolName: string;
  readonly executionId: string | null;
  /** Aborted when nobody waits for the result any more. */
  readonly signal: AbortSignal;
}

/**
 * Runs one tool; what it throws is told to the model as an error. Write the type of the arguments as you know them:
 * they were checked against the tool's parameters before.
 */
// A method's parameters are compared both ways, so that a handler may name its arguments more narrowly.
export type ToolHandler = {
  handle(args: Record<string, unknown>, context: ToolContext): unknown;
}['handle'];

/** Tools by name. */
export type ToolHandlers = Readonly<Record<string, ToolHandler>>;

/** Results of one leg that take more than this are told as errors: the gateway takes 16 MiB. */
const MOST_CHARACTERS = 4 * 1024 * 1024;

/** Whether there is a handler of this very name. */
export function isHandled(tools: ToolHandlers, { toolName }: PendingToolCall): boolean {
  return Object.hasOwn(tools, toolName);
}

/** Run calls side by side; resolves with the results in their order, and never rejects. */
export async function runTools(
  tools: ToolHandlers,
  calls: readonly PendingToolCall[],
  context: Pick<ToolContext, 'executionId' | 'signal'>,
): Promise<ToolResult[]> {
  const outcomes = await Promise.all(calls.map((call) => run(tools[call.toolName], call, context)));
  let size = 0;
  return outcomes.map(({ call, text, error }) => {
    const answered = { toolCallId: call.toolCallId, toolName: call.toolName };
    if (error !== undefined) return { ...answered, error };
    if (size + text.length > MOST_CHARACTERS) return { ...answered, error: 'The result is too large.' };
    size += text.length;
    return { ...answered, result: JSON.parse(text) as unknown };
  });
}

interface Outcome {
  readonly call: PendingToolCall;
  /** The result as JSON. */
  readonly text: string;
  readonly error?: string;
}

async function run(
  handler: ToolHandler | undefined,
  call: PendingToolCall,
  context: Pick<ToolContext, 'executionId' | 'signal'>,
): Promise<Outcome> {
  const { toolCallId, toolName, args } = call;
  try {
    const result = await handler?.({ ...args }, { ...context, toolCallId, toolName });
    // A function that returns nothing has still succeeded; JSON.stringify returns undefined for it.
    return { call, text: JSON.stringify(result) ?? 'null' };
  } catch (error) {
    return { call, text: '', error: (error instanceof Error ? error.message : String(error)) || 'The tool failed.' };
  }
}
