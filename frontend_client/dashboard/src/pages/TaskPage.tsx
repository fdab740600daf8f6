import { type ReactElement, useCallback, useEffect, useMemo, useState, useSyncExternalStore } from 'react';
import { messageOf } from '../data/failure';
import { listWorkers } from '../data/fleet';
import { FollowedTask } from '../data/follow';
import { questionsOf, readChildren, submitTask } from '../data/tasks';
import { attemptsOf, segmentsOf } from '../model/attempts';
import { shortId } from '../model/format';
import { writeRoute } from '../model/route';
import { supabaseSnippet } from '../model/snippet';
import { isFinal, type Task, textOf } from '../model/task';
import { Code } from '../ui/Code';
import { CopyButton } from '../ui/CopyButton';
import { Confirm, Dialog } from '../ui/Dialog';
import { go, useKeys, useNow, usePolled, useTitle } from '../ui/hooks';
import { JsonTree } from '../ui/JsonTree';
import { useProject } from '../ui/project';
import { StateWord } from '../ui/State';
import { Answer } from '../ui/Stream';
import { TimeBar } from '../ui/TimeBar';
import { AttemptList } from './AttemptList';
import { cancel, retry } from './actions';
import { ChildList } from './ChildList';
import { EventList } from './EventList';
import { Facts } from './Facts';
import { lastList } from './lastList';
import { QuestionCard } from './QuestionCard';

const SLOWLY_MS = 10_000;

/** One task, as it goes on. */
export function TaskPage({ id }: { id: string }): ReactElement {
  useTitle(`Task ${shortId(id)}`);
  const { supabase, feed } = useProject();
  const followed = useMemo(() => new FollowedTask(supabase, id), [supabase, id]);
  const { task, events, pending, problem } = useSyncExternalStore(followed.watch, followed.state);
  const isOver = task !== null && isFinal(task.status);
  // Somebody else may set an ended task back to pending.
  useEffect(
    () =>
      feed.listen(
        (event) =>
          isOver && event.type === 'task' && event.change.id === id && !isFinal(event.change.status) && followed.look(),
      ),
    [feed, followed, id, isOver],
  );
  const isRunning = task?.status === 'processing';
  const now = useNow(isRunning ? 250 : 1000);
  useKeys({ Escape: () => go(lastList()) });

  if (task === null) {
    return (
      <div className="task-page">
        <BackLink />
        <h1 className="visually-hidden">Task {shortId(id)}</h1>
        {problem && (
          <div className="empty">
            <h2>No such task</h2>
            <p>
              <code>{id}</code> does not exist any more, or is somebody else’s.
            </p>
            <a className="button" href={writeRoute(lastList())}>
              Show tasks
            </a>
          </div>
        )}
      </div>
    );
  }
  const attempts = attemptsOf(task, events);
  return (
    <div className="task-page">
      <BackLink />
      <TaskHead task={task} onChanged={followed.look} />
      <TimeBar segments={segmentsOf(task, attempts, now)} />
      <Progress task={task} />
      <div className="columns">
        <div>
          <OpenQuestions task={task} onAnswered={followed.look} />
          <Answer task={task} events={events} pending={pending} now={now} />
          <AttemptList task={task} attempts={attempts} now={now} />
          <Children task={task} />
          <EventList task={task} events={events} />
        </div>
        <div>
          <TaskFacts task={task} now={now} />
          <JsonTree title="Request" value={task.request_payload} />
          {task.response_payload !== null && <JsonTree title="Response" value={task.response_payload} />}
        </div>
      </div>
    </div>
  );
}

function BackLink(): ReactElement {
  return (
    <nav aria-label="Back">
      <a className="back" href={writeRoute(lastList())}>
        ← Tasks
      </a>
    </nav>
  );
}

