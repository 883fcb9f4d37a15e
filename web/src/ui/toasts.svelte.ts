// Short messages that come and go; what failed stays until it is closed.
import type { Problem } from '../api/types';

const SHOWN_MS = 6_000;

export type Toast = { id: number } & ({ text: string } | { problem: Problem });

class Toasts {
  shown = $state<Toast[]>([]);
  #last = 0;

  say(text: string): void {
    const id = ++this.#last;
    this.shown.push({ id, text });
    setTimeout(() => this.close(id), SHOWN_MS);
  }

  fail(problem: Problem): void {
    this.shown.push({ id: ++this.#last, problem });
  }

  close(id: number): void {
    this.shown = this.shown.filter((toast) => toast.id !== id);
  }
}

export const toasts = new Toasts();
