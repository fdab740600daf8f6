import { type FormEvent, type ReactElement, useMemo, useState } from 'react';
import { messageOf } from '../data/failure';
import { answerQuestion } from '../data/tasks';
import { ago, shortId, words } from '../model/format';
import { decisionField, type FormValues, fieldsOf, initialValues, readForm } from '../model/schema';
import { isPutTo, type JsonObject, type Question } from '../model/task';
import { Code } from '../ui/Code';
import { useKeys, useNow } from '../ui/hooks';
import { JsonValue } from '../ui/JsonTree';
import { useProject } from '../ui/project';
import { SchemaForm } from '../ui/SchemaForm';

interface QuestionCardProps {
  readonly question: Question;
  readonly onAnswered: () => void;
  /** Whether `a` and `d` decide this one. */
  readonly hasKeys?: boolean;
}

/** A question with what one has to know for it, and the form of its answer. */
export function QuestionCard({ question, onAnswered, hasKeys = false }: QuestionCardProps): ReactElement {
  const now = useNow();
  const { session } = useProject();
  const isMine = isPutTo(question, session.user.id);
  const facts = Object.keys(question.context).length > 0;
  return (
    <section className="card question" aria-label={question.title}>
      <header>
        <h2>{question.title}</h2>
        <p className="muted small">
          {words(question.type)} · asked {ago(question.created_at, now)}
          {question.expires_at !== null && ` · expires ${ago(question.expires_at, now)}`}
          {question.priority !== 'medium' && <b className={`urgency is-${question.priority}`}>{question.priority}</b>}
        </p>
      </header>
      {question.description && <p className="said">{question.description.trim().replaceAll(/\n{3,}/gu, '\n\n')}</p>}
      {facts && <JsonValue value={question.context} />}
      {question.type === 'client_tool' ? (
        <p className="hint">The client of this task has to run these tools; nobody answers here.</p>
      ) : !isMine ? (
        <>
          <p className="hint">It is not put to you. From a machine that reaches the database it is answered with:</p>
          <Code text={`agent-worker tasks answer ${shortId(question.id)} '{"approved": true}'`} label="Command" />
        </>
      ) : (
        <AnswerForm key={question.id} question={question} onAnswered={onAnswered} hasKeys={hasKeys} />
      )}
    </section>
  );
}

function AnswerForm({ question, onAnswered, hasKeys }: Required<QuestionCardProps>): ReactElement {
  const { supabase, say } = useProject();
  const fields = useMemo(() => fieldsOf(question.form), [question.form]);
  const decision = decisionField(fields);
  const [values, setValues] = useState<FormValues>(() => initialValues(fields));
  const [errors, setErrors] = useState<Readonly<Record<string, string>>>({});
  const [isBusy, setBusy] = useState(false);

  const send = async (response: JsonObject, sentence: string) => {
    setBusy(true);
    try {
      await answerQuestion(supabase, question.id, response);
      say(sentence);
    } catch (error) {
      say(messageOf(error), 'bad');
    }
    setBusy(false);
    onAnswered();
  };
  const submit = (extra: JsonObject, sentence: string) => {
    const read = readForm(fields, values);
    const wrong = Object.entries(read.errors).filter(([name]) => !(name in extra));
    setErrors(Object.fromEntries(wrong));
    if (wrong.length === 0 && !isBusy) void send({ ...read.payload, ...extra }, sentence);
  };
  const decide = (verdict: boolean) =>
    decision &&
    submit({ [decision.name]: verdict }, verdict ? 'Approved. The task goes on.' : 'Rejected. The task goes on.');
  useKeys(hasKeys && decision ? { a: () => decide(true), d: () => decide(false) } : {});

  return (
    <form
      noValidate
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        if (decision === null) submit({}, 'Answered. The task goes on.');
      }}
    >
      <SchemaForm
        fields={fields.filter((field) => field !== decision)}
        values={values}
        errors={errors}
        onChange={setValues}
      />
      <div className="actions">
        {decision === null ? (
          <button type="submit" className="primary" disabled={isBusy}>
            Answer
          </button>
        ) : (
          <>
            <button type="button" className="primary" disabled={isBusy} onClick={() => decide(true)}>
              {decision.name === 'approved' ? 'Approve' : `${decision.label}: yes`} {hasKeys && <kbd>a</kbd>}
            </button>
            <button type="button" className="danger" disabled={isBusy} onClick={() => decide(false)}>
              {decision.name === 'approved' ? 'Reject' : `${decision.label}: no`} {hasKeys && <kbd>d</kbd>}
            </button>
          </>
        )}
      </div>
    </form>
  );
}
