// What of the inventory is asked for.
import type { Padlock, PowerState } from '../api/types';

export type Filter = 'all' | 'encrypted' | 'locked' | 'plain' | 'running' | 'due';
export const FILTERS: readonly Filter[] = ['all', 'encrypted', 'locked', 'plain', 'running', 'due'];

export interface Choice {
  search: string;
  filter: Filter;
  /** A provider's ID; empty: any. */
  provider: string;
}

export const EVERYTHING: Choice = { search: '', filter: 'all', provider: '' };

interface Query {
  search?: string;
  padlock?: Padlock;
  power?: PowerState;
  due?: boolean;
  provider?: string;
}

const PARTS: Record<Filter, Query> = {
  all: {},
  encrypted: { padlock: 'encrypted' },
  locked: { padlock: 'locked' },
  plain: { padlock: 'none' },
  running: { power: 'running' },
  due: { due: true },
};

export function queryOf({ search, filter, provider }: Choice): Query {
  const text = search.trim();
  return { ...PARTS[filter], ...(text && { search: text }), ...(provider && { provider }) };
}
