// Cancelling tasks: what it would undo is asked about first.
import { changes } from '../api/changes.svelte';
import { answer, api, problemOf } from '../api/client';
import type { Task } from '../api/types';
import { toasts } from '../ui/toasts.svelte';

/** What these have done so far would be undone or left half-way. */
const ASKED_FIRST: readonly string[] = ['vm.encrypt', 'vm.decrypt', 'vm.deep-recrypt', 'vm.recrypt-all'];

class Cancelling {
  /** The task about which the user is asked. */
  asked = $state.raw<Task>();
  /** Those that were asked to stop, which takes them a little. */
  sent = $state.raw<ReadonlySet<string>>(new Set());

  ask(task: Task): void {
    if (ASKED_FIRST.includes(task.kind)) this.asked = task;
    else void this.send(task);
  }

  close = (): void => void (this.asked = undefined);

  async send({ id }: Task): Promise<void> {
    this.close();
    this.sent = new Set(this.sent).add(id);
    try {
      changes.task(await answer(api.POST('/api/v1/tasks/{task}:cancel', { params: { path: { task: id } } })));
    } catch (error) {
      this.sent = new Set([...this.sent].filter((other) => other !== id));
      toasts.fail(problemOf(error));
    }
  }
}

export const cancelling = new Cancelling();
