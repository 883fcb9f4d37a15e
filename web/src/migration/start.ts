import { changes } from '../api/changes.svelte';
import { answer, api } from '../api/client';
import type { RecryptAll, Task } from '../api/types';
import { router } from '../routing/router.svelte';

/** Begins to re-encrypt, and shows how it goes. The address keeps what was asked, so that it can be asked again. */
export async function start(request: RecryptAll): Promise<Task> {
  const task = await answer(api.POST('/api/v1/vms:recrypt', { body: request }));
  changes.task(task);
  const { from, to } = request;
  router.go(`/migration/${task.id}?${new URLSearchParams({ ...(from && { from }), ...(to && { to }) })}`);
  return task;
}
