// A server's state in memory, as the console's tests need it.
import type { CadenasEvent, Feature, PlannedVm, Provider, RecryptAll, RecryptPlan, Summary, Task, Vm, VmAction } from '../../src/api/types';
import { FINGERPRINTS, key } from './providers';

const ENCRYPTED = 'VM Encryption Policy';
const PLAIN = 'Datastore Default';
const DAY = 86_400_000;
const ago = (days: number): string => new Date(Date.now() - days * DAY).toISOString();
const uuid = (number: number): string => `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0')}`;

export const policies = [
  { name: ENCRYPTED, encrypts: true, built_in: true, description: 'Encrypts the VM home and the disks' },
  { name: PLAIN, encrypts: false, built_in: true, description: 'Leaves the VM as it is' },
];

export const checks = [
  { name: 'libvirt', verdict: 'ok', found: 'libvirt 9.0.0 answers' },
  { name: 'qemu', verdict: 'ok', found: 'qemu-img 7.2.18' },
  { name: 'tpm', verdict: 'warning', found: 'there is none', mend: 'Without one the root key lies in a file. Give the host a TPM 2.0.' },
];

const provider = (id: number, name: string, rest: Partial<Provider>): Provider => ({
  id: uuid(id),
  name,
  kind: 'native',
  state: 'active',
  default: false,
  created: ago(40),
  tpm_required: false,
  vms: 0,
  versions: [],
  ...rest,
});

const PROVIDERS = [
  provider(1, 'nkp-paris', {
    default: true,
    key: uuid(9),
    versions: [key(uuid(9), { state: 'current', created: ago(38), backed_up: ago(38), backup_has_password: true })],
  }),
  provider(2, 'kms-lyon', { kind: 'standard', kms: { servers: ['kms1.example:5696', 'kms2.example:5696'], trust: { pinned: [FINGERPRINTS[0]] } } }),
];

function used(index: number): Vm['providers'] {
  const from = PROVIDERS[index % 5 === 0 ? 1 : 0];
  return from ? [{ id: from.id, name: from.name, key: uuid(9), fingerprint: 'f00d', created: ago(38) }] : [];
}

function padlockOf(index: number): Vm['padlock'] {
  if (index % 50 === 49) return 'locked';
  return index % 3 === 0 ? 'none' : 'encrypted';
}

function vm(index: number): Vm {
  const padlock = padlockOf(index);
  const name = `web${String(index + 1).padStart(5, '0')}`;
  const disk = (target: string, size: number) => ({
    target,
    source: padlock === 'none' ? `/srv/vms/${name}-${target}.qcow2` : `/srv/vms/${name}/${target}.qcow2`,
    format: 'qcow2',
    size,
    encrypted: padlock !== 'none',
    ...(padlock !== 'none' && { cipher: 'aes-xts-plain64', key_created: ago(400) }),
  });
  return {
    id: uuid(1_000 + index),
    name,
    power: index % 4 === 1 ? 'running' : 'off',
    padlock,
    policy: padlock === 'none' ? PLAIN : ENCRYPTED,
    providers: padlock === 'none' ? [] : used(index),
    disks: [disk('vda', 34_359_738_368), disk('vdb', 107_374_182_400)],
    ...(padlock !== 'none' && { home: `/srv/vms/${name}` }),
    ...(padlock === 'locked' && { missing_keys: [{ key: uuid(9), provider: uuid(77) }] }),
    ...(index % 7 === 2 && padlock === 'encrypted' && { due: { kind: 'deep' as const, reason: 'its data keys are 400 days old' } }),
    ...(index === 5 && { template: true }),
  };
}

export class World {
  providers: Provider[];
  vms: Vm[];
  tasks: Task[] = [];
  features: Feature[] = [{ name: 'native-key-provider', enabled: true, description: 'Create and restore native key providers.' }];
  /** Oldest first. */
  events: CadenasEvent[] = [];
  told = new Set<(event: string, data: unknown) => void>();

  constructor(count: number) {
    this.vms = Array.from({ length: count }, (_, index) => vm(index));
    const users = (id: string): number => this.vms.filter(({ providers }) => providers.some((used) => used.id === id)).length;
    this.providers = PROVIDERS.map((one) => ({ ...one, vms: users(one.id) }));
  }

  add(provider: Provider): Provider {
    this.providers = [...this.providers, provider];
    this.happen('provider.created', 'a key provider was added', { provider: provider.id });
    return provider;
  }

  /** Changes a provider, and tells of it. */
  change(id: string, change: Partial<Provider>): Provider | undefined {
    this.providers = this.providers.map((one) => (one.id === id ? { ...one, ...change } : one));
    this.happen('provider.active', 'a key provider was changed', { provider: id });
    return this.providers.find((one) => one.id === id);
  }

  tell(task: Task): Task {
    this.tasks = [task, ...this.tasks.filter(({ id }) => id !== task.id)];
    for (const listener of this.told) listener('task', task);
    return task;
  }

