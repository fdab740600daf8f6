import { type ReactElement, useCallback, useRef, useState } from 'react';

export interface Toast {
  readonly id: number;
  readonly sentence: string;
  readonly tone: 'plain' | 'bad';
}

const SHOWN_MS = 5000;

export function useToasts(): {
  readonly toasts: readonly Toast[];
  readonly say: (sentence: string, tone?: Toast['tone']) => void;
  readonly dismiss: (id: number) => void;
} {
  const [toasts, setToasts] = useState<readonly Toast[]>([]);
  const next = useRef(0);
  const dismiss = useCallback((id: number) => setToasts((shown) => shown.filter((toast) => toast.id !== id)), []);
  const say = useCallback(
    (sentence: string, tone: Toast['tone'] = 'plain') => {
      next.current += 1;
      const id = next.current;
      setToasts((shown) => [...shown.slice(-2), { id, sentence, tone }]);
      setTimeout(() => dismiss(id), SHOWN_MS);
    },
    [dismiss],
  );
  return { toasts, say, dismiss };
}

export function Toasts({
  toasts,
  onDismiss,
}: {
  toasts: readonly Toast[];
  onDismiss: (id: number) => void;
}): ReactElement {
  return (
    <div className="toasts" role="status" aria-live="polite">
      {toasts.map((toast) => (
        <button key={toast.id} type="button" className={`toast ${toast.tone}`} onClick={() => onDismiss(toast.id)}>
          {toast.sentence}
        </button>
      ))}
    </div>
  );
}
