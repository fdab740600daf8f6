import { type FormEvent, type ReactElement, useEffect, useMemo, useRef, useState } from 'react';
import { messageOf } from '../data/failure';
import { type FormValues, fieldsOf, initialValues, readForm, readJson } from '../model/schema';
import { isObject, type JsonObject } from '../model/task';
import { useProject } from '../ui/project';
import { SchemaForm } from '../ui/SchemaForm';

interface AskFormProps {
  /** JSON Schema of what is asked with. */
  readonly schema: JsonObject;
  readonly given: JsonObject;
  /** The word on the button. */
  readonly action: string;
  /** Whether the first field is where one types at once. */
  readonly hasFocus?: boolean;
  /** Whether there is nothing but what the schema names. */
  readonly isClosed?: boolean;
  readonly onAsk: (payload: JsonObject) => Promise<void>;
}

/** What a task is asked with: a form made from a JSON Schema, or the JSON itself. */
export function AskForm({ schema, given, action, hasFocus, isClosed, onAsk }: AskFormProps): ReactElement {
  const { say } = useProject();
  const fields = useMemo(() => fieldsOf(schema), [schema]);
  const isForeign = Object.keys(given).some((name) => !fields.some((field) => field.name === name));
  const [isRaw, setRaw] = useState(isForeign || (fields.length === 0 && !isClosed));
  const [values, setValues] = useState<FormValues>(() => initialValues(fields, given));
  const [raw, setRawText] = useState(() => JSON.stringify(given, null, 2));
  const [errors, setErrors] = useState<Readonly<Record<string, string>>>({});
  const [isBusy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    if (hasFocus) form.current?.querySelector<HTMLElement>('textarea, input')?.focus();
  }, [hasFocus]);

  const read = (): JsonObject | null => {
    if (isRaw) {
      const typed = readJson(raw);
      if ('value' in typed && isObject(typed.value)) return typed.value;
      setErrors({ raw: 'error' in typed ? typed.error : 'This must be a JSON object.' });
      return null;
    }
    const { payload, errors: wrong } = readForm(fields, values);
    setErrors(wrong);
    return Object.keys(wrong).length > 0 ? null : payload;
  };
  const ask = async () => {
    const payload = read();
    if (payload === null || isBusy) return;
    setErrors({});
    setBusy(true);
    try {
      await onAsk(payload);
    } catch (error) {
      say(messageOf(error), 'bad');
    }
    setBusy(false);
  };
  const toggle = () => {
    if (isRaw) {
      const typed = readJson(raw);
      if ('value' in typed && isObject(typed.value)) setValues(initialValues(fields, typed.value));
    } else setRawText(JSON.stringify(readForm(fields, values).payload, null, 2));
    setErrors({});
    setRaw(!isRaw);
  };
  return (
    <form
      ref={form}
      noValidate
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        void ask();
      }}
      onKeyDown={(event) => {
        if (event.key === 'Enter' && (event.metaKey || event.ctrlKey)) void ask();
      }}
    >
      {isRaw ? (
        <div className="field" data-invalid={'raw' in errors || undefined}>
          <label htmlFor="raw">request_payload</label>
          <textarea
            id="raw"
            className="mono"
            rows={10}
            spellCheck={false}
            value={raw}
            aria-invalid={'raw' in errors}
            onChange={(event) => setRawText(event.target.value)}
          />
          {errors.raw && <p className="error">{errors.raw}</p>}
        </div>
      ) : (
        <SchemaForm fields={fields} values={values} errors={errors} onChange={setValues} />
      )}
      <div className="actions">
        <button type="submit" className="primary" disabled={isBusy}>
          {action} {hasFocus && <kbd>Ctrl Enter</kbd>}
        </button>
        {fields.length > 0 && (
          <button type="button" className="quiet" onClick={toggle}>
            {isRaw ? 'As a form' : 'As JSON'}
          </button>
        )}
      </div>
    </form>
  );
}
