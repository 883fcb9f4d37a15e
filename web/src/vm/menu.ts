// The Actions menu of a VM, the same below its button and on a right click, arranged as in vSphere's client.
import type { Operation, Vm, VmAction } from '../api/types';
import { language } from '../i18n/language.svelte';
import { menu, type MenuItem } from '../ui/menu.svelte';
import { actionsOf } from './actions';
import { operations } from './operations.svelte';

const POWER: readonly Operation[] = ['start', 'shutdown', 'kill'];
const POLICIES: readonly Operation[] = ['encrypt', 'recrypt', 'deep-recrypt', 'decrypt'];
const REST: readonly Operation[] = ['unlock', 'verify', 'set-template', 'unset-template', 'unregister'];

export function showVmMenu(vm: Vm, event: MouseEvent | KeyboardEvent, back: HTMLElement): void {
  menu.showAt(language.t.common.actionsOf(vm.name), event, back, vmMenu(vm));
}

/** Asks what can be done now, and why the rest cannot. */
export async function vmMenu(vm: Vm): Promise<MenuItem[]> {
  return arrange(vm, await actionsOf(vm.id));
}

function arrange(vm: Vm, actions: VmAction[]): MenuItem[] {
  const { menus, editPolicies } = language.t.operations;
  const items = (wanted: readonly Operation[]): MenuItem[] =>
    wanted.flatMap((operation) => actions.find((action) => action.operation === operation) ?? []).map((action) => item(vm, action));
  const edit: MenuItem = { label: editPolicies, icon: 'policy', run: () => operations.editPolicies(vm) };
  return [
    { label: menus.power, icon: 'power', items: items(POWER) },
    { label: menus.policies, icon: 'lock', items: [edit, ...items(POLICIES)] },
    ...items(REST.filter((operation) => applies(vm, operation))),
  ];
}

/** Of two that are each other's opposite, the one that makes sense; unlocking only what is locked. */
function applies(vm: Vm, operation: Operation): boolean {
  if (operation === 'set-template') return !vm.template;
  if (operation === 'unset-template') return vm.template === true;
  return operation !== 'unlock' || vm.padlock === 'locked';
}

function item(vm: Vm, { operation, allowed, reason }: VmAction): MenuItem {
  const label = language.t.operations.names[operation];
  if (allowed || !reason) return { label, run: () => operations.begin(vm, operation) };
  return { label, why: { title: why(reason), help: help(reason) } };
}

type Reason = NonNullable<VmAction['reason']>;

/** The server's own words in its own language; the kind of problem in others. */
function why({ code, detail }: Reason): string {
  return language.code === 'en' ? detail : language.t.problems[code].title;
}

function help({ code, next }: Reason): string | undefined {
  return language.t.problems[code].next ?? (language.code === 'en' ? next : null) ?? undefined;
}
