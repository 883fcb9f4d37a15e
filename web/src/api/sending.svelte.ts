// A request that a dialog makes: whether it is under way, and why it was refused.
import { problemOf } from './client';
import type { Problem } from './types';

export class Sending {
  busy = $state(false);
  problem = $state.raw<Problem>();

  /** What is asked next is another thing. */
  forget(): void {
    this.problem = undefined;
  }

  /** Makes the request unless one is under way; what it gave, or undefined if it was refused. */
  async send<T>(request: () => Promise<T>): Promise<T | undefined> {
    if (this.busy) return undefined;
    [this.busy, this.problem] = [true, undefined];
    try {
      return await request();
    } catch (error) {
      this.problem = problemOf(error);
      return undefined;
    } finally {
      this.busy = false;
    }
  }
}
