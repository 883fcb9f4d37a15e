// What the VMs' table shows, so that it is the same after a look at a VM, and so that other pages can ask for it.
import { EVERYTHING, type Choice, type Filter } from './query';

export const remembered = $state<{ choice: Choice }>({ choice: EVERYTHING });

/** Has the table show those VMs, wherever it is opened next. */
export function showVms(filter: Filter, provider = ''): void {
  remembered.choice = { ...EVERYTHING, filter, provider };
}
