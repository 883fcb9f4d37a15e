// What is to be done next about a key provider.
import type { Provider } from '../api/types';
import type { Dictionary } from '../i18n/en';
import type { Subject } from './dialogs.svelte';

export interface Notice {
  says: keyof Dictionary['providers']['notices'];
  mood: 'warning' | 'info' | 'danger';
  /** What mends it, the likeliest first. */
  steps: Subject[];
  /** The server's own words, where they say more. */
  reason?: string | undefined;
}

export function noticeOf(provider: Provider): Notice | undefined {
  switch (provider.state) {
    case 'not-backed-up':
      return { says: 'not-backed-up', mood: 'warning', steps: ['back-up', 'prove'] };
    case 'not-trusted':
      return { says: 'not-trusted', mood: 'warning', steps: ['trust'] };
    case 'pushing':
      return { says: 'pushing', mood: 'info', steps: [] };
    case 'degraded':
      return degraded(provider);
    case 'active':
      return hasUnsavedKey(provider) ? { says: 'new-key', mood: 'warning', steps: ['back-up', 'prove'] } : secondStep(provider);
  }
}

/** Whether its newest key is in no backup. */
export function hasUnsavedKey({ versions }: Provider): boolean {
  return versions[0]?.state === 'not-backed-up';
}

function degraded({ kind, reason }: Provider): Notice {
  return { says: 'degraded', mood: 'danger', steps: kind === 'standard' ? ['test'] : ['rotate'], reason: reason ?? undefined };
}

/** Key servers that ask for no certificate of ours are rare, but there are some: a hint, no warning. */
function secondStep({ kms }: Provider): Notice | undefined {
  if (!kms || kms.identity) return undefined;
  return { says: kms.csr_pending ? 'csr' : 'no-identity', mood: 'info', steps: ['identity'] };
}
