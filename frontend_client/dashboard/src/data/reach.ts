/** Whether the gateway answers: what the last request met. */
export class Reach {
  readonly #watchers = new Set<() => void>();
  #isUp = true;
  #since = Date.now();

  isUp = (): boolean => this.#isUp;

  /** When it became what it is, in milliseconds. */
  since = (): number => this.#since;

  watch = (onChange: () => void): (() => void) => {
    this.#watchers.add(onChange);
    return () => this.#watchers.delete(onChange);
  };

  /** `fetch` that remembers whether somebody answered. A request that was given up says nothing. */
  fetch: typeof fetch = async (...request) => {
    try {
      const response = await fetch(...request);
      this.#note(response.status < 502 || response.status > 504);
      return response;
    } catch (error) {
      if (!(error instanceof DOMException && error.name === 'AbortError')) this.#note(false);
      throw error;
    }
  };

  #note(isUp: boolean): void {
    if (isUp === this.#isUp) return;
    this.#isUp = isUp;
    this.#since = Date.now();
    for (const watcher of this.#watchers) watcher();
  }
}
