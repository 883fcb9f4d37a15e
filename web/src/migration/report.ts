// What became of each VM of a migration: from the task's outcome, and from the events that it wrote.
import { answer, api } from '../api/client';
import type { BulkFailure, CadenasEvent, Task } from '../api/types';
import type { Dictionary } from '../i18n/en';

/** The kind of task that re-encrypts many VMs. */
export const MIGRATION = 'vm.recrypt-all';
/** The most that the server gives at once. */
const PAGE = 1_000;

/** The task's own events about VMs, oldest first. */
export async function eventsOf(task: Task): Promise<CadenasEvent[]> {
  const found: CadenasEvent[] = [];
  let page: CadenasEvent[] = [];
  do {
    const before = page.at(-1)?.sequence;
    const query = { newest_first: true, limit: PAGE, ...(before !== undefined && { after: before }) };
    page = await answer(api.GET('/api/v1/events', { params: { query } }));
    found.push(...page.filter((event) => event.task === task.id && event.vm));
  } while (page.length === PAGE && Date.parse(page.at(-1)?.at ?? '') >= Date.parse(task.created));
  return found.reverse();
}

/** Failures first; those that the outcome has no room for are among the events. */
export function reportRows(task: Task, events: readonly CadenasEvent[], t: Dictionary): string[][] {
  const { report, results } = t.migration;
  const failures = task.outcome?.bulk?.failures ?? [];
  const listed = new Set(failures.map(({ vm }) => vm));
  const failed = ({ vm, name, problem }: BulkFailure): string[] => {
    const { code, detail, next } = problem;
    return [results.failed, vm, `${name}: ${detail}`, t.problems[code].title, t.problems[code].next ?? next ?? ''];
  };
  const told = events.filter(({ vm, kind }) => !(kind === 'vm.recrypt-failed' && listed.has(vm ?? '')));
  const result = (kind: string): string => (kind === 'vm.recrypt-failed' ? results.failed : results.changed);
  return [
    [report.result, report.vm, report.message, report.code, report.next],
    ...failures.map(failed),
    ...told.map(({ kind, vm, message }) => [result(kind), vm ?? '', message, '', '']),
  ];
}
