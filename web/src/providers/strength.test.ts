import { expect, test } from 'vitest';

import { strength } from './strength';

test('long and varied passwords are strong, short and repeated ones are not', () => {
  expect(strength('')).toBe(0);
  expect(strength('aaaaaaaaaaaaaaaaaaaaaaaa')).toBe(0);
  expect(strength('12345678')).toBe(0);
  expect(strength('correct horse battery staple')).toBeGreaterThanOrEqual(3);
  expect(strength('kT9#mQ2!vX7@pL4z')).toBe(4);
});
