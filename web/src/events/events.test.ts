import { expect, test } from 'vitest';

import type { CadenasEvent } from '../api/types';
import { en } from '../i18n/en';
import { merged, wanted } from './filter';
import { kindWords, severity } from './kinds';

const event = (sequence: number, kind: string, message: string): CadenasEvent => ({ sequence, kind, message, at: '2026-01-01T00:00:00Z' });
const EVENTS = [event(2, 'vm.encrypted', 'web01: two disks'), event(1, 'vm.started', 'VM web02 started')];

test('every word has to occur, whatever its case', () => {
  const said = ({ message }: CadenasEvent): string => message;
  expect(wanted(EVENTS, { kind: '', text: ' Disks WEB01 ' }, said)).toEqual([EVENTS[0]]);
  expect(wanted(EVENTS, { kind: 'vm.started', text: 'web01' }, said)).toEqual([]);
});

test('an event that came twice is there once', () => {
  expect(merged([event(3, 'a', '')], [...EVENTS, event(3, 'a', '')]).map(({ sequence }) => sequence)).toEqual([3, 2, 1]);
});

test('the end of a task is said with the name of the task', () => {
  expect(kindWords('vm.encrypted', en)).toBe('VM encrypted');
  expect(kindWords('vm.recrypt-all-cancelled', en)).toBe('Re-encrypt many VMs: cancelled');
  expect(kindWords('vm.newer-than-this-console', en)).toBe('vm.newer-than-this-console');
});

test('what went wrong stands out', () => {
  expect(['vm.recrypt-failed', 'vm.encrypt-interrupted', 'vm.encrypt-cancelled'].map(severity)).toEqual(['danger', 'warning', undefined]);
});
