// What changes on the server, as it happens (server-sent events).
import { upsert } from './tasks';
import type { CadenasEvent, Task } from './types';

const KEPT_EVENTS = 500;

class Changes {
  /** Newest first. */
  tasks = $state.raw<Task[]>([]);
  /** Newest first; only what happened since the page was opened. */
  events = $state.raw<CadenasEvent[]>([]);
  /** Whether the server can be heard. */
  live = $state(true);
  /** Grows when something happened that may have changed what the server shows; not with a task's mere progress. */
  version = $state(0);
  #source: EventSource | undefined;

  listen(): void {
    this.#source ??= this.#open();
  }

  stop(): void {
    this.#source?.close();
    this.#source = undefined;
    [this.tasks, this.events] = [[], []];
  }

  #open(): EventSource {
    const source = new EventSource('/api/v1/changes');
    source.addEventListener('open', () => this.#heard());
    source.addEventListener('error', () => (this.live = false));
    source.addEventListener('task', ({ data }) => this.task(JSON.parse(data) as Task));
    source.addEventListener('event', ({ data }) => this.#event(JSON.parse(data) as CadenasEvent));
    return source;
  }

  #heard(): void {
    // What was missed while nothing was heard may be anything.
    if (!this.live) this.version += 1;
    this.live = true;
  }

  /** Also called with what a request answered, so that the task shows before the server tells of it. */
  task(task: Task): void {
    const known = this.tasks.find(({ id }) => id === task.id);
    if (known && known.state !== 'running' && task.state === 'running') return;
    this.tasks = upsert(this.tasks, task);
    if (known?.state !== task.state && this.live) this.version += 1;
  }

  #event(event: CadenasEvent): void {
    this.events = [event, ...this.events].slice(0, KEPT_EVENTS);
    this.version += 1;
  }
}

export const changes = new Changes();
