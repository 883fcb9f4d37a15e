import { expect, test } from 'vitest';

import { EVERYTHING, queryOf } from './query';

test('what is not chosen is not asked for', () => {
  expect(queryOf(EVERYTHING)).toEqual({});
  expect(queryOf({ search: ' web ', filter: 'due', provider: 'p' })).toEqual({ search: 'web', due: true, provider: 'p' });
});
