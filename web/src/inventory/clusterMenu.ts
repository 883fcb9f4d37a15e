// The Actions menu of the cluster.
import { language } from '../i18n/language.svelte';
import { router } from '../routing/router.svelte';
import type { MenuItem } from '../ui/menu.svelte';
import { operations } from '../vm/operations.svelte';

export function clusterMenu(): MenuItem[] {
  const { inventory, migration, providers } = language.t;
  return [
    { label: migration.action, icon: 'migrate', run: () => router.go('/migration') },
    { label: providers.title, icon: 'lock', run: () => router.go('/cluster/key-providers') },
    { label: inventory.register, icon: 'vm', run: () => operations.register() },
  ];
}
