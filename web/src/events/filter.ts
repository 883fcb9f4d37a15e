// Which of the loaded events are shown.
import type { CadenasEvent } from '../api/types';

export interface Wanted {
  /** Empty: any. */
  kind: string;
  /** Words that all have to occur somewhere. */
  text: string;
}

export const ANY: Wanted = { kind: '', text: '' };

/** `words` gives everything that can be read of an event. */
export function wanted(events: readonly CadenasEvent[], { kind, text }: Wanted, words: (event: CadenasEvent) => string): CadenasEvent[] {
  const sought = text.toLowerCase().split(/\s+/).filter(Boolean);
  return events.filter((event) => {
    if (kind && event.kind !== kind) return false;
    if (sought.length === 0) return true;
    const said = words(event).toLowerCase();
    return sought.every((word) => said.includes(word));
  });
}

/** Both lists as one, newest first, each event once. */
export function merged(one: readonly CadenasEvent[], other: readonly CadenasEvent[]): CadenasEvent[] {
  const bySequence = new Map([...one, ...other].map((event) => [event.sequence, event]));
  return [...bySequence.values()].sort((first, second) => second.sequence - first.sequence);
}
