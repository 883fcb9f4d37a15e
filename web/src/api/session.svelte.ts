// Who is signed in. The session itself is in a cookie that no script can read.
import { changes } from './changes.svelte';
import { answer, api, onSignedOut, problemOf } from './client';
import type { Problem, Session } from './types';

class SignIn {
  state = $state<Session | 'unknown' | 'out'>('unknown');
  /** Why the last link did not work. */
  problem = $state<Problem>();

  /** Takes the token out of the address, if there is one, and finds out who is signed in. */
  async begin(): Promise<void> {
    onSignedOut(() => this.#out());
    const token = takeToken();
    try {
      this.state = token
        ? await answer(api.POST('/api/v1/session', { body: { token } }))
        : await answer(api.GET('/api/v1/session'));
      changes.listen();
    } catch (error) {
      const problem = problemOf(error);
      if (token || problem.code !== 'not-signed-in') this.problem = problem;
      this.#out();
    }
  }

  async end(): Promise<void> {
    await answer(api.DELETE('/api/v1/session'));
    this.#out();
  }

  #out(): void {
    this.state = 'out';
    changes.stop();
  }
}

/** The token is gone from the address, and so from the history, before anything else happens. */
function takeToken(): string | undefined {
  const token = /^#once=(.+)$/.exec(location.hash)?.[1];
  if (token) history.replaceState(null, '', location.pathname);
  return token;
}

export const signIn = new SignIn();
