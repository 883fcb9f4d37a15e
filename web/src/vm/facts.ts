// What can be told about a VM.
import type { Vm } from '../api/types';

/** The names of the providers whose keys it uses. */
export function providerNames(vm: Pick<Vm, 'providers'>, unknown: string): string {
  return [...new Set(vm.providers.map(({ name }) => name ?? unknown))].join(', ');
}

/** When the oldest of the keys that wrap its data keys was made, as far as it is known. */
export function oldestKey(vm: Pick<Vm, 'providers'>): string | undefined {
  const made = vm.providers.flatMap(({ created }) => created ?? []);
  return made.sort((one, other) => Date.parse(one) - Date.parse(other))[0];
}
