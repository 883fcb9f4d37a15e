// What the wizard proposes: leaving key servers is what most come for.
import type { Provider } from '../api/types';

/** All encrypted VMs, whatever their provider. */
export const ANY = '';

/** Whether key servers answer shows only when they are asked. */
export function canEncrypt({ kind, state }: Pick<Provider, 'kind' | 'state'>): boolean {
  return kind === 'standard' ? state !== 'not-trusted' : state === 'active';
}

/** Key servers that VMs depend on come first. */
export function suggestSource(providers: readonly Provider[]): string {
  const used = providers.filter(({ vms }) => vms > 0);
  return (used.find(({ kind }) => kind === 'standard') ?? used[0])?.id ?? ANY;
}

/** From a key server to a native provider; else to the default one, which for its own VMs means its newest key. */
export function suggestTarget(providers: readonly Provider[], from: string): string | undefined {
  const able = providers.filter(canEncrypt).sort((one, other) => Number(other.default) - Number(one.default));
  const leaving = providers.find(({ id }) => id === from)?.kind === 'standard';
  return ((leaving ? able.find(({ kind }) => kind === 'native') : undefined) ?? able[0])?.id;
}
