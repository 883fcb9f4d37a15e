// The storage policies of a VM's parts, and the one request that brings them about.
import type { DiskMethod, Policy, SetPolicy, Vm, Wipe } from '../api/types';

export interface Parts {
  /** The policy of the VM home. */
  home: string;
  /** The policy of each disk, by its target. */
  disks: Record<string, string>;
}

export interface Options {
  provider: string;
  method: DiskMethod | '';
  folder: string;
  wipe: Wipe;
}

export type Change = 'encrypt' | 'decrypt' | 'nothing';

export function encrypts(policies: readonly Policy[], name: string): boolean {
  return policies.some((policy) => policy.name === name && policy.encrypts);
}

/** The policies as they are now. */
export function presentParts(vm: Vm, policies: readonly Policy[]): Parts {
  const plain = policies.find((policy) => !policy.encrypts)?.name ?? vm.policy;
  return { home: vm.policy, disks: Object.fromEntries(vm.disks.map((disk) => [disk.target, disk.encrypted ? vm.policy : plain])) };
}

export function sameForAll(vm: Vm, policy: string): Parts {
  return { home: policy, disks: Object.fromEntries(vm.disks.map(({ target }) => [target, policy])) };
}

/** vSphere's rule: no disk is encrypted without the VM home. */
export function withHome(parts: Parts, policies: readonly Policy[]): Parts {
  const encrypting = Object.values(parts.disks).find((name) => encrypts(policies, name));
  return encrypting && !encrypts(policies, parts.home) ? { ...parts, home: encrypting } : parts;
}

/** Whether the VM home alone would be encrypted, which the server cannot be asked for: no disk named means every disk. */
export function homeAlone(vm: Vm, parts: Parts, policies: readonly Policy[]): boolean {
  return vm.disks.length > 0 && encrypts(policies, parts.home) && encryptedDisks(vm, parts, policies).length === 0;
}

function encryptedDisks(vm: Vm, parts: Parts, policies: readonly Policy[]): string[] {
  return vm.disks.map(({ target }) => target).filter((target) => encrypts(policies, parts.disks[target] ?? ''));
}

/** What has to happen for the VM to be so. */
export function changeTo(vm: Vm, parts: Parts, policies: readonly Policy[]): Change {
  const wanted = encrypts(policies, parts.home);
  if (vm.padlock === 'none') return wanted ? 'encrypt' : 'nothing';
  return wanted ? 'nothing' : 'decrypt';
}

export function requestFor(vm: Vm, parts: Parts, policies: readonly Policy[], options: Options): SetPolicy {
  const { provider, method, folder, wipe } = options;
  const how = { policy: parts.home, ...(method && { method }) };
  if (!encrypts(policies, parts.home)) return how;
  const disks = encryptedDisks(vm, parts, policies);
  return {
    ...how,
    ...(disks.length < vm.disks.length && { disks }),
    ...(provider && { provider }),
    ...(folder && { home: folder }),
    ...(wipe !== 'discard' && { wipe }),
  };
}
