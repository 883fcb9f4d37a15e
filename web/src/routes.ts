// Every page of the console and its address. A new page is one entry here, and one in `shell/navigation.ts` where people look for it.
import type { Component } from 'svelte';

import DashboardPage from './dashboard/DashboardPage.svelte';
import EventsPage from './events/EventsPage.svelte';
import type { Dictionary } from './i18n/en';
import ClusterSummaryPage from './inventory/ClusterSummaryPage.svelte';
import ClusterVmsPage from './inventory/ClusterVmsPage.svelte';
import HostPage from './inventory/HostPage.svelte';
import MigrationPage from './migration/MigrationPage.svelte';
import MigrationTaskPage from './migration/MigrationTaskPage.svelte';
import PoliciesPage from './policies/PoliciesPage.svelte';
import ProvidersPage from './providers/ProvidersPage.svelte';
import { match } from './routing/match';
import SettingsPage from './settings/SettingsPage.svelte';
import VmPage from './vm/VmPage.svelte';

export type Params = Record<string, string>;

interface Route {
  pattern: string;
  /** Gets the parts of its address, if it asks for them. */
  page: Component<{ params: Params }> | Component;
  /** The window's title; a page about one thing may set a better one. */
  title: (t: Dictionary) => string;
}

const routes: Route[] = [
  { pattern: '/', page: DashboardPage, title: (t) => t.dashboard.title },
  { pattern: '/cluster', page: ClusterSummaryPage, title: (t) => t.shell.pages.cluster },
  { pattern: '/cluster/vms', page: ClusterVmsPage, title: (t) => t.inventory.vms },
  { pattern: '/events', page: EventsPage, title: (t) => t.events.title },
  { pattern: '/cluster/key-providers', page: ProvidersPage, title: (t) => t.providers.title },
  { pattern: '/cluster/key-providers/:id', page: ProvidersPage, title: (t) => t.providers.title },
  { pattern: '/hosts/:name', page: HostPage, title: (t) => t.inventory.hosts },
  { pattern: '/migration', page: MigrationPage, title: (t) => t.migration.title },
  { pattern: '/migration/:task', page: MigrationTaskPage, title: (t) => t.migration.title },
  { pattern: '/policies', page: PoliciesPage, title: (t) => t.policies.title },
  { pattern: '/settings', page: SettingsPage, title: (t) => t.settings.title },
  { pattern: '/vms/:id', page: VmPage, title: (t) => t.inventory.vms },
];

/** The page at a path, and the parts of the path. */
export function find(path: string): { route: Route; params: Params } | undefined {
  for (const route of routes) {
    const params = match(route.pattern, path);
    if (params) return { route, params };
  }
  return undefined;
}
