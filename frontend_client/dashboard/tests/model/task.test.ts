import { expect, test } from 'vitest';
import { isPutTo, subjectOf } from '../../src/model/task';
import { row } from './samples';

test.each([
  [{ prompt: 'Hello', agent: 'summarise' }, 'Hello'],
  [{ prompt: null, message: 'The last word' }, 'The last word'],
  [{ prompt: '', agent: 'summarise' }, 'summarise'],
  [{ message: '[{"type": "text", "text": "Hi"}]', agent: '{"steps": {}}' }, ''],
  [{}, ''],
])('a task with %o is about %o', (fields, subject) => {
  expect(subjectOf(row(fields))).toBe(subject);
});

test('a question is for whom it is assigned to, else for whoever asked', () => {
  expect(isPutTo({ assignee: 'a', user_id: 'b' }, 'b')).toBe(false);
  expect(isPutTo({ assignee: null, user_id: 'b' }, 'b')).toBe(true);
  expect(isPutTo({ assignee: null, user_id: null }, 'b')).toBe(false);
});
