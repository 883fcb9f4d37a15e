// Data of the server that is asked for again when something changed there.
import { untrack } from 'svelte';

import { changes } from './changes.svelte';
import { problemOf } from './client';
import type { Problem } from './types';

/** Changes come in bursts; one request answers all of a moment. */
const PAUSE_MS = 250;

/** Calls `act` a moment after something changed, as long as the component is there. */
export function afterChanges(act: () => void): void {
  const seen = changes.version;
  $effect(() => {
    if (changes.version === seen) return;
    const timer = setTimeout(() => untrack(act), PAUSE_MS);
    return () => clearTimeout(timer);
  });
}

/** Asks at once, and again after changes, as long as the component is there. `ask` may read state: it is then asked anew. */
export class Loaded<T> {
  data = $state.raw<T>();
  problem = $state.raw<Problem>();
  #ask: () => Promise<T>;
  #turn = 0;

  constructor(ask: () => Promise<T>) {
    this.#ask = ask;
    $effect(() => void this.again());
    afterChanges(() => void this.again());
  }

  again = async (): Promise<void> => {
    const turn = ++this.#turn;
    try {
      const data = await this.#ask();
      // A later question's answer stands, whichever comes first.
      if (turn === this.#turn) [this.data, this.problem] = [data, undefined];
    } catch (error) {
      if (turn === this.#turn) this.problem = problemOf(error);
    }
  };
}
