// The names of what events are about: they name VMs and providers by ID.
import { answer, api, problemOf } from '../api/client';
import { Loaded } from '../api/load.svelte';
import type { CadenasEvent } from '../api/types';

export interface Target {
  path: string;
  /** Undefined while it is not known. */
  name: string | undefined;
  /** Whether it is not there any more. */
  gone: boolean;
}

export class Names {
  /** A VM that is gone has none. */
  #vms = $state.raw<ReadonlyMap<string, string | undefined>>(new Map());
  #asked = new Set<string>();
  #providers = new Loaded(() => answer(api.GET('/api/v1/providers')));

  target({ vm, provider }: CadenasEvent): Target | undefined {
    if (vm) return { path: `/vms/${vm}`, name: this.#vms.get(vm), gone: this.#vms.has(vm) && !this.#vms.get(vm) };
    if (!provider) return undefined;
    const name = this.#providers.data?.find(({ id }) => id === provider)?.name;
    return { path: `/cluster/key-providers/${provider}`, name, gone: this.#providers.data !== undefined && !name };
  }

  /** These events are seen; each VM is asked for once. */
  need(events: readonly CadenasEvent[]): void {
    const missing = new Set(events.flatMap(({ vm }) => (vm && !this.#asked.has(vm) ? [vm] : [])));
    for (const vm of missing) {
      this.#asked.add(vm);
      void this.#ask(vm);
    }
  }

  async #ask(vm: string): Promise<void> {
    const params = { path: { vm } };
    const name = await answer(api.GET('/api/v1/vms/{vm}', { params })).then(
      (found) => found.name,
      (error: unknown) => this.#unknown(vm, problemOf(error).code),
    );
    if (this.#asked.has(vm)) this.#vms = new Map(this.#vms).set(vm, name);
  }

  /** What could not be asked now is asked again when it is seen again. */
  #unknown(vm: string, code: string): undefined {
    if (code !== 'no-such-vm') this.#asked.delete(vm);
  }
}
