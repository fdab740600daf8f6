import { useAgentTask } from '@agent-worker/client/react';
import { type FormEvent, useState } from 'react';

interface Turn {
  question: string;
  answer: string;
}

/** One question at a time: the answer streams in, and joins the conversation when it is complete. */
export function Chat() {
  const [turns, setTurns] = useState<Turn[]>([]);
  const [question, setQuestion] = useState('');
  const [asked, setAsked] = useState('');
  const { submitTask, isSubmitting, isProcessing, text, error, cancel } = useAgentTask({
    enterpriseId: 'example',
    onComplete: (task) => {
      const answer = String(task.response_payload?.answer ?? '');
      setTurns((before) => [...before, { question: asked, answer }]);
      setAsked('');
    },
  });
  const isBusy = isSubmitting || isProcessing;

  async function ask(event: FormEvent) {
    event.preventDefault();
    const prompt = question.trim();
    if (!prompt || isBusy) return;
    setAsked(prompt);
    setQuestion('');
    // What goes wrong is in `error`, beside the question it belongs to.
    await submitTask({ prompt }).catch(() => undefined);
  }

  return (
    <main>
      <h1>Chat</h1>
      <ol aria-live="polite">
        {turns.map((turn, index) => (
          <li key={index}>
            <p className="question">{turn.question}</p>
            <p className="answer">{turn.answer}</p>
          </li>
        ))}
        {asked && (
          <li>
            <p className="question">{asked}</p>
            {error ? <p role="alert">{error.message}</p> : <p className="answer">{text || '…'}</p>}
          </li>
        )}
      </ol>
      <form onSubmit={ask}>
        <input
          aria-label="Question"
          autoFocus
          onChange={(event) => setQuestion(event.target.value)}
          placeholder="Ask something"
          value={question}
        />
        {isBusy ? (
          <button onClick={() => void cancel()} type="button">
            Stop
          </button>
        ) : (
          <button type="submit">Ask</button>
        )}
      </form>
    </main>
  );
}
