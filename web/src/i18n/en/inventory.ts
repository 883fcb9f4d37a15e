import type { Padlock, PowerState, RecryptKind } from '../../api/types';
import { counted } from '../plural';

const powers: Record<PowerState, string> = {
  off: 'Powered off',
  running: 'Powered on',
  paused: 'Suspended',
  other: 'Changing',
  unknown: 'Unknown',
};
const padlocks: Record<Padlock, string> = { none: 'Not encrypted', encrypted: 'Encrypted', locked: 'Locked' };
const due: Record<RecryptKind, string> = { shallow: 'Re-encrypt', deep: 'Re-encrypt (deep)' };

export const inventory = {
  title: 'Inventory',
  hosts: 'Hosts',
  vms: 'VMs',
  vmCount: counted('en', 'VM', 'VMs'),
  search: 'Search by name',
  clearSearch: 'Clear the search',
  show: 'Show',
  filters: {
    all: 'All VMs',
    encrypted: 'Encrypted',
    locked: 'Locked',
    plain: 'Not encrypted',
    running: 'Powered on',
    due: 'To be re-encrypted',
  },
  provider: 'Key provider',
  anyProvider: 'All providers',
  expand: (name: string) => `Expand ${name}`,
  collapse: (name: string) => `Collapse ${name}`,
  columns: { name: 'Name', power: 'State', padlock: 'Encryption', provider: 'Key provider', age: 'Key age', due: 'Due' },
  powers,
  padlocks,
  diskPadlocks: padlocks,
  template: 'Template',
  due,
  empty: 'This host has no virtual machine yet. One that libvirt knows appears here by itself.',
  emptyHint: 'An encrypted VM from elsewhere is added by its VM home.',
  noMatch: 'No virtual machine matches.',
  noMatchHint: 'Search for something else, or show all VMs.',
  showAll: 'Show all VMs',
  register: 'Register VM…',
  tabs: { summary: 'Summary', configure: 'Configure', vms: 'VMs' },
  facts: { hosts: 'Hosts', vms: 'Virtual machines', running: 'Powered on', encrypted: 'Encrypted', locked: 'Locked', due: 'To be re-encrypted' },
  defaultProvider: 'Default key provider',
  noDefault: 'None is set',
  checks: 'What this host has and lacks',
};
