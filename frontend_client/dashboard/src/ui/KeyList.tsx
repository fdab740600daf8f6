import type { ReactElement } from 'react';
import { Dialog } from './Dialog';

const KEYS: readonly (readonly [string, string])[] = [
  ['j', 'next'],
  ['k', 'previous'],
  ['Enter', 'open'],
  ['x', 'select'],
  ['/', 'search'],
  ['n', 'show new tasks'],
  ['r', 'retry'],
  ['c', 'cancel'],
  ['a', 'approve, in the inbox'],
  ['d', 'reject (decline), in the inbox'],
  ['1 to 5', 'tasks, workers, inbox, play, pipelines'],
  ['Esc', 'back, or nothing selected'],
  ['?', 'this list'],
];

export function KeyList({ onClose }: { onClose: () => void }): ReactElement {
  return (
    <Dialog title="Keyboard" onClose={onClose}>
      <dl className="keys">
        {KEYS.map(([key, meaning]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
      <div className="actions end">
        <button type="button" onClick={onClose}>
          Close
        </button>
      </div>
    </Dialog>
  );
}
