import { expect, test } from 'vitest';

import { fingerprint, urgency } from './certificates';

test('a fingerprint looks as openssl writes it', () => {
  expect(fingerprint('0aff10')).toBe('0A:FF:10');
});

test('only what expires within 30 days is urgent', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  expect(urgency('2026-03-01T00:00:00Z', now)).toBeUndefined();
  expect(urgency('2026-01-02T00:00:00Z', now)).toBe(86_400);
  expect(urgency('2025-12-31T00:00:00Z', now)).toBe(0);
});
