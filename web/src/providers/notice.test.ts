import { expect, test } from 'vitest';

import type { KeyVersion, Provider } from '../api/types';
import { noticeOf } from './notice';

const version = (state: KeyVersion['state']): KeyVersion => ({ id: state, fingerprint: '', state, created: '' });
const provider = (rest: Partial<Provider>): Provider => ({
  id: '',
  name: '',
  kind: 'native',
  state: 'active',
  default: false,
  created: '',
  tpm_required: false,
  vms: 0,
  versions: [version('current')],
  ...rest,
});

test('one that is backed up needs nothing', () => {
  expect(noticeOf(provider({}))).toBeUndefined();
});

test('a new key asks for a backup while the last one goes on', () => {
  expect(noticeOf(provider({ versions: [version('not-backed-up'), version('current')] }))?.says).toBe('new-key');
});

test('trust has two steps, the second of which may wait for a certificate', () => {
  const kms = { servers: ['kms:5696'] };
  expect(noticeOf(provider({ kind: 'standard', state: 'not-trusted', versions: [], kms }))?.steps).toEqual(['trust']);
  expect(noticeOf(provider({ kind: 'standard', versions: [], kms }))?.says).toBe('no-identity');
  expect(noticeOf(provider({ kind: 'standard', versions: [], kms: { ...kms, csr_pending: true } }))?.says).toBe('csr');
});
