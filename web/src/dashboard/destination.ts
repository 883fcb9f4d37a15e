// Where what needs attention is mended.
import type { Attention, AttentionKind } from '../api/types';
import type { Filter } from '../inventory/query';
import { PROVIDERS, providerPath } from '../providers/path';

export interface Destination {
  path: string;
  /** Which VMs are to be shown there. */
  filter?: Filter;
}

const VMS = '/cluster/vms';

const BY_KIND: Record<AttentionKind, Destination> = {
  'no-provider': { path: PROVIDERS },
  'no-default-provider': { path: PROVIDERS },
  'provider-not-backed-up': { path: PROVIDERS },
  'provider-not-trusted': { path: PROVIDERS },
  'provider-degraded': { path: PROVIDERS },
  'key-alarm': { path: PROVIDERS },
  'vm-locked': { path: VMS, filter: 'locked' },
  'vm-problem': { path: VMS, filter: 'all' },
  'recrypt-due': { path: '/migration' },
  'feature-disabled': { path: '/settings' },
};

export function whereTo({ kind, provider, vm }: Attention): Destination {
  if (provider) return { path: providerPath(provider.id) };
  return vm ? { path: `/vms/${vm.id}` } : BY_KIND[kind];
}
