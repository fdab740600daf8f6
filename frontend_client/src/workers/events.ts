/** Why a run or a request failed, coarsely. */
export type ErrorType =
  | 'authentication_error'
  | 'permission_error'
  | 'validation_error'
  | 'not_found_error'
  | 'rate_limit_error'
  | 'quota_exceeded_error'
  | 'provider_error'
  | 'provider_overloaded'
  | 'provider_timeout'
  | 'execution_error'
  | 'tool_error'
  | 'protocol_error'
  | 'internal_error'
  | 'unknown_error';

/** Why a leg of a run ended. */
export type FinishReason =
  | 'stop'
  | 'tool-calls'
  | 'client-tool-calls'
  | 'length'
  | 'content-filter'
  | 'error'
  | 'other';

/** How much of a block or a tool is shown. */
export type DisplayMode = 'hidden' | 'name' | 'description' | 'stream' | 'title';

/** A tool that the caller has to run. */
export interface PendingToolCall {
  /** Unique in the run, and the same when the call is asked for again: a key against doing things twice. */
  readonly toolCallId: string;
  readonly toolName: string;
  readonly args: Readonly<Record<string, unknown>>;
  readonly source?: 'llm' | 'block';
  readonly outputVariable?: string;
  readonly blockIndex?: number;
  readonly thread?: string;
  readonly workerId?: string;
}

/** What a tool came to: `result`, or `error` when it failed. */
export interface ToolResult {
  readonly toolCallId: string;
  readonly toolName?: string;
  readonly result?: unknown;
  readonly error?: string;
}

/** One entry of a model's list of things to do. */
export interface TodoItem {
  readonly id: string;
  readonly content: string;
  readonly status: 'pending' | 'in_progress' | 'completed' | 'cancelled';
}

/** Who the provider of a failed model call was. */
export interface ProviderFailure {
  readonly name: string;
  readonly model?: string;
  readonly statusCode?: number;
  readonly errorType?: string;
  readonly requestId?: string;
}

interface InWorker {
  /** The worker inside which it happens. */
  readonly workerId?: string;
}

interface ToolCallPart extends InWorker {
  readonly toolCallId: string;
}

interface TextPart extends InWorker {
  readonly id: string;
}

/** The fields of each kind of event. */
interface Fields {
  start: { readonly messageId?: string; readonly executionId?: string; readonly lastMessageId?: string };
  finish: { readonly finishReason: FinishReason; readonly executionId?: string };
  error: {
    readonly errorType: ErrorType;
    readonly message: string;
    /** Whether the same request could succeed later. */
    readonly retryable: boolean;
    readonly source: 'platform' | 'provider' | 'tool' | 'client';
    /** Seconds. */
    readonly retryAfter?: number;
    /** Stable name to branch on, see docs/errors.md. */
    readonly code?: string;
    readonly provider?: ProviderFailure;
    readonly tool?: { readonly name: string; readonly callId?: string };
  };
  usage: {
    readonly cost: {
      readonly currency: string;
      readonly bandwidthFee: number;
      readonly providerFee: number;
      readonly totalFee: number;
      readonly byok: boolean;
      readonly estimatedProviderFee?: number;
    };
    readonly tokens: { readonly inputTokens: number; readonly outputTokens: number; readonly totalTokens: number };
  };

  'worker-start': {
    /** Of the outermost worker it is the execution's id. */
    readonly workerId: string;
    readonly workerSlug: string;
    readonly description?: string;
    readonly input?: Readonly<Record<string, unknown>>;
  };
  'worker-result': { readonly workerId: string; readonly output?: unknown; readonly error?: string };
  'worker-input-start': { readonly workerId: string; readonly workerSlug: string; readonly description?: string };
  'worker-input-delta': { readonly workerId: string; readonly delta: string };
  'worker-input-ready': { readonly workerId: string; readonly input: Readonly<Record<string, unknown>> };

  'block-start': InWorker & {
    readonly blockId: string;
    readonly blockName: string;
    readonly blockType: string;
    readonly display: DisplayMode;
    readonly description?: string;
    readonly outputToChat?: boolean;
    readonly thread?: string;
  };
  'block-end': InWorker & { readonly blockId: string; readonly summary?: string };
  'resource-update': InWorker & { readonly name: string; readonly value: unknown };
  'todo-update': InWorker & { readonly todos: readonly TodoItem[] };

  /** With `responseType` the text is the JSON of a declared type. */
  'text-start': TextPart & { readonly responseType?: string };
  'text-delta': TextPart & { readonly delta: string };
  'text-end': TextPart;
  'reasoning-start': TextPart;
  'reasoning-delta': TextPart & { readonly delta: string };
  'reasoning-end': TextPart;

  'tool-input-start': ToolCallPart & {
    readonly toolName: string;
    readonly title?: string;
    readonly display?: DisplayMode;
  };
  'tool-input-delta': ToolCallPart & { readonly inputTextDelta: string };
  'tool-input-end': ToolCallPart;
  'tool-input-available': ToolCallPart & { readonly toolName: string; readonly input: unknown };
  'tool-output-available': ToolCallPart & { readonly output: unknown };
  'tool-output-error': ToolCallPart & { readonly error: string };
  /** Answered by `tools`, and therefore never given to a caller of this package. */
  'tool-request': InWorker & { readonly toolCalls: readonly PendingToolCall[] };
  /** The caller has to run these tools and send what they came to, with `serverToolResults`, by `continue`. */
  'client-tool-request': {
    readonly executionId: string;
    readonly toolCalls: readonly PendingToolCall[];
    readonly serverToolResults?: readonly ToolResult[];
  };

  source: InWorker & { readonly id: string } & (
      | { readonly sourceType: 'url'; readonly url: string; readonly title?: string }
      | {
          readonly sourceType: 'document';
          readonly mediaType: string;
          readonly title: string;
          readonly filename?: string;
        }
    );
  'file-available': InWorker & {
    readonly id: string;
    readonly mediaType: string;
    readonly url: string;
    readonly filename?: string;
    readonly size?: number;
    readonly toolCallId?: string;
  };
}

/** The names of the events of a run. */
export type StreamEventType = keyof Fields;

/**
 * One event of a run, in the worker protocol's words; `type` tells which. A gateway that is newer than this package may
 * send types that are not listed: pass over them.
 *
 * @example
 * ```ts
 * function show(event: StreamEvent): string {
 *   return event.type === 'text-delta' ? event.delta : '';
 * }
 * ```
 */
export type StreamEvent = {
  readonly [Type in StreamEventType]: { readonly type: Type } & Fields[Type];
}[StreamEventType];

/** The event of one type. */
export type StreamEventOf<Type extends StreamEventType> = Extract<StreamEvent, { readonly type: Type }>;
