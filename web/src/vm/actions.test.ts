import { expect, test } from 'vitest';

import type { VmAction } from '../api/types';
import { withProvider } from './actions';

const refused = (code: NonNullable<VmAction['reason']>['code']): VmAction => ({
  operation: 'encrypt',
  allowed: false,
  reason: { type: '', title: '', status: 409, code, detail: '' },
});

test('choosing a provider removes what only the default one is in the way of', () => {
  expect(withProvider(refused('no-default-provider'), 'p')?.allowed).toBe(true);
  expect(withProvider(refused('no-default-provider'), '')?.allowed).toBe(false);
  expect(withProvider(refused('vm-not-off'), 'p')?.allowed).toBe(false);
  expect(withProvider(undefined, 'p')).toBeUndefined();
});
