import type { Frame } from './frames.js';

/**
 * How far a stream has been read, so that a new connection gives no event twice and leaves none out.
 *
 * One stored row may be told by several frames; only the last of them bears its number. A reader that lost its
 * connection between them asks again from behind the last whole row, and passes over as many frames as it has.
 */
export class Cursor {
  /** The last row that was read to its end; 0 before the first. */
  #row = 0;
  /** Frames behind it that have been read, on whichever connection. */
  #read = 0;
  /** Frames behind it that this connection has sent. */
  #sent = 0;

  /** Begin a new connection behind the last whole row; returns its number. */
  rewind(): number {
    this.#sent = 0;
    return this.#row;
  }

  /** Begin another leg, of which nothing has been read. */
  advance(): void {
    this.#read = this.#sent = 0;
  }

  /** Whether a frame is new. */
  take({ id }: Frame): boolean {
    this.#sent += 1;
    const isNew = this.#sent > this.#read;
    if (isNew) this.#read = this.#sent;
    if (id !== null && /^\d+$/.test(id)) {
      this.#row = Number(id);
      this.advance();
    }
    return isNew;
  }
}
