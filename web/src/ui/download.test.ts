import { expect, test } from 'vitest';

import { csv } from './download';

test('cells are quoted where they must be, and no cell is a formula', () => {
  expect(csv([['a', 'b,c', 'say "so"'], ['=1+1', 'two\nlines', '']])).toBe('a,"b,c","say ""so"""\r\n\'=1+1,"two\nlines",\r\n');
});
