// Events as a table for other programs: what is stable, beside what is said.
import type { CadenasEvent } from '../api/types';
import type { Dictionary } from '../i18n/en';
import { kindWords } from './kinds';

export function eventRows(events: readonly CadenasEvent[], t: Dictionary, nameOf: (event: CadenasEvent) => string): string[][] {
  const { number, columns, code, itself, task } = t.events;
  const head = [number, columns.at, code, columns.kind, columns.message, columns.target, 'VM', t.vm.provider, columns.by, task];
  const rows = events.map((event) => [
    String(event.sequence),
    event.at,
    event.kind,
    kindWords(event.kind, t),
    event.message,
    nameOf(event),
    event.vm ?? '',
    event.provider ?? '',
    initiator(event, itself),
    event.task ?? '',
  ]);
  return [head, ...rows];
}

/** Who did it; `itself` when nobody asked for it. */
export function initiator({ by }: Pick<CadenasEvent, 'by'>, itself: string): string {
  return by ? (by.user ?? String(by.uid)) : itself;
}
