import { type ReactElement, useEffect } from 'react';
import { messageOf } from '../data/failure';
import { ago, shortId } from '../model/format';
import { writeRoute } from '../model/route';
import type { Question } from '../model/task';
import { CopyButton } from '../ui/CopyButton';
import { go, type Polled, useKeys, useNow, useTitle } from '../ui/hooks';
import { QuestionCard } from './QuestionCard';

const URGENCY = { urgent: 0, high: 1, medium: 2, low: 3 } as const;

const EXAMPLE = `answer = await ctx.ask_human("publish", "Publish this text?", context={"text": text})
if not answer["approved"]:
    return {"answer": None}`;

/** Questions that wait for somebody: the most urgent first, then the oldest. */
export function InboxPage({
  id,
  questions,
}: {
  id: string | null;
  questions: Polled<readonly Question[]>;
}): ReactElement {
  useTitle('Inbox');
  const now = useNow();
  const sorted = (questions.data ?? []).toSorted(
    (a, b) => URGENCY[a.priority] - URGENCY[b.priority] || (a.created_at < b.created_at ? -1 : 1),
  );
  const at = Math.max(
    0,
    sorted.findIndex((question) => question.id === id),
  );
  const current = sorted[at];
  const move = (by: number) => {
    const next = sorted[Math.min(sorted.length - 1, Math.max(0, at + by))];
    if (next !== undefined) go({ page: 'inbox', id: next.id }, { replace: true });
  };
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    Enter: () => current !== undefined && go({ page: 'task', id: current.task_id }),
  });
  const currentId = current?.id;
  useEffect(() => {
    if (currentId !== undefined) document.getElementById(`question-${currentId}`)?.scrollIntoView({ block: 'nearest' });
  }, [currentId]);

  if (questions.data === undefined) return <p className="muted">{questions.error ? messageOf(questions.error) : ''}</p>;
  if (current === undefined) return <NothingAsked />;
  return (
    <div className="inbox">
      <nav aria-label="Questions">
        <ul className="inbox-list">
          {sorted.map((question) => (
            <li key={question.id} id={`question-${question.id}`}>
              <a href={writeRoute({ page: 'inbox', id: question.id })} aria-current={question === current || undefined}>
                <b>{question.title}</b>
                <span className="muted small">
                  {question.type} · {ago(question.created_at, now)}
                  {question.priority !== 'medium' && (
                    <b className={`urgency is-${question.priority}`}>{question.priority}</b>
                  )}
                </span>
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <div>
        <QuestionCard key={current.id} question={current} onAnswered={questions.reload} hasKeys />
        <p className="small">
          <a href={writeRoute({ page: 'task', id: current.task_id })}>See task {shortId(current.task_id)}</a>
        </p>
      </div>
    </div>
  );
}

function NothingAsked(): ReactElement {
  return (
    <div className="empty">
      <h2>Nothing to answer</h2>
      <p>Questions come here when a task asks a person. In a processor:</p>
      <div className="code">
        <pre>{EXAMPLE}</pre>
        <CopyButton text={EXAMPLE} />
      </div>
    </div>
  );
}
