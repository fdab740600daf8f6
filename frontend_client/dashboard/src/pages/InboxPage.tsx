import { type ReactElement, useCallback, useEffect } from 'react';
import { messageOf } from '../data/failure';
import { readEvents, readTask } from '../data/tasks';
import { ago, shortId, words } from '../model/format';
import { writeRoute } from '../model/route';
import { streamedText } from '../model/stream';
import { isPutTo, type Question } from '../model/task';
import { Code } from '../ui/Code';
import { go, type Polled, useKeys, useNow, usePolled, useTitle } from '../ui/hooks';
import { JsonTree } from '../ui/JsonTree';
import { useProject } from '../ui/project';
import { StateWord } from '../ui/State';
import { QuestionCard } from './QuestionCard';

const URGENCY = { urgent: 0, high: 1, medium: 2, low: 3 } as const;

const EXAMPLE = `answer = await ctx.ask_human(
    "publish", "Publish this text?", context={"text": text}
)
if not answer["approved"]:
    return {"answer": None}`;

/** Questions that wait for somebody: those to whoever looks first, of them the most urgent, then the oldest. */
export function InboxPage({
  id,
  questions,
}: {
  id: string | null;
  questions: Polled<readonly Question[]>;
}): ReactElement {
  useTitle('Inbox');
  const now = useNow();
  const me = useProject().session.user.id;
  const sorted = (questions.data ?? []).toSorted(
    (a, b) =>
      Number(isPutTo(b, me)) - Number(isPutTo(a, me)) ||
      URGENCY[a.priority] - URGENCY[b.priority] ||
      (a.created_at < b.created_at ? -1 : 1),
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
      <h1 className="visually-hidden">Inbox</h1>
      <nav aria-label="Questions">
        <ul className="inbox-list">
          {sorted.map((question) => (
            <li key={question.id} id={`question-${question.id}`}>
              <a href={writeRoute({ page: 'inbox', id: question.id })} aria-current={question === current || undefined}>
                <b>{question.title}</b>
                <span className="muted small">
                  {words(question.type)} · {ago(question.created_at, now)}
                  {!isPutTo(question, me) && ' · not put to you'}
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
      </div>
      <AskedBy key={current.task_id} taskId={current.task_id} />
    </div>
  );
}

/** The task that asks: what it was asked itself, and what it has said until now. */
function AskedBy({ taskId }: { taskId: string }): ReactElement {
  const { supabase } = useProject();
  const { data: task } = usePolled(
    useCallback(() => readTask(supabase, taskId), [supabase, taskId]),
    null,
  );
  const { data: events } = usePolled(
    useCallback(() => readEvents(supabase, taskId), [supabase, taskId]),
    null,
  );
  const said = events ? streamedText(events) : '';
  return (
    <aside className="asked-by" aria-label="The task that asks">
      <p>
        {task && <StateWord status={task.status} />}
        <a href={writeRoute({ page: 'task', id: taskId })}>
          {task?.kind} {shortId(taskId)}
        </a>
      </p>
      {said && (
        <section className="card" aria-label="Said so far">
          <header className="card-head">
            <h2>Said so far</h2>
          </header>
          <p className="said">{said}</p>
        </section>
      )}
      {task && <JsonTree title="Request" value={task.request_payload} />}
    </aside>
  );
}

function NothingAsked(): ReactElement {
  return (
    <div className="empty">
      <h1>Nothing to answer</h1>
      <p>Questions come here when a task asks a person. In a processor:</p>
      <Code text={EXAMPLE} label="Python" />
    </div>
  );
}
