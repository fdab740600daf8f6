import { DONE } from './frames.js';

const HEARTBEAT_MS = 15_000;

/**
 * Turn events into the body of a `text/event-stream`: a frame for each, a comment whenever nothing was said for 15 s
 * (`heartbeatMs`), and `[DONE]` at the end. What the events throw becomes a last event, without `[DONE]`. A reader that
 * hangs up ends the events, and with them the run.
 *
 * @example
 * ```ts
 * async function POST(request: Request): Promise<Response> {
 *   const events = client.workers.execute('research', await request.json(), { signal: request.signal });
 *   return new Response(toSSEStream(events), { headers: { 'Content-Type': 'text/event-stream' } });
 * }
 * ```
 */
export function toSSEStream(
  events: AsyncIterable<{ readonly type: string }>,
  { heartbeatMs = HEARTBEAT_MS }: { readonly heartbeatMs?: number } = {},
): ReadableStream<Uint8Array> {
  const source = events[Symbol.asyncIterator]();
  const encoder = new TextEncoder();
  let timer: ReturnType<typeof setInterval> | undefined;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const say = (text: string) => controller.enqueue(encoder.encode(text));
      timer = setInterval(() => (controller.desiredSize ?? 0) > 0 && say(': heartbeat\n\n'), heartbeatMs);
      try {
        const { done, value } = await source.next();
        if (timer === undefined) return; // Hung up meanwhile.
        say(`data: ${done ? DONE : JSON.stringify(value)}\n\n`);
        if (done) controller.close();
      } catch (error) {
        if (timer === undefined) return;
        say(`data: ${JSON.stringify(broken(error))}\n\n`);
        controller.close();
      } finally {
        clearInterval(timer);
      }
    },
    async cancel() {
      clearInterval(timer);
      timer = undefined;
      await source.return?.();
    },
  });
}

function broken(error: unknown): object {
  const message = error instanceof Error ? error.message : String(error);
  return { type: 'error', errorType: 'internal_error', message, retryable: false, source: 'platform' };
}
