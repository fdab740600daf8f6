import type { ReactElement } from 'react';
import { CopyButton } from './CopyButton';

/** Lines to take along; reached by the keyboard, because a narrow screen scrolls them. */
export function Code({ text, label }: { text: string; label: string }): ReactElement {
  return (
    <div className="code">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: see above */}
      <section tabIndex={0} aria-label={label}>
        <pre>{text}</pre>
      </section>
      <CopyButton text={text} />
    </div>
  );
}
