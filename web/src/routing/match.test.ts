import { expect, test } from 'vitest';

import { match } from './match';

test('parts with a colon are taken, decoded', () => {
  expect(match('/vms/:id', '/vms/a%2Fb')).toEqual({ id: 'a/b' });
  expect(match('/cluster/key-providers', '/cluster/key-providers/')).toEqual({});
  expect(match('/', '/')).toEqual({});
});

test('another path is none', () => {
  expect(match('/vms/:id', '/vms')).toBeUndefined();
  expect(match('/vms/:id', '/vms/a/b')).toBeUndefined();
  expect(match('/vms/:id', '/hosts/a')).toBeUndefined();
  expect(match('/vms/:id', '/vms/%E0%A4%A')).toBeUndefined();
});
