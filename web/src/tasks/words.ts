// What is said about a task.
import { pace, secondsLeft } from '../api/tasks';
import type { Task } from '../api/types';
import type { Dictionary } from '../i18n/en';
import { bytes, number, span } from '../i18n/format';

interface Language {
  t: Dictionary;
  code: string;
}

export function taskName({ kind }: Pick<Task, 'kind'>, { t }: Language): string {
  return t.tasks.kinds[kind] ?? kind;
}

/** What it is done to. The server's own words for many VMs are English. */
export function targetName({ vm, vm_name }: Pick<Task, 'vm' | 'vm_name'>, { t, code }: Language): string {
  return vm || code === 'en' ? vm_name : t.tasks.manyVms;
}

/** Where what it is done to is looked at. */
export function targetPath({ id, vm }: Pick<Task, 'id' | 'vm'>): string {
  return vm ? `/vms/${vm}` : `/migration/${id}`;
}

/** How much is done, how fast it goes, and how long it will take: `20 GiB of 64 GiB, 310 MiB/s, about 2 minutes left`. */
export function progressWords(task: Task, now: number, { t, code }: Language): string {
  const { done, total, unit } = task.progress;
  if (total === 0) return '';
  const of = unit === 'vms' ? t.tasks.vms(number(done, code), number(total, code)) : t.tasks.progress(bytes(done, code), bytes(total, code));
  const fast = pace(task, now);
  const rate = fast === undefined ? '' : unit === 'vms' ? t.tasks.vmRate(number(Math.round(fast), code)) : t.tasks.rate(bytes(fast, code));
  const left = secondsLeft(task, now);
  return [of, rate, left === undefined ? '' : t.tasks.left(span(left, code))].filter(Boolean).join(', ');
}
