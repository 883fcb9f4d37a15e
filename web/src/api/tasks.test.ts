import { expect, test } from 'vitest';

import { secondsLeft, share, upsert } from './tasks';
import type { Task } from './types';

const task = (id: string, created: string, done = 0, total = 0): Task => ({
  id,
  created,
  kind: 'vm.encrypt',
  vm_name: id,
  state: 'running',
  by: { uid: 0 },
  progress: { done, total },
});

test('tasks stay in order, and each stands there once', () => {
  const [old, fresh] = [task('a', '2026-01-01T00:00:00.9Z'), task('b', '2026-01-01T00:00:10Z')];
  expect(upsert(upsert([], fresh), old).map(({ id }) => id)).toEqual(['b', 'a']);
  expect(upsert([fresh, old], { ...old, state: 'failed' }).map(({ state }) => state)).toEqual(['running', 'failed']);
});

test('a task without a total has no share', () => {
  expect(share(task('a', ''))).toBeUndefined();
  expect(share(task('a', '', 5, 4))).toBe(1);
});

test('the time left follows the pace so far', () => {
  const begun = '2026-01-01T00:00:00Z';
  const now = Date.parse(begun) + 10_000;
  expect(secondsLeft(task('a', begun, 25, 100), now)).toBe(30);
  expect(secondsLeft(task('a', begun, 1, 100), now)).toBeUndefined();
});
