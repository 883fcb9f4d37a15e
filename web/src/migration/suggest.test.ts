import { expect, test } from 'vitest';

import type { Provider } from '../api/types';
import { ANY, suggestSource, suggestTarget } from './suggest';

const provider = (id: string, kind: Provider['kind'], vms: number, rest: Partial<Provider> = {}): Provider => ({
  id,
  name: id,
  kind,
  state: 'active',
  default: false,
  created: '',
  tpm_required: false,
  versions: [],
  vms,
  ...rest,
});
const KMS = provider('kms', 'standard', 3, { default: true });

test('leaving a key server for a native provider is proposed first', () => {
  const providers = [provider('nkp', 'native', 9), KMS];
  expect(suggestSource(providers)).toBe('kms');
  expect(suggestTarget(providers, 'kms')).toBe('nkp');
});

test('without a native provider that can encrypt it is the default one', () => {
  expect(suggestTarget([provider('nkp', 'native', 0, { state: 'not-backed-up' }), KMS], 'kms')).toBe('kms');
});

test('where there is nothing, nothing is proposed', () => {
  expect(suggestSource([])).toBe(ANY);
  expect(suggestTarget([], ANY)).toBeUndefined();
});