  happen(kind: string, message: string, rest: Partial<CadenasEvent> = {}): void {
    const event = { sequence: this.events.length + 1, at: new Date().toISOString(), kind, message, by: { uid: 0, user: 'root' }, ...rest };
    this.events.push(event);
    for (const listener of this.told) listener('event', event);
  }

  begin(vm: Vm, kind: string, rest: Partial<Task> = {}): Task {
    const by = { uid: 0, user: 'root' };
    const progress = { done: 21_474_836_480, total: 68_719_476_736, unit: 'bytes' as const };
    const fresh: Task = { id: crypto.randomUUID(), kind, vm: vm.id, vm_name: vm.name, state: 'running', by, created: new Date().toISOString(), progress };
    return this.tell({ ...fresh, ...rest });
  }

  plan({ from, to }: RecryptAll): RecryptPlan {
    const target = this.providers.find(({ id, default: chosen }) => (to ? id === to : chosen));
    const step = (vm: Vm): Pick<PlannedVm, 'step' | 'reason'> => {
      if (vm.padlock === 'locked') return { step: 'cannot', reason: 'it is locked: a key is missing' };
      return { step: vm.providers.every(({ id }) => id === target?.id) ? 'already-so' : 'recrypt' };
    };
    const asked = this.vms.filter(({ padlock, providers }) => padlock !== 'none' && (!from || providers.some(({ id }) => id === from)));
    return { to: target?.id ?? '', to_name: target?.name ?? '', vms: asked.map((vm) => ({ vm: vm.id, name: vm.name, ...step(vm) })) };
  }

  /** Re-encrypting many VMs, which has just begun. */
  beginMany(request: RecryptAll): Task {
    const { to_name, vms } = this.plan(request);
    const total = vms.filter(({ step }) => step === 'recrypt').length;
    const progress = { done: 0, total, unit: 'vms' as const };
    const fresh = { id: crypto.randomUUID(), kind: 'vm.recrypt-all', vm_name: `all VMs with ${to_name}`, by: { uid: 0, user: 'root' } };
    return this.tell({ ...fresh, state: 'running', created: new Date().toISOString(), progress });
  }

  actions(vm: Vm): VmAction[] {
    const refusal = (code: NonNullable<VmAction['reason']>['code'], detail: string): VmAction['reason'] => ({ type: '', title: '', status: 409, code, detail });
    const not = (operation: VmAction['operation'], reason: VmAction['reason']): VmAction => ({ operation, allowed: !reason, ...(reason && { reason }) });
    const on = vm.power !== 'off' ? refusal('vm-not-off', `VM ${vm.name} is ${vm.power}, not off`) : null;
    const off = vm.power === 'off' ? refusal('vm-not-running', `VM ${vm.name} is not running`) : null;
    const plain = vm.padlock === 'none' ? refusal('vm-not-encrypted', `VM ${vm.name} is not encrypted`) : null;
    const locked = vm.padlock === 'locked' ? refusal('vm-locked', `VM ${vm.name} is locked: a key is missing`) : null;
    const encrypted = plain ? null : refusal('vm-encrypted', `VM ${vm.name} is encrypted already`);
    const rewrites = { bytes: 68_719_476_736, seconds: 172, method: 'copy' as const };
    const rewrite = (action: VmAction): VmAction => (action.allowed ? { ...action, ...rewrites } : action);
    return [
      rewrite(not('encrypt', encrypted ?? on)),
      rewrite(not('decrypt', plain ?? locked ?? on)),
      not('recrypt', plain ?? locked),
      rewrite(not('deep-recrypt', plain ?? locked ?? on)),
      not('start', locked ?? on),
      not('shutdown', off),
      not('kill', off),
      not('unlock', locked ? null : refusal('bad-request', `VM ${vm.name} is not locked`)),
      not('verify', plain),
      not('set-template', on),
      not('unset-template', null),
      not('unregister', plain ?? on),
    ];
  }

  summary(): Summary {
    const those = (is: (vm: Vm) => boolean): number => this.vms.filter(is).length;
    const locked = this.vms.filter(({ padlock }) => padlock === 'locked');
    return {
      host: 'kvm01',
      tpm_protected: false,
      vms: {
        total: this.vms.length,
        encrypted: those(({ padlock }) => padlock === 'encrypted'),
        locked: locked.length,
        plain: those(({ padlock }) => padlock === 'none'),
        running: those(({ power }) => power === 'running'),
        due: those(({ due }) => due !== undefined),
      },
      attention: [
        ...(locked.length > 0 ? [{ kind: 'vm-locked' as const, severity: 'danger' as const, count: locked.length }] : []),
        { kind: 'recrypt-due', severity: 'warning', count: those(({ due }) => due !== undefined) },
        { kind: 'feature-disabled', severity: 'info', count: 1 },
      ],
    };
  }
}
