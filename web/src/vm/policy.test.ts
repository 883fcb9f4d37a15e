import { expect, test } from 'vitest';

import type { Policy, Vm } from '../api/types';
import { changeTo, homeAlone, presentParts, requestFor, sameForAll, withHome, type Options } from './policy';

const PLAIN = 'Datastore Default';
const CRYPT = 'VM Encryption Policy';
const policies: Policy[] = [
  { name: CRYPT, encrypts: true, built_in: true, description: '' },
  { name: PLAIN, encrypts: false, built_in: true, description: '' },
];
const vm: Vm = {
  id: 'v',
  name: 'web01',
  power: 'off',
  padlock: 'none',
  policy: PLAIN,
  providers: [],
  disks: ['vda', 'vdb'].map((target) => ({ target, source: target, format: 'qcow2', encrypted: false })),
};
const options: Options = { provider: '', method: '', folder: '', wipe: 'discard' };

test('nothing changes until something is chosen', () => {
  expect(changeTo(vm, presentParts(vm, policies), policies)).toBe('nothing');
});

test('an encrypted disk takes the VM home with it', () => {
  const parts = withHome({ home: PLAIN, disks: { vda: CRYPT, vdb: PLAIN } }, policies);
  expect(parts.home).toBe(CRYPT);
  expect(requestFor(vm, parts, policies, options)).toEqual({ policy: CRYPT, disks: ['vda'] });
});

test('the VM home is not encrypted alone', () => {
  expect(homeAlone(vm, { home: CRYPT, disks: { vda: PLAIN, vdb: PLAIN } }, policies)).toBe(true);
  expect(homeAlone({ ...vm, disks: [] }, { home: CRYPT, disks: {} }, policies)).toBe(false);
});

test('all disks are asked for by naming none', () => {
  const request = requestFor(vm, sameForAll(vm, CRYPT), policies, { provider: 'p', method: 'copy', folder: '/srv/x', wipe: 'zero' });
  expect(request).toEqual({ policy: CRYPT, provider: 'p', method: 'copy', home: '/srv/x', wipe: 'zero' });
});

test('decrypting takes none of what belongs to encrypting', () => {
  const parts = sameForAll(vm, PLAIN);
  expect(changeTo({ ...vm, padlock: 'encrypted', policy: CRYPT }, parts, policies)).toBe('decrypt');
  expect(requestFor(vm, parts, policies, { provider: 'p', method: 'in-place', folder: '/x', wipe: 'zero' })).toEqual({
    policy: PLAIN,
    method: 'in-place',
  });
});
