import type { ReactElement } from 'react';
import { ago, count, oneLine, precise, secondsBetween, shortId } from '../model/format';
import type { TaskList } from '../model/list';
import { writeRoute } from '../model/route';
import { isFinal, subjectOf, type TaskRow } from '../model/task';
import { useNow } from '../ui/hooks';
import { StateWord } from '../ui/State';

interface TaskTableProps {
  readonly list: TaskList;
  readonly selected: ReadonlySet<string>;
  readonly cursor: string | null;
  readonly canRetry: boolean;
  readonly isLoadingOlder: boolean;
  readonly onToggle: (id: string) => void;
  readonly onOpen: (id: string) => void;
  readonly onSelect: (ids: ReadonlySet<string>) => void;
  readonly onReload: () => void;
  readonly onOlder: () => void;
  readonly onRetry: () => void;
  readonly onCancel: () => void;
}

/**
 * The rows; on a narrow screen each is two lines, which table elements could not become: hence the roles.
 */
export function TaskTable(props: TaskTableProps): ReactElement {
  const { list, selected, cursor, onToggle, onOpen } = props;
  const now = useNow();
  return (
    <>
      <div className="table" role="table" aria-label="Tasks" aria-busy={!list.isLoaded}>
        {selected.size > 0 ? <BulkBar {...props} /> : <Head {...props} />}
        {list.isLoaded && list.unseen.size > 0 && <Unseen list={list} onReload={props.onReload} />}
        {!list.isLoaded && <Placeholder />}
        {list.rows.map((row) => (
          <Row
            key={row.id}
            row={row}
            now={now}
            isSelected={selected.has(row.id)}
            isCurrent={cursor === row.id}
            onToggle={onToggle}
            onOpen={onOpen}
          />
        ))}
      </div>
      {list.hasMore && (
        <button type="button" className="older" onClick={props.onOlder} disabled={props.isLoadingOlder}>
          {props.isLoadingOlder ? 'Reading…' : 'Older tasks'}
        </button>
      )}
    </>
  );
}

function Head({ list, onSelect }: TaskTableProps): ReactElement {
  return (
    <div className="row head" role="row">
      <span role="columnheader" className="cell-tick">
        <input
          type="checkbox"
          aria-label="Select all shown"
          checked={false}
          onChange={() => onSelect(new Set(list.rows.map((row) => row.id)))}
        />
      </span>
      {['state', 'kind', 'task', 'tenant', 'try', 'took', 'changed'].map((name) => (
        <span key={name} role="columnheader" className={`cell-${name}`}>
          {name}
        </span>
      ))}
    </div>
  );
}

function BulkBar({ list, selected, canRetry, onSelect, onRetry, onCancel }: TaskTableProps): ReactElement {
  const chosen = list.rows.filter((row) => selected.has(row.id));
  const ended = chosen.filter((row) => isFinal(row.status)).length;
  const some = (part: number) => (part > 0 && part < chosen.length ? ` ${count(part)}` : '');
  return (
    <div className="row bulk" role="row">
      <span role="cell" className="cell-tick">
        <input type="checkbox" aria-label="Select none" checked onChange={() => onSelect(new Set())} />
      </span>
      <div role="cell" className="actions">
        <b role="status">{count(selected.size)} selected</b>
        {canRetry && (
          <button type="button" className="small" onClick={onRetry} disabled={ended === 0}>
            Retry{some(ended)} <kbd>r</kbd>
          </button>
        )}
        <button type="button" className="small" onClick={onCancel} disabled={ended === chosen.length}>
          Cancel{some(chosen.length - ended)} <kbd>c</kbd>
        </button>
        <button type="button" className="quiet small" onClick={() => onSelect(new Set())}>
          Clear
        </button>
      </div>
    </div>
  );
}

function Unseen({ list, onReload }: { list: TaskList; onReload: () => void }): ReactElement {
  return (
    <div role="row">
      <span role="cell">
        <button type="button" className="unseen" onClick={onReload}>
          {count(list.unseen.size)}
          {list.hasUncounted && '+'} new
        </button>
      </span>
    </div>
  );
}

interface RowProps {
  readonly row: TaskRow;
  readonly now: number;
  readonly isSelected: boolean;
  readonly isCurrent: boolean;
  readonly onToggle: (id: string) => void;
  readonly onOpen: (id: string) => void;
}

function Row({ row, now, isSelected, isCurrent, onToggle, onOpen }: RowProps): ReactElement {
  const note = noteOf(row, now);
  const subject = subjectOf(row);
  return (
    <div
      className="row"
      role="row"
      id={`row-${row.id}`}
      data-selected={isSelected || undefined}
      data-current={isCurrent || undefined}
    >
      <span role="cell" className="cell-tick">
        <input
          type="checkbox"
          aria-label={`Select ${shortId(row.id)}`}
          checked={isSelected}
          onChange={() => onToggle(row.id)}
        />
      </span>
      <span role="cell" className="cell-state">
        <StateWord status={row.status} />
      </span>
      <span role="cell" className="cell-kind">
        {row.kind}
      </span>
      <span role="cell" className="cell-task">
        <a href={writeRoute({ page: 'task', id: row.id })} title={row.id} onClick={() => onOpen(row.id)}>
          <span className="mono id">{shortId(row.id)}</span>
          {subject && <span className="prompt">{oneLine(subject)}</span>}
        </a>
        {note && <span className={`row-note is-${row.status}`}>{note}</span>}
      </span>
      <span role="cell" className="cell-tenant">
        {row.enterprise_id}
      </span>
      <span role="cell" className="cell-try">
        {row.attempt}/{row.max_attempts}
      </span>
      <span role="cell" className="cell-took">
        {took(row, now)}
      </span>
      <time role="cell" className="cell-changed" dateTime={row.updated_at} title={row.updated_at}>
        {ago(row.updated_at, now)}
      </time>
    </div>
  );
}

function Placeholder(): ReactElement {
  return (
    <div aria-hidden="true">
      {[0, 1, 2, 3, 4, 5].map((line) => (
        <div key={line} className="row ghost" />
      ))}
    </div>
  );
}

function noteOf(row: TaskRow, now: number): string {
  // Its state says so.
  if (row.code === 'cancelled') return '';
  if (row.code || row.error) return oneLine([row.code, row.error].filter(Boolean).join(': '), 120);
  if (isFinal(row.status)) return '';
  if (row.cancel_requested_at !== null) return 'is being stopped';
  if (row.progress !== null) return oneLine(`${row.progress.percent ?? 0} % ${row.progress.note ?? ''}`);
  if (row.status === 'pending' && row.run_at !== null) return `due ${ago(row.run_at, now)}`;
  return '';
}

function took(row: TaskRow, now: number): string {
  if (row.started_at === null || row.status === 'pending' || row.status === 'waiting') return '';
  return precise(secondsBetween(row.started_at, row.finished_at ?? now));
}
