import type { AttentionKind } from '../../api/types';
import { counted } from '../plural';

const vms = counted('en', 'VM', 'VMs');
const keys = counted('en', 'key', 'keys');

interface AttentionText {
  /** What is so; `name` is the provider's or the VM's, where there is one. */
  says: (count: number, name: string) => string;
  /** What its button says. */
  button: string;
}

const attention: Record<AttentionKind, AttentionText> = {
  'no-provider': { says: () => 'There is no key provider yet, so no VM can be encrypted.', button: 'Add a key provider' },
  'no-default-provider': { says: () => 'No key provider is the default one.', button: 'Choose the default' },
  'provider-not-backed-up': {
    says: (_, name) => `Key provider ${name} is not backed up. If this server is lost, so is its newest key.`,
    button: 'Back up',
  },
  'provider-not-trusted': { says: (_, name) => `The key servers of ${name} are not trusted yet.`, button: 'Make trust' },
  'provider-degraded': { says: (_, name) => `Key provider ${name} does not work everywhere.`, button: 'Look at it' },
  'key-alarm': { says: (count, name) => `${keys(count)} of ${name} must not be used any more, and VMs still use them.`, button: 'Look at it' },
  'vm-locked': { says: (count, name) => `Locked, because keys are missing: ${name || vms(count)}.`, button: 'Show' },
  'vm-problem': { says: (count, name) => `Something is wrong with ${name || vms(count)}.`, button: 'Show' },
  'recrypt-due': { says: (count, name) => `A re-encryption is due: ${name || vms(count)}.`, button: 'Re-encrypt' },
  'feature-disabled': { says: () => 'Native key providers cannot be created or restored: the feature is switched off.', button: 'Settings' },
};

export const dashboard = {
  title: 'Dashboard',
  vms: 'Virtual machines',
  attention: 'Needs attention',
  fine: 'Nothing needs attention.',
  fineHint: 'Every VM is in order, and every key provider is backed up.',
  share: (percent: string) => `${percent} encrypted`,
  noVms: 'There is no virtual machine yet.',
  kinds: attention,
  counts: { total: 'All', encrypted: 'Encrypted', plain: 'Not encrypted', locked: 'Locked', due: 'To be re-encrypted', running: 'Powered on' },
};
