import { expect, test } from 'vitest';

import { bytes, span } from './format';

const plain = (text: string): string => text.replaceAll(/[\u00a0\u202f]/g, ' ');

test('sizes come in the unit that fits', () => {
  expect(plain(bytes(0, 'en'))).toBe('0 bytes');
  expect(plain(bytes(1_500_000_000, 'en'))).toBe('1.5 GB');
  expect(plain(bytes(1_500_000_000, 'fr'))).toBe('1,5 Go');
  expect(plain(bytes(68_719_476_736, 'en'))).toBe('69 GB');
});

test('durations come in their largest unit', () => {
  expect(span(0, 'en')).toBe('0 seconds');
  expect(span(90, 'en')).toBe('1 minute');
  expect(plain(span(3 * 86_400 + 5, 'fr'))).toBe('3 jours');
});
