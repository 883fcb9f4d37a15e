// The VMs of the inventory, as many as are looked at.
import { api, withResponse } from '../api/client';
import { PagedList } from '../api/paged.svelte';
import type { Vm } from '../api/types';
import { EVERYTHING, queryOf, type Choice } from './query';

export class VmList extends PagedList<Vm> {
  #choice: { value: Choice };

  constructor(choice: Choice = EVERYTHING) {
    const held = $state({ value: choice });
    super(async (offset, limit) => {
      const query = { ...queryOf(held.value), offset, limit };
      const { data, response } = await withResponse(api.GET('/api/v1/vms', { params: { query } }));
      return { rows: data, total: Number(response.headers.get('x-total-count') ?? data.length) };
    });
    this.#choice = held;
  }

  get choice(): Choice {
    return this.#choice.value;
  }
  set choice(choice: Choice) {
    this.#choice.value = choice;
  }
}