function TaskHead({ task, onChanged }: { task: Task; onChanged: () => void }): ReactElement {
  const project = useProject();
  const { isOperator, supabase, say } = project;
  const [showsCode, setShowsCode] = useState(false);
  const [asksToCancel, setAsksToCancel] = useState(false);
  const isOver = isFinal(task.status);
  const doRetry = async () => {
    if (!isOver) return say('It has not ended.');
    if (!isOperator) return say('Retrying needs an operator. Run it again as a task of your own.', 'bad');
    await retry(project, [task.id]);
    onChanged();
  };
  const askToCancel = () => (isOver ? say('It has ended.') : setAsksToCancel(true));
  const runAgain = async () => {
    try {
      const { id } = await submitTask(supabase, task);
      go({ page: 'task', id });
    } catch (error) {
      say(messageOf(error), 'bad');
    }
  };
  useKeys({ r: doRetry, c: askToCancel });
  return (
    <header className="task-head">
      <h1>
        <StateWord status={task.status} />
        <span className="task-name">
          {task.kind}
          {textOf(task.request_payload, 'agent') && (
            <span className="muted"> {textOf(task.request_payload, 'agent')}</span>
          )}
        </span>
        <span className="mono muted">{shortId(task.id)}</span>
        <CopyButton text={task.id} label="Copy id" />
      </h1>
      {task.cancel_requested_at !== null && !isOver && <span className="is-cancelled">is being stopped</span>}
      <div className="actions">
        <button type="button" className="quiet" onClick={() => setShowsCode(true)}>
          As code
        </button>
        <a className="button quiet" href={`#/play?${new URLSearchParams({ kind: task.kind, from: task.id })}`}>
          Edit and run
        </a>
        <button type="button" onClick={runAgain}>
          Run again
        </button>
        {isOver && isOperator && (
          <button type="button" className={task.status === 'completed' ? '' : 'primary'} onClick={doRetry}>
            Retry <kbd>r</kbd>
          </button>
        )}
        {!isOver && (
          <button type="button" className="danger" onClick={askToCancel} disabled={task.cancel_requested_at !== null}>
            Cancel <kbd>c</kbd>
          </button>
        )}
      </div>
      {showsCode && <Snippet task={task} onClose={() => setShowsCode(false)} />}
      {asksToCancel && (
        <Confirm
          title="Cancel this task?"
          action="Cancel task"
          keep="Keep"
          onConfirm={() => void cancel(project, [task.id]).then(onChanged)}
          onClose={() => setAsksToCancel(false)}
        >
          <p>{task.status === 'processing' ? 'Its worker stops the attempt.' : 'It ends without an answer.'}</p>
        </Confirm>
      )}
    </header>
  );
}

function Snippet({ task, onClose }: { task: Task; onClose: () => void }): ReactElement {
  const { url, key } = useProject();
  const code = supabaseSnippet(url, key, task);
  return (
    <Dialog title="The same task from your app" onClose={onClose} wide>
      <Code text={code} label="supabase-js" />
      <div className="actions end">
        <button type="button" onClick={onClose}>
          Close
        </button>
      </div>
    </Dialog>
  );
}

function Progress({ task }: { task: Task }): ReactElement | null {
  if (task.progress === null || isFinal(task.status)) return null;
  const { percent = 0, note = '' } = task.progress;
  return (
    <p className="progress">
      <progress max={100} value={percent} aria-label="Progress" />
      <span>
        {percent} % {note}
      </span>
    </p>
  );
}

function OpenQuestions({ task, onAnswered }: { task: Task; onAnswered: () => void }): ReactElement | null {
  const { supabase } = useProject();
  const [questions, setQuestions] = useState<Awaited<ReturnType<typeof questionsOf>>>([]);
  const { id, status, updated_at } = task;
  // biome-ignore lint/correctness/useExhaustiveDependencies: each change of the task may bring or close one
  useEffect(() => {
    if (status !== 'waiting') return setQuestions([]);
    let isOn = true;
    questionsOf(supabase, id).then(
      (found) => isOn && setQuestions(found.filter((question) => question.status === 'pending')),
      () => undefined,
    );
    return () => {
      isOn = false;
    };
  }, [supabase, id, status, updated_at]);
  return (
    <>
      {questions.map((question) => (
        <QuestionCard key={question.id} question={question} onAnswered={onAnswered} />
      ))}
    </>
  );
}

function Children({ task }: { task: Task }): ReactElement | null {
  const { supabase } = useProject();
  const { id } = task;
  const { data } = usePolled(
    useCallback(() => readChildren(supabase, id), [supabase, id]),
    SLOWLY_MS,
  );
  return data && data.length > 0 ? <ChildList rows={data} /> : null;
}

function TaskFacts({ task, now }: { task: Task; now: number }): ReactElement {
  const { supabase, isOperator } = useProject();
  const { data } = usePolled(
    useCallback(() => (isOperator ? listWorkers(supabase) : Promise.resolve([])), [supabase, isOperator]),
    SLOWLY_MS,
  );
  const worker = data?.find((one) => one.id === task.worker_id)?.name;
  return <Facts task={task} worker={worker} now={now} />;
}
