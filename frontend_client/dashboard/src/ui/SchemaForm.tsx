import { type ReactElement, useId } from 'react';
import type { Field, FormValues } from '../model/schema';

interface SchemaFormProps {
  readonly fields: readonly Field[];
  readonly values: FormValues;
  readonly errors: Readonly<Record<string, string>>;
  readonly onChange: (values: FormValues) => void;
}

/** The inputs of a form from a JSON Schema. What is needed comes first; the rest is folded. */
export function SchemaForm({ fields, values, errors, onChange }: SchemaFormProps): ReactElement {
  const needed = fields.filter((field) => field.isRequired);
  const shown = needed.length > 0 ? needed : fields.slice(0, 1);
  const rest = fields.filter((field) => !shown.includes(field));
  const restIsOpen = rest.some((field) => field.name in errors || field.name in values) || rest.length <= 2;
  const draw = (field: Field) => (
    <Input
      key={field.name}
      field={field}
      value={values[field.name]}
      error={errors[field.name]}
      hasOptionalMark={needed.length > 0}
      onChange={(value) => onChange(withValue(values, field.name, value))}
    />
  );
  return (
    <>
      {shown.map(draw)}
      {rest.length > 0 && restIsOpen && rest.map(draw)}
      {rest.length > 0 && !restIsOpen && (
        <details className="more">
          <summary>{rest.length} more fields</summary>
          {rest.map(draw)}
        </details>
      )}
    </>
  );
}

interface InputProps {
  readonly field: Field;
  readonly value: FormValues[string] | undefined;
  readonly error: string | undefined;
  readonly onChange: (value: FormValues[string] | undefined) => void;
  /** Off where a form has nothing but optional fields. */
  readonly hasOptionalMark: boolean;
}

function Input(props: InputProps): ReactElement {
  const { field, error, hasOptionalMark } = props;
  const id = useId();
  const described = [field.description && `${id}-about`, error && `${id}-error`].filter(Boolean).join(' ');
  const isGroup = field.kind === 'boolean' || field.kind === 'choices';
  const label = (
    <>
      {field.label}
      {!field.isRequired && hasOptionalMark && <span className="muted"> optional</span>}
    </>
  );
  return (
    <div className="field" data-invalid={error !== undefined || undefined}>
      {isGroup ? <span id={`${id}-label`}>{label}</span> : <label htmlFor={id}>{label}</label>}
      <Control {...props} id={id} described={described} />
      {field.description && (
        <p className="hint" id={`${id}-about`}>
          {field.description}
        </p>
      )}
      {error !== undefined && (
        <p className="error" id={`${id}-error`}>
          {error}
        </p>
      )}
    </div>
  );
}

function Control(props: InputProps & { id: string; described: string }): ReactElement {
  const { field, value, error, onChange, id, described } = props;
  const common = { id, 'aria-describedby': described || undefined, 'aria-invalid': error !== undefined };
  const typed = typeof value === 'string' ? value : '';
  switch (field.kind) {
    case 'boolean':
      return <YesNo labelId={`${id}-label`} value={value} isRequired={field.isRequired} onChange={onChange} />;
    case 'choices':
      return <Ticks labelId={`${id}-label`} field={field} value={value} onChange={onChange} />;
    case 'choice':
      return (
        <select {...common} value={typed} onChange={(event) => onChange(event.target.value)}>
          <option value="">{field.isRequired ? 'Choose…' : 'None'}</option>
          {field.options.map((option, index) => (
            <option key={String(option)} value={String(index)}>
              {String(option)}
            </option>
          ))}
        </select>
      );
    case 'number':
    case 'integer':
    case 'text':
      return (
        <input
          {...common}
          type="text"
          inputMode={field.kind === 'text' ? 'text' : field.kind === 'integer' ? 'numeric' : 'decimal'}
          value={typed}
          onChange={(event) => onChange(event.target.value)}
        />
      );
    default:
      return (
        <textarea
          {...common}
          className={field.kind === 'json' ? 'mono' : ''}
          rows={3}
          placeholder={{ json: 'JSON', lines: 'One per line' }[field.kind as string]}
          spellCheck={field.kind === 'longtext'}
          value={typed}
          onChange={(event) => onChange(event.target.value)}
        />
      );
  }
}

interface GroupProps {
  readonly labelId: string;
  readonly value: FormValues[string] | undefined;
  readonly onChange: InputProps['onChange'];
}

function YesNo({ labelId, value, isRequired, onChange }: GroupProps & { isRequired: boolean }): ReactElement {
  const choices = isRequired ? [true, false] : [true, false, undefined];
  return (
    <div className="segments" role="radiogroup" aria-labelledby={labelId}>
      {choices.map((choice) => (
        <label key={String(choice)}>
          <input type="radio" name={labelId} checked={value === choice} onChange={() => onChange(choice)} />
          <span>{choice === undefined ? 'Not said' : choice ? 'Yes' : 'No'}</span>
        </label>
      ))}
    </div>
  );
}

function Ticks({ labelId, field, value, onChange }: GroupProps & { field: Field }): ReactElement {
  const picked = Array.isArray(value) ? (value as readonly number[]) : [];
  const toggle = (index: number) =>
    onChange(picked.includes(index) ? picked.filter((one) => one !== index) : [...picked, index].sort((a, b) => a - b));
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset cannot be labelled by the label above it
    <div className="ticks" role="group" aria-labelledby={labelId}>
      {field.options.map((option, index) => (
        <label key={String(option)}>
          <input type="checkbox" checked={picked.includes(index)} onChange={() => toggle(index)} />
          {String(option)}
        </label>
      ))}
    </div>
  );
}

function withValue(values: FormValues, name: string, value: FormValues[string] | undefined): FormValues {
  const { [name]: _, ...rest } = values;
  return value === undefined ? rest : { ...rest, [name]: value };
}
