// What was chosen in the wizard so far; kept while one looks at other pages.
import type { Provider, RecryptAll } from '../api/types';
import { ANY, suggestSource, suggestTarget } from './suggest';

class Choice {
  /** 0: which VMs, 1: which provider, 2: the plan. */
  step = $state(0);
  /** The provider whose VMs are asked for; `ANY`: all encrypted ones; undefined: not chosen yet. */
  from = $state<string>();
  to = $state<string>();
  /** How many keys are asked of key servers at the same time; null: as the server does. */
  jobs = $state<number | null>(null);

  begin(from?: string): void {
    [this.step, this.from, this.to, this.jobs] = [from ? 1 : 0, from, undefined, null];
  }

  source(providers: readonly Provider[]): string {
    return this.from ?? suggestSource(providers);
  }

  target(providers: readonly Provider[]): string | undefined {
    return this.to ?? suggestTarget(providers, this.source(providers));
  }

  request(providers: readonly Provider[]): RecryptAll {
    const [from, to] = [this.source(providers), this.target(providers)];
    return { ...(from !== ANY && { from }), ...(to && { to }), ...(this.jobs && { jobs: this.jobs }) };
  }
}

export const choice = new Choice();
