// A plan in numbers, and as a table for other programs.
import type { PlannedStep, RecryptPlan } from '../api/types';
import type { Dictionary } from '../i18n/en';

export const STEPS: readonly PlannedStep[] = ['recrypt', 'already-so', 'cannot'];

export function count({ vms }: RecryptPlan, wanted: PlannedStep): number {
  return vms.filter(({ step }) => step === wanted).length;
}

export function planRows({ vms }: RecryptPlan, { migration: t }: Dictionary): string[][] {
  const head = [t.columns.name, t.report.vm, t.columns.step, t.columns.reason];
  return [head, ...vms.map(({ name, vm, step, reason }) => [name, vm, t.counts[step], reason ?? ''])];
}
