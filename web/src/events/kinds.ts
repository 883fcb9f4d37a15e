// What an event's kind says, and how bad it is.
import type { Dictionary } from '../i18n/en';

type Known = keyof Dictionary['events']['kinds'];
/** How a task's event ends that is not its success: `vm.encrypt-failed`. */
const END = /^(.+)-(failed|cancelled|interrupted)$/;
const BAD: readonly string[] = ['vm.crashed', 'vm.needs-repair', 'provider.key-missing', 'provider.degraded'];
const NOTED: readonly string[] = ['feature.disabled', 'provider.key-deactivated', 'vm.rolled-back'];

export function kindWords(kind: string, t: Dictionary): string {
  const { kinds } = t.events;
  if (kind in kinds) return kinds[kind as Known];
  const [, task = '', end] = END.exec(kind) ?? [];
  const name = t.tasks.kinds[task];
  return name && end ? t.events[end as 'failed' | 'cancelled' | 'interrupted'](name) : kind;
}

export function severity(kind: string): 'danger' | 'warning' | undefined {
  if (BAD.includes(kind) || /-failed$|compromised$|destroyed$/.test(kind)) return 'danger';
  return NOTED.includes(kind) || kind.endsWith('-interrupted') ? 'warning' : undefined;
}
