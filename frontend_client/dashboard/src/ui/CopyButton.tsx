import { type ReactElement, useEffect, useState } from 'react';

/** Copies `text`, and says so for a moment. */
export function CopyButton({ text, label = 'Copy' }: { text: string | (() => string); label?: string }): ReactElement {
  const [said, setSaid] = useState('');
  useEffect(() => {
    if (said === '') return;
    const timer = setTimeout(() => setSaid(''), 1500);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(typeof text === 'string' ? text : text());
      setSaid('Copied');
    } catch {
      // Browsers give the clipboard to pages of https and of this machine only.
      setSaid('Not allowed here');
    }
  };
  return (
    <button type="button" className="quiet small" onClick={copy} aria-live="polite">
      {said || label}
    </button>
  );
}
