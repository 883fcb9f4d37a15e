import { expect, test } from 'vitest';

import { bytes, span } from './format';

const plain = (text: string): string => text.replaceAll(/[\u00a0\u202f]/g, ' ');

test('sizes come in the unit that fits', () => {
  expect(plain(bytes(0, 'en'))).toBe('0 B');
  expect(plain(bytes(1_023, 'en'))).toBe('1,023 B');
  expect(plain(bytes(1_610_612_736, 'en'))).toBe('1.5 GiB');
  expect(plain(bytes(1_610_612_736, 'fr'))).toBe('1,5 Gio');
  expect(plain(bytes(2 ** 36, 'en'))).toBe('64 GiB');
});

test('durations come in their largest unit', () => {
  expect(span(0, 'en')).toBe('0 seconds');
  expect(span(90, 'en')).toBe('1 minute');
  expect(plain(span(3 * 86_400 + 5, 'fr'))).toBe('3 jours');
});
