import { type RefObject, useCallback, useEffect, useLayoutEffect, useRef, useState, useSyncExternalStore } from 'react';
import { parseRoute, type Route, writeRoute } from '../model/route';

/** The time, in milliseconds, anew each `everyMs`: for spans that grow while somebody looks. */
export function useNow(everyMs = 1000): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

export interface Polled<T> {
  /** What was read last; it stays while a later reading fails. */
  readonly data: T | undefined;
  readonly error: unknown;
  readonly reload: () => void;
}

/**
 * Read now, each `everyMs` while the page is seen, and when `reload` is called.
 *
 * @param everyMs Null: only now and when `reload` is called.
 * @param read Stable (`useCallback`); another one forgets what the one before has read.
 */
export function usePolled<T>(read: () => Promise<T>, everyMs: number | null): Polled<T> {
  const [state, setState] = useState<{ of: unknown; data: T | undefined; error: unknown }>({
    of: read,
    data: undefined,
    error: null,
  });
  const [turn, setTurn] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `turn` is what asks for another reading
  useEffect(() => {
    let isOn = true;
    const look = () => {
      read().then(
        (data) => isOn && setState({ of: read, data, error: null }),
        (error: unknown) =>
          isOn && setState((last) => ({ of: read, data: last.of === read ? last.data : undefined, error })),
      );
    };
    look();
    const timer =
      everyMs === null ? undefined : setInterval(() => document.visibilityState === 'visible' && look(), everyMs);
    return () => {
      isOn = false;
      clearInterval(timer);
    };
  }, [read, everyMs, turn]);
  const reload = useCallback(() => setTurn((last) => last + 1), []);
  const isCurrent = state.of === read;
  return { data: isCurrent ? state.data : undefined, error: isCurrent ? state.error : null, reload };
}

export function useRoute(): Route {
  const hash = useSyncExternalStore(watchHash, () => location.hash);
  return parseRoute(hash);
}

/** Go somewhere; `replace` leaves no trace in the history, for what changes as somebody types. */
export function go(route: Route, { replace = false } = {}): void {
  const address = writeRoute(route);
  if (address === location.hash) return;
  if (!replace) {
    location.hash = address;
    return;
  }
  history.replaceState(null, '', address);
  dispatchEvent(new HashChangeEvent('hashchange'));
}

export type Keys = Readonly<Record<string, (event: KeyboardEvent) => void>>;

/** Single keys for the page, by `event.key`. Silent while somebody types or a dialog is open. */
export function useKeys(keys: Keys): void {
  const latest = useRef(keys);
  useLayoutEffect(() => {
    latest.current = keys;
  });
  // With what is shown, not after it: whoever sees a page may press a key at once.
  useLayoutEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (document.querySelector('dialog[open]') !== null || isTyping(event.target)) return;
      const act = latest.current[event.key];
      if (act === undefined) return;
      // A focused button answers to Enter by itself.
      if (event.key === 'Enter' && event.target instanceof Element && event.target.closest('a, button, summary'))
        return;
      event.preventDefault();
      act(event);
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
}

/** The width of an element in pixels, as it changes. */
export function useWidth(ref: RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const element = ref.current;
    if (element === null) return;
    setWidth(element.clientWidth);
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, [ref]);
  return width;
}

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title ? `${title} · agent-worker` : 'agent-worker';
  }, [title]);
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) return !['checkbox', 'radio', 'button', 'submit'].includes(target.type);
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement || target.isContentEditable;
}

function watchHash(onChange: () => void): () => void {
  addEventListener('hashchange', onChange);
  return () => removeEventListener('hashchange', onChange);
}
