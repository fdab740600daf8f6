import type { ReactElement } from 'react';
import { EVERYTHING, type Search, writeSearch } from '../model/qualifiers';
import { insertStatement } from '../model/snippet';
import { CopyButton } from '../ui/CopyButton';

interface EmptyListProps {
  readonly search: Search;
  readonly hasUnseen: boolean;
  readonly onReload: () => void;
  readonly onSearch: (search: Search) => void;
}

const FIRST = insertStatement({ kind: 'chat', request_payload: { prompt: 'Say hello in five words.' } });

/** No task: either none fits the search, or there is none yet, and this is how to make one. */
export function EmptyList({ search, hasUnseen, onReload, onSearch }: EmptyListProps): ReactElement {
  if (hasUnseen) {
    return (
      <div className="empty">
        <button type="button" className="primary" onClick={onReload}>
          Show new tasks
        </button>
      </div>
    );
  }
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
      <div className="code">
        <pre>{FIRST}</pre>
        <CopyButton text={FIRST} />
      </div>
      <p>
        Or <a href="#/play">ask here</a>.
      </p>
    </div>
  );
}
