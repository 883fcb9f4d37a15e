// What can be done to a VM, and why the rest cannot.
import { api, answer } from '../api/client';
import type { Operation, Problem, VmAction } from '../api/types';

export function actionsOf(vm: string): Promise<VmAction[]> {
  return answer(api.GET('/api/v1/vms/{vm}/actions', { params: { path: { vm } } }));
}

export function actionFor(actions: VmAction[] | undefined, operation: Operation): VmAction | undefined {
  return actions?.find((action) => action.operation === operation);
}

/** Obstacles that another choice in the dialog can remove, so that they must not keep its button greyed. */
const CHOSEN_AWAY: readonly Problem['code'][] = ['no-default-provider', 'provider-not-backed-up', 'provider-not-usable'];

/** The action as it stands when a provider other than the default one was chosen. */
export function withProvider(action: VmAction | undefined, chosen: string): VmAction | undefined {
  if (!action?.reason || !chosen || !CHOSEN_AWAY.includes(action.reason.code)) return action;
  const { reason: _, ...rest } = action;
  return { ...rest, allowed: true };
}
