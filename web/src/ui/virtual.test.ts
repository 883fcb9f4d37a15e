import { expect, test } from 'vitest';

import { drawn, landing, revealing } from './virtual';

test('only rows near those that are seen are drawn', () => {
  expect(drawn(10_000, 32, 0, 320)).toEqual({ from: 0, to: 18 });
  expect(drawn(10_000, 32, 32_000, 320)).toEqual({ from: 992, to: 1_018 });
  expect(drawn(3, 32, 0, 320)).toEqual({ from: 0, to: 3 });
  expect(drawn(3, 32, 9_000, 320)).toEqual({ from: 3, to: 3 });
});

test('keys stay within the list', () => {
  expect(landing('ArrowDown', 2, 3, 10)).toBe(2);
  expect(landing('PageUp', 25, 100, 10)).toBe(15);
  expect(landing('End', 0, 100, 10)).toBe(99);
  expect(landing('x', 0, 100, 10)).toBeUndefined();
});

test('a row comes into view by the shortest way', () => {
  expect(revealing(0, 32, 100, 320)).toBe(0);
  expect(revealing(20, 32, 0, 320)).toBe(352);
  expect(revealing(5, 32, 64, 320)).toBe(64);
});
