// What can be done to a key provider, and why the rest cannot.
import type { Provider } from '../api/types';
import { language } from '../i18n/language.svelte';
import { find } from '../routes';
import { router } from '../routing/router.svelte';
import type { MenuItem } from '../ui/menu.svelte';
import { dialogs, setDefault, type Subject } from './dialogs.svelte';

const MIGRATION = '/migration';

/** What stands above the table, as in vSphere's client. */
export function mainItems(provider: Provider): MenuItem[] {
  const first = provider.kind === 'native' ? item(provider, 'back-up') : item(provider, 'test');
  return [first, ofDefault(provider), item(provider, 'rotate'), item(provider, 'remove')];
}

export function providerMenu(provider: Provider): MenuItem[] {
  const items = (subjects: readonly Subject[]): MenuItem[] => subjects.map((subject) => item(provider, subject));
  const first = items(provider.kind === 'native' ? ['back-up', 'prove'] : ['test', 'trust', 'identity', 'user', 'servers']);
  return [...first, ofDefault(provider), ...items(['rotate', 'schedule']), ...migrate(provider), ...items(['rename', 'remove'])];
}

function item(provider: Provider, subject: Subject): MenuItem {
  return { label: language.t.providers.names[subject], run: () => dialogs.about(provider, subject) };
}

function ofDefault(provider: Provider): MenuItem {
  const { names, whyNot } = language.t.providers;
  const label = names['set-default'];
  if (provider.default) return { label, why: { title: whyNot.isDefault } };
  if (provider.state !== 'active') return { label, why: { title: whyNot.notActive } };
  return { label, run: () => void setDefault(provider) };
}

function migrate(provider: Provider): MenuItem[] {
  const { names, whyNot } = language.t.providers;
  if (!find(MIGRATION)) return [];
  const label = names.migrate;
  if (provider.vms === 0) return [{ label, why: { title: whyNot.noVms } }];
  return [{ label, run: () => router.go(`${MIGRATION}?from=${provider.id}`) }];
}
