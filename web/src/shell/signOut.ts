import { problemOf } from '../api/client';
import { signIn } from '../api/session.svelte';
import { toasts } from '../ui/toasts.svelte';

export async function signOut(): Promise<void> {
  try {
    await signIn.end();
  } catch (error) {
    toasts.fail(problemOf(error));
  }
}
