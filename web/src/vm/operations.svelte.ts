// What is being asked of a VM: the dialog that is open, and the requests themselves.
import { api, answer, problemOf } from '../api/client';
import { changes } from '../api/changes.svelte';
import type { DiskMethod, Operation, Task, Vm } from '../api/types';
import { language } from '../i18n/language.svelte';
import { toasts } from '../ui/toasts.svelte';

/** Operations that are not a change of the storage policy. */
export type Plain = Exclude<Operation, 'encrypt' | 'decrypt'>;

export type Asked =
  | { dialog: 'register' }
  | { dialog: 'policy'; vm: Vm; encrypt: boolean | undefined }
  | { dialog: 'confirm'; vm: Vm; operation: Plain };

/** Nothing is lost or changed by these, so nobody is asked again. */
const AT_ONCE: readonly Plain[] = ['start', 'unlock', 'unset-template'];

class Operations {
  asked = $state.raw<Asked>();

  register(): void {
    this.asked = { dialog: 'register' };
  }

  /** The policy of each part; `encrypt` says what is chosen at first. */
  editPolicies(vm: Vm, encrypt?: boolean): void {
    this.asked = { dialog: 'policy', vm, encrypt };
  }

  /** Asks for what has to be known, or does it. */
  begin(vm: Vm, operation: Operation): void {
    if (operation === 'encrypt' || operation === 'decrypt') this.editPolicies(vm, operation === 'encrypt');
    else if (AT_ONCE.includes(operation)) void run(vm, operation, {}).catch((error: unknown) => toasts.fail(problemOf(error)));
    else this.asked = { dialog: 'confirm', vm, operation };
  }

  close(): void {
    this.asked = undefined;
  }
}

export const operations = new Operations();

export interface Details {
  provider?: string;
  method?: DiskMethod;
  timeout?: number;
}

/** Does an operation, and says that it was begun or done. */
export async function run(vm: Vm, operation: Plain, details: Details): Promise<void> {
  const task = await request(vm, operation, details);
  if (task) tell(task);
  else toasts.say(language.t.operations.done(language.t.operations.titles[operation], vm.name));
}

/** Shows a task at once, before the server tells of it, and says that it was begun. */
export function tell(task: Task): void {
  changes.task(task);
  const { kinds, begun } = language.t.tasks;
  if (task.state === 'running') toasts.say(begun(kinds[task.kind] ?? task.kind, task.vm_name));
}

/** The task that does it; undefined of what is done at once. */
async function request(vm: Vm, operation: Plain, { provider, method, timeout }: Details): Promise<Task | undefined> {
  const params = { path: { vm: vm.id } };
  const body = { ...(provider && { provider }), ...(method && { method }) };
  switch (operation) {
    case 'recrypt':
      return answer(api.POST('/api/v1/vms/{vm}:recrypt', { params, body: { ...(provider && { provider }) } }));
    case 'deep-recrypt':
      return answer(api.POST('/api/v1/vms/{vm}:recrypt', { params, body: { ...body, deep: true } }));
    case 'start':
      return answer(api.POST('/api/v1/vms/{vm}:start', { params }));
    case 'shutdown':
      return answer(api.POST('/api/v1/vms/{vm}:shutdown', { params, body: { ...(timeout && { timeout }) } }));
    case 'kill':
      return answer(api.POST('/api/v1/vms/{vm}:kill', { params }));
    case 'unlock':
      return answer(api.POST('/api/v1/vms/{vm}:unlock', { params }));
    case 'verify':
      return answer(api.POST('/api/v1/vms/{vm}:verify', { params }));
    case 'set-template':
    case 'unset-template':
      await answer(api.POST('/api/v1/vms/{vm}:set-template', { params, body: { template: operation === 'set-template' } }));
      return undefined;
    case 'unregister':
      await answer(api.POST('/api/v1/vms/{vm}:unregister', { params }));
      return undefined;
  }
}
