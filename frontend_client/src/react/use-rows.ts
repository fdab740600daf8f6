import { useEffect, useMemo, useSyncExternalStore } from 'react';
import type { LiveRows, RowsState } from '../core/live-rows.js';

const LOADING: RowsState<never> = { rows: [], isLoading: true, isLive: false, error: null };

/** A list that lives as long as the component, made anew when `key` is another one. */
export function useRows<R extends { id: string; created_at: string; updated_at: string }>(
  make: () => LiveRows<R>,
  key: readonly unknown[],
): [RowsState<R>, LiveRows<R>] {
  // biome-ignore lint/correctness/useExhaustiveDependencies: `key` is what `make` reads.
  const list = useMemo(make, key);
  useEffect(() => list.start(), [list]);
  return [useSyncExternalStore(list.subscribe, list.snapshot, () => LOADING), list];
}
