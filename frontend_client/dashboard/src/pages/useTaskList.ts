import { useCallback, useEffect, useReducer, useRef, useState } from 'react';
import { isOffline, messageOf } from '../data/failure';
import { type Cursor, listTasks, PAGE_SIZE, readRows } from '../data/tasks';
import { type Change, idsToRead, NOTHING, reduceList, type TaskList } from '../model/list';
import { parseSearch } from '../model/qualifiers';
import type { TaskRow } from '../model/task';
import { useProject } from '../ui/project';

/** Changes are drawn together, this often: hundreds a second must not be hundreds of drawings. */
const DRAW_EVERY_MS = 200;
/** While changes do not flow, what is shown is read again this often. */
const LOOK_MS = 2500;

export interface ListControls {
  readonly list: TaskList;
  readonly problem: string;
  readonly isLoadingOlder: boolean;
  /** Read the newest page: what is new comes in, in order. */
  readonly reload: () => void;
  readonly loadOlder: () => void;
}

/** The tasks of a search, live. */
export function useTaskList(text: string): ListControls {
  const { supabase, feed, isOperator } = useProject();
  const [list, dispatch] = useReducer(reduceList, NOTHING);
  const [problem, setProblem] = useState('');
  const [turn, setTurn] = useState(0);
  const [isLoadingOlder, setLoadingOlder] = useState(false);
  const next = useRef<Cursor | null>(null);
  const latest = useRef(list);
  latest.current = list;

  const refresh = useCallback(
    async (ids: readonly string[]) => {
      try {
        const rows: readonly TaskRow[] = await readRows(supabase, ids);
        dispatch({ type: 'refreshed', rows });
      } catch (error) {
        setProblem(problemOf(error));
      }
    },
    [supabase],
  );

  // biome-ignore lint/correctness/useExhaustiveDependencies: `turn` is what asks for another reading
  useEffect(() => {
    let isOn = true;
    dispatch({ type: 'loading' });
    listTasks(supabase, parseSearch(text).search, { isOperator }).then(
      (page) => {
        if (!isOn) return;
        setProblem('');
        next.current = page.next;
        dispatch({ type: 'loaded', rows: page.rows, hasMore: page.next !== null });
      },
      (error: unknown) => isOn && setProblem(problemOf(error)),
    );
    return () => {
      isOn = false;
    };
  }, [supabase, isOperator, text, turn]);

  useEffect(() => {
    let isOn = true;
    let waiting: Change[] = [];
    let timer: ReturnType<typeof setTimeout> | null = null;
    const draw = () => {
      timer = null;
      const changes = waiting;
      waiting = [];
      dispatch({ type: 'changed', changes, search: parseSearch(text).search, now: Date.now() });
      void refresh(idsToRead(latest.current, changes));
    };
    const leave = feed.listen((event) => {
      if (event.type === 'task') {
        waiting.push(event.change);
        timer ??= setTimeout(draw, DRAW_EVERY_MS);
      } else if (event.type === 'task-gone') dispatch({ type: 'deleted', id: event.id });
      else if (event.type === 'again') setTurn((last) => last + (isAtTop(latest.current) ? 1 : 0));
    });
    const look = async () => {
      try {
        const page = await listTasks(supabase, parseSearch(text).search, { isOperator });
        if (!isOn) return;
        setProblem('');
        dispatch({ type: 'looked', rows: page.rows, hasMore: page.next !== null });
      } catch (error) {
        if (isOn) setProblem(problemOf(error));
      }
    };
    const looking = setInterval(() => {
      const isSeen = document.visibilityState === 'visible';
      if (isSeen && feed.flow() !== 'live' && latest.current.isLoaded) void look();
    }, LOOK_MS);
    return () => {
      isOn = false;
      leave();
      clearInterval(looking);
      if (timer !== null) clearTimeout(timer);
    };
  }, [feed, supabase, isOperator, text, refresh]);

  const reload = useCallback(() => setTurn((last) => last + 1), []);
  // An empty list cannot jump: what is new comes in at once.
  const isFirst = list.isLoaded && list.rows.length === 0 && list.unseen.size > 0;
  useEffect(() => {
    if (isFirst) reload();
  }, [isFirst, reload]);
  const loadOlder = useCallback(async () => {
    setLoadingOlder(true);
    try {
      const known = new Set(latest.current.rows.map((row) => row.id));
      for (let hasNew = false; !hasNew && next.current !== null; ) {
        const page = await listTasks(supabase, parseSearch(text).search, { isOperator, cursor: next.current });
        next.current = page.next;
        hasNew = page.rows.some((row) => !known.has(row.id));
        dispatch({ type: 'older', rows: page.rows, hasMore: page.next !== null });
      }
    } catch (error) {
      setProblem(problemOf(error));
    }
    setLoadingOlder(false);
  }, [supabase, isOperator, text]);
  return { list, problem, isLoadingOlder, reload, loadOlder };
}

/** Who has read on to older pages keeps them; rows still change where they are. */
function isAtTop(list: TaskList): boolean {
  return list.rows.length <= PAGE_SIZE;
}

/** That nobody answers is said once, above the page. */
function problemOf(error: unknown): string {
  return isOffline(error) ? '' : messageOf(error);
}
