import { type ReactElement, useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { plural } from '../model/format';
import { parseSearch, type Search, writeSearch } from '../model/qualifiers';
import { isFinal } from '../model/task';
import { Confirm } from '../ui/Dialog';
import { go, useKeys, useTitle } from '../ui/hooks';
import { useProject } from '../ui/project';
import { cancel, retry } from './actions';
import { EmptyList } from './EmptyList';
import { FleetChart } from './FleetChart';
import { lastOpened, remember } from './lastList';
import { SearchBox } from './SearchBox';
import { StateList } from './StateList';
import { TaskTable } from './TaskTable';
import { useTaskList } from './useTaskList';

/** All tasks: their states, what ended lately, and a list that does not jump. */
export function TasksPage({ search: text }: { search: string }): ReactElement {
  useTitle('Tasks');
  const project = useProject();
  const { isOperator, say } = project;
  const { search } = useMemo(() => parseSearch(text), [text]);
  const { list, problem, isLoadingOlder, reload, loadOlder } = useTaskList(text);
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const [cursor, setCursor] = useState<string | null>(() => lastOpened(text));
  const [asksToCancel, setAsksToCancel] = useState<readonly string[]>([]);
  const box = useRef<HTMLInputElement>(null);

  const look = useCallback((next: Search) => go({ page: 'tasks', search: writeSearch(next) }), []);
  const ids = useMemo(() => list.rows.map((row) => row.id), [list.rows]);
  const move = (by: number) => {
    const at = cursor === null ? -1 : ids.indexOf(cursor);
    const next = ids[Math.min(ids.length - 1, Math.max(0, at + by))];
    if (next === undefined) return;
    setCursor(next);
    document.getElementById(`row-${next}`)?.scrollIntoView({ block: 'nearest' });
  };
  const toggle = (id: string) =>
    setSelected((last) => {
      const next = new Set(last);
      if (!next.delete(id)) next.add(id);
      return next;
    });
  const marked = selected.size > 0 ? [...selected] : cursor === null ? [] : [cursor];
  const stoppable = marked.filter((id) => list.rows.some((row) => row.id === id && !isFinal(row.status)));
  const repeatable = marked.filter((id) => list.rows.some((row) => row.id === id && isFinal(row.status)));
  const doRetry = async () => {
    if (!isOperator) return say('Retrying needs an operator. Open the task and run it again as your own.', 'bad');
    if (repeatable.length === 0) return say('Nothing to retry: choose tasks that have ended.');
    await retry(project, repeatable);
    setSelected(new Set());
  };
  const askToCancel = () => {
    if (stoppable.length === 0) say('Nothing to cancel: choose tasks that have not ended.');
    else setAsksToCancel(stoppable);
  };
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    Enter: () => cursor !== null && go({ page: 'task', id: cursor }),
    x: () => cursor !== null && toggle(cursor),
    n: () => {
      reload();
      scrollTo({ top: 0 });
    },
    r: doRetry,
    c: askToCancel,
    '/': () => box.current?.focus(),
    Escape: () => {
      setSelected(new Set());
      setCursor(null);
    },
  });
  useEffect(() => remember(text, cursor), [text, cursor]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another search is another list
  useEffect(() => setSelected(new Set()), [text]);

  return (
    <div className="tasks">
      <h1 className="visually-hidden">Tasks</h1>
      <StateList search={search} />
      <div className="tasks-main">
        <SearchBox text={text} inputRef={box} onSearch={(next) => go({ page: 'tasks', search: next })} />
        <FleetChart search={search} onSearch={look} />
        {problem && (
          <p className="banner" role="alert">
            {problem}{' '}
            <button type="button" className="quiet" onClick={reload}>
              Try again
            </button>
          </p>
        )}
        {list.isLoaded && list.rows.length === 0 ? (
          <EmptyList search={search} onSearch={look} />
        ) : (
          <TaskTable
            list={list}
            selected={selected}
            cursor={cursor}
            canRetry={isOperator}
            isLoadingOlder={isLoadingOlder}
            onToggle={toggle}
            onOpen={setCursor}
            onSelect={setSelected}
            onReload={reload}
            onOlder={loadOlder}
            onRetry={doRetry}
            onCancel={askToCancel}
          />
        )}
      </div>
      {asksToCancel.length > 0 && (
        <Confirm
          title={`Cancel ${plural(asksToCancel.length, 'task')}?`}
          action={`Cancel ${plural(asksToCancel.length, 'task')}`}
          keep="Keep"
          onConfirm={() => {
            void cancel(project, asksToCancel);
            setSelected(new Set());
          }}
          onClose={() => setAsksToCancel([])}
        >
          <p>What runs is stopped; what waits never starts.</p>
        </Confirm>
      )}
    </div>
  );
}
