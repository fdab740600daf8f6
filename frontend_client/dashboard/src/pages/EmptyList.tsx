import type { ReactElement } from 'react';
import { EVERYTHING, type Search, writeSearch } from '../model/qualifiers';
import { insertStatement } from '../model/snippet';
import { Code } from '../ui/Code';

interface EmptyListProps {
  readonly search: Search;
  readonly onSearch: (search: Search) => void;
}

const FIRST = insertStatement({ kind: 'chat', request_payload: { prompt: 'Say hello in five words.' } });

/** No task: either none fits the search, or there is none yet, and this is how to make one. */
export function EmptyList({ search, onSearch }: EmptyListProps): ReactElement {
  if (writeSearch(search) !== '') {
    return (
      <div className="empty">
        <h2>No task fits</h2>
        <p>
          <code>{writeSearch(search)}</code>
        </p>
        <button type="button" onClick={() => onSearch(EVERYTHING)}>
          Show all tasks
        </button>
      </div>
    );
  }
  return (
    <div className="empty">
      <h2>No task yet</h2>
      <p>Insert a row, get an answer. From SQL:</p>
      <Code text={FIRST} label="SQL" />
      <p>
        Or <a href="#/play">ask here</a>.
      </p>
    </div>
  );
}
