// Which dialog about key providers is open.
import { answer, api, problemOf } from '../api/client';
import type { Provider } from '../api/types';
import { language } from '../i18n/language.svelte';
import { toasts } from '../ui/toasts.svelte';

/** What is asked of one provider in a dialog of its own. */
export type Subject =
  | 'back-up'
  | 'prove'
  | 'rotate'
  | 'schedule'
  | 'rename'
  | 'remove'
  | 'test'
  | 'trust'
  | 'identity'
  | 'servers'
  | 'user';
type ForAll = 'add-native' | 'add-standard' | 'restore';

class Dialogs {
  asked = $state.raw<{ dialog: ForAll } | { dialog: Subject; provider: Provider }>();

  open(dialog: ForAll): void {
    this.asked = { dialog };
  }

  about(provider: Provider, dialog: Subject): void {
    this.asked = { dialog, provider };
  }

  close = (): void => {
    this.asked = undefined;
  };
}

export const dialogs = new Dialogs();

export async function setDefault(provider: Provider): Promise<void> {
  try {
    await answer(api.POST('/api/v1/providers/{provider}:set-default', { params: { path: { provider: provider.id } } }));
    toasts.say(language.t.providers.isDefault(provider.name));
  } catch (error) {
    toasts.fail(problemOf(error));
  }
}
