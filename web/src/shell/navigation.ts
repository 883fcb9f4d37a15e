// The entries above the inventory tree, in their order.
import type { Dictionary } from '../i18n/en';
import type { IconName } from '../ui/icons';

interface Entry {
  path: string;
  icon: IconName;
  label: (t: Dictionary) => string;
}

export const entries: Entry[] = [
  { path: '/', icon: 'home', label: (t) => t.shell.pages.dashboard },
  { path: '/policies', icon: 'policy', label: (t) => t.policies.title },
  { path: '/migration', icon: 'migrate', label: (t) => t.migration.title },
  { path: '/events', icon: 'event', label: (t) => t.events.title },
  { path: '/settings', icon: 'settings', label: (t) => t.settings.title },
];
