// What can be done to a key provider, and why the rest cannot.
import type { Provider } from '../api/types';
import { language } from '../i18n/language.svelte';
import { router } from '../routing/router.svelte';
import type { MenuItem } from '../ui/menu.svelte';
import { dialogs, setDefault, type Subject } from './dialogs.svelte';

export function providerMenu(provider: Provider): MenuItem[] {
  const common = [...ofDefault(provider), item(provider, 'rotate'), item(provider, 'schedule'), migrate(provider), item(provider, 'rename'), remove(provider)];
  return provider.kind === 'native' ? [item(provider, 'back-up'), ...common] : [...trustItems(provider), ...common];
}

function trustItems(provider: Provider): MenuItem[] {
  const subjects: readonly Subject[] = ['trust', 'identity', 'user', 'servers', 'test'];
  return subjects.map((subject) => item(provider, subject));
}

function item(provider: Provider, subject: Subject): MenuItem {
  return { label: language.t.providers.names[subject], run: () => dialogs.about(provider, subject) };
}

function ofDefault(provider: Provider): MenuItem[] {
  const { names, whyNot } = language.t.providers;
  const label = names['set-default'];
  if (provider.default) return [{ label, why: { title: whyNot.isDefault } }];
  if (provider.state !== 'active') return [{ label, why: { title: whyNot.notActive } }];
  return [{ label, run: () => void setDefault(provider) }];
}

function migrate(provider: Provider): MenuItem {
  const { names, whyNot } = language.t.providers;
  const label = names.migrate;
  if (provider.vms === 0) return { label, icon: 'migrate', why: { title: whyNot.noVms } };
  return { label, icon: 'migrate', run: () => router.go(`/migration?from=${provider.id}`) };
}

function remove(provider: Provider): MenuItem {
  const { names, whyNot } = language.t.providers;
  if (provider.vms > 0) return { label: names.remove, why: { title: whyNot.inUse } };
  return item(provider, 'remove');
}
