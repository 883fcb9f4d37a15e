// The tabs of the cluster's page, in their order.
import type { Dictionary } from '../i18n/en';

interface Tab {
  path: string;
  label: (t: Dictionary) => string;
}

export const clusterTabs: Tab[] = [
  { path: '/cluster', label: (t) => t.inventory.tabs.summary },
  { path: '/cluster/vms', label: (t) => t.inventory.tabs.vms },
  { path: '/cluster/key-providers', label: (t) => t.providers.tab },
];
