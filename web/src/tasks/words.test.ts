import { expect, test } from 'vitest';

import type { Task } from '../api/types';
import { en } from '../i18n/en';
import { fr } from '../i18n/fr';
import { progressWords, targetName, targetPath } from './words';

const BEGUN = '2026-01-01T00:00:00Z';
const task = (rest: Partial<Task>): Task => ({
  id: 't',
  kind: 'vm.recrypt-all',
  vm_name: 'all VMs with nkp',
  state: 'running',
  by: { uid: 0 },
  created: BEGUN,
  progress: { done: 0, total: 0 },
  ...rest,
});
const plain = (text: string): string => text.replaceAll(/[\u00a0\u202f]/g, ' ');

test('progress comes with its pace and what is left', () => {
  const now = Date.parse(BEGUN) + 10_000;
  const copied = task({ progress: { done: 2 ** 30, total: 2 ** 32, unit: 'bytes' } });
  expect(plain(progressWords(copied, now, { t: en, code: 'en' }))).toBe('1 GiB of 4 GiB, 102 MiB/s, about 30 seconds left');
  const many = task({ progress: { done: 500, total: 1_000, unit: 'vms' } });
  expect(plain(progressWords(many, now, { t: fr, code: 'fr' }))).toBe('500 sur 1 000 VM, 50 VM par seconde, encore environ 10 secondes');
  expect(progressWords(task({}), now, { t: en, code: 'en' })).toBe('');
});

test('a task for many VMs leads to the migration', () => {
  expect(targetPath(task({}))).toBe('/migration/t');
  expect(targetPath(task({ vm: 'v' }))).toBe('/vms/v');
  expect(targetName(task({}), { t: fr, code: 'fr' })).toBe('Plusieurs VM');
});
