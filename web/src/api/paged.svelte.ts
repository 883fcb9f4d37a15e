// A long list that the server gives page by page.
import { untrack } from 'svelte';

import { afterChanges } from './load.svelte';
import { problemOf } from './client';
import type { Problem } from './types';

const PAGE = 100;

export interface Page<Row> {
  rows: Row[];
  /** How many rows there are in all. */
  total: number;
}

export class PagedList<Row> {
  /** Undefined until the first answer. */
  total = $state.raw<number>();
  problem = $state.raw<Problem>();
  #pages = $state.raw<ReadonlyMap<number, Row[]>>(new Map());
  #ask: (offset: number, limit: number) => Promise<Page<Row>>;
  #asked = new Map<number, Promise<Page<Row>>>();
  #seen = [0];

  /** Asks at once, again after changes, and again when state that `ask` reads changes; what was shown stays until the answer. */
  constructor(ask: (offset: number, limit: number) => Promise<Page<Row>>) {
    this.#ask = ask;
    $effect(() => void this.refresh());
    afterChanges(() => void this.refresh());
  }

  row = (index: number): Row | undefined => this.#pages.get(Math.floor(index / PAGE))?.[index % PAGE];

  /** Rows `from` to `to` are about to be seen. */
  need = (from: number, to: number): void => {
    // Until it is known how many there are, the first page is on its way.
    if (to <= from) return;
    this.#seen = pagesOf(from, to);
    const missing = this.#seen.filter((page) => !this.#asked.has(page));
    // Whoever shows rows is not to depend on what the question reads.
    untrack(() => missing.forEach((page) => this.#request(page)));
    if (missing.length > 0) void this.#publish(this.#asked);
  };

  refresh = (): Promise<void> => {
    this.#asked = new Map();
    for (const page of this.#seen) this.#request(page);
    return this.#publish(this.#asked);
  };

  #request(page: number): void {
    this.#asked.set(page, this.#ask(page * PAGE, PAGE));
  }

  /** Shows what was asked for in one go, unless the question changed meanwhile. */
  async #publish(asked: Map<number, Promise<Page<Row>>>): Promise<void> {
    try {
      const got = await Promise.all([...asked].map(async ([number, page]) => [number, await page] as const));
      if (asked !== this.#asked) return;
      this.#pages = new Map(got.map(([number, { rows }]) => [number, rows]));
      [this.total, this.problem] = [got[0]?.[1].total ?? 0, undefined];
    } catch (error) {
      if (asked === this.#asked) this.problem = problemOf(error);
    }
  }
}

function pagesOf(from: number, to: number): number[] {
  const [first, last] = [Math.floor(from / PAGE), Math.floor(Math.max(from, to - 1) / PAGE)];
  return Array.from({ length: last - first + 1 }, (_, place) => first + place);
}
