// Which rows of a long list are drawn, and which one the keyboard goes to.

/** Rows drawn above and below what is seen, so that scrolling does not show gaps. */
const SPARE = 8;

export interface Range {
  from: number;
  /** Not included. */
  to: number;
}

export function drawn(count: number, rowHeight: number, scrollTop: number, height: number): Range {
  const from = Math.max(0, Math.floor(scrollTop / rowHeight) - SPARE);
  const to = Math.min(count, Math.ceil((scrollTop + height) / rowHeight) + SPARE);
  return { from: Math.min(from, to), to };
}

/** Where a key leads from the row `at`; undefined of other keys. */
export function landing(key: string, at: number, count: number, page: number): number | undefined {
  const steps: Record<string, number> = {
    ArrowDown: at + 1,
    ArrowUp: at - 1,
    PageDown: at + page,
    PageUp: at - page,
    Home: 0,
    End: count - 1,
  };
  const wanted = steps[key];
  return wanted === undefined ? undefined : Math.max(0, Math.min(count - 1, wanted));
}

/** The scroll position at which row `index` is seen as a whole, as near to `scrollTop` as possible. */
export function revealing(index: number, rowHeight: number, scrollTop: number, height: number): number {
  const top = index * rowHeight;
  return Math.max(top + rowHeight - height, Math.min(scrollTop, top));
}
