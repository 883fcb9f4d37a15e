// Lists of tasks, and what can be told about one.
import type { Task } from './types';

const KEPT_TASKS = 100;

/** `tasks`, newest first, with `task` in its place. */
export function upsert(tasks: readonly Task[], task: Task): Task[] {
  const others = tasks.filter(({ id }) => id !== task.id);
  const at = others.findIndex(({ created }) => Date.parse(created) <= Date.parse(task.created));
  return others.toSpliced(at < 0 ? others.length : at, 0, task).slice(0, KEPT_TASKS);
}

/** How much is done, from 0 to 1; undefined of what cannot be measured. */
export function share({ progress }: Pick<Task, 'progress'>): number | undefined {
  return progress.total > 0 ? Math.min(1, progress.done / progress.total) : undefined;
}

/** How much is done each second so far; undefined while that cannot be told. */
export function pace({ progress, created }: Pick<Task, 'progress' | 'created'>, now: number): number | undefined {
  const passed = (now - Date.parse(created)) / 1_000;
  return passed >= 1 && progress.done > 0 ? progress.done / passed : undefined;
}

/** The first moments say little about how fast it goes. */
const LEAST_SHARE = 0.02;

/** About how many seconds are left at the pace so far. */
export function secondsLeft(task: Pick<Task, 'progress' | 'created'>, now: number): number | undefined {
  const done = share(task);
  if (done === undefined || done < LEAST_SHARE) return undefined;
  const passed = Math.max(0, (now - Date.parse(task.created)) / 1_000);
  return (passed * (1 - done)) / done;
}
