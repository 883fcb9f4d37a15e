// The server's events, as many as were asked for, without a gap between them.
import { untrack } from 'svelte';

import { answer, api, problemOf } from '../api/client';
import { afterChanges } from '../api/load.svelte';
import type { CadenasEvent, Problem } from '../api/types';
import { merged } from './filter';

const PAGE = 200;
/** The most that the server gives at once. */
const LARGEST_PAGE = 1_000;

export class EventLog {
  /** Newest first; undefined until the first answer. */
  events = $state.raw<CadenasEvent[]>();
  /** Whether there may be older ones. */
  more = $state(false);
  problem = $state.raw<Problem>();
  #older: Promise<void> | undefined;
  #last: Promise<void> = Promise.resolve();

  /** Asks at once, and for newer ones after changes, as long as the component is there. */
  constructor() {
    $effect(() => untrack(() => void this.older()));
    afterChanges(() => void this.newer());
  }

  /** Asked for again while it is at it, it does not begin anew. */
  older = (): Promise<void> => (this.#older ??= this.#next(this.#askOlder).finally(() => (this.#older = undefined)));

  newer = (): Promise<void> => (this.events ? this.#next(this.#askNewer) : this.older());

  #askOlder = async (): Promise<void> => {
    const oldest = this.events?.at(-1)?.sequence;
    const found = await ask({ newest_first: true, limit: PAGE, ...(oldest !== undefined && { after: oldest }) });
    this.more = found.length === PAGE;
    this.events = merged(this.events ?? [], found);
  };

  #askNewer = async (): Promise<void> => {
    let found: CadenasEvent[];
    do {
      found = await ask({ after: this.events?.[0]?.sequence ?? 0, limit: LARGEST_PAGE });
      this.events = merged(found, this.events ?? []);
    } while (found.length === LARGEST_PAGE);
  };

  /** One question after the other: each begins where the last answer ended. */
  #next(act: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(act).then(
      () => void (this.problem = undefined),
      (error: unknown) => void (this.problem = problemOf(error)),
    );
    return this.#last;
  }
}

function ask(query: { after?: number; limit: number; newest_first?: boolean }): Promise<CadenasEvent[]> {
  return answer(api.GET('/api/v1/events', { params: { query } }));
}
