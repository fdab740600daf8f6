/** One message of a `text/event-stream`. */
export interface Frame {
  /** What this very frame bears; null where it bears none. */
  readonly id: string | null;
  readonly data: string;
}

/** The data of the frame that ends a stream. */
export const DONE = '[DONE]';

/**
 * Parses server-sent events, whatever the borders of the chunks they come in.
 *
 * Lines end with LF, CRLF or CR, and a frame with an empty line; one that is cut off is dropped.
 * https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
 */
export class FrameParser {
  /** Pieces of the line that has not ended; joined only at its end, so that a long line costs no more than its length. */
  #line: string[] = [];
  #data: string[] = [];
  #id: string | null = null;
  #endedWithCr = false;

  /** Return the frames that are complete with this chunk. */
  push(chunk: string): Frame[] {
    if (chunk === '') return [];
    const frames: Frame[] = [];
    let begin = this.#endedWithCr && chunk.startsWith('\n') ? 1 : 0;
    this.#endedWithCr = chunk.endsWith('\r');
    for (const { 0: end, index } of chunk.matchAll(/\r\n|\r|\n/g)) {
      if (index < begin) continue;
      this.#line.push(chunk.slice(begin, index));
      begin = index + end.length;
      const frame = this.#take(this.#line.join(''));
      this.#line = [];
      if (frame !== null) frames.push(frame);
    }
    if (begin < chunk.length) this.#line.push(chunk.slice(begin));
    return frames;
  }

  /** Take a line; return the frame that it ends. */
  #take(line: string): Frame | null {
    if (line === '') {
      const frame = { id: this.#id, data: this.#data.join('\n') };
      const isEmpty = this.#data.length === 0;
      this.#data = [];
      this.#id = null;
      return isEmpty ? null : frame;
    }
    const [, field, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (field === 'data') this.#data.push(value);
    else if (field === 'id' && !value.includes('\0')) this.#id = value;
    return null;
  }
}

/** Reads the frames of one answer. */
export class FrameReader {
  readonly #chunks: ReadableStreamDefaultReader<Uint8Array>;
  readonly #decoder = new TextDecoder();
  readonly #parser = new FrameParser();
  #ready: Frame[] = [];
  #reading: Promise<ReadableStreamReadResult<Uint8Array>> | null = null;

  constructor(body: ReadableStream<Uint8Array>) {
    this.#chunks = body.getReader();
  }

  /**
   * Return the next frame, or null at the end. A call that its caller no longer waits for takes nothing from the next.
   *
   * @param bounded - Bounds the wait for each chunk.
   */
  async next(bounded: <Value>(chunk: Promise<Value>) => Promise<Value> = (chunk) => chunk): Promise<Frame | null> {
    for (;;) {
      const frame = this.#ready.shift();
      if (frame !== undefined) return frame;
      this.#reading ??= this.#chunks.read();
      const { done, value } = await bounded(this.#reading);
      this.#reading = null;
      if (done) return null;
      this.#ready = this.#parser.push(this.#decoder.decode(value, { stream: true }));
    }
  }

  /** Hang up. */
  close(): void {
    this.#reading?.catch(() => {});
    this.#chunks.cancel().catch(() => {});
  }
}
