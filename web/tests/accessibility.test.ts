// axe finds nothing on any page, in both themes, wide and narrow.
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

import type { AxeResults } from 'axe-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { launch, opened } from './browser';

let browser: Browser;
beforeAll(async () => void (browser = await launch()));
afterAll(() => browser.close());

const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const vm = (index: number): string => `/vms/00000000-0000-4000-8000-${(1_000 + index).toString(16).padStart(12, '0')}`;
const PATHS = { dashboard: '/', cluster: '/cluster', VMs: '/cluster/vms', host: '/hosts/kvm01', policies: '/policies', encrypted: vm(2), plain: vm(0), locked: vm(49), events: '/events', settings: '/settings', nothing: '/nothing' };
const LOOKS = [
  { name: 'light', colorScheme: 'light', viewport: { width: 1280, height: 800 } },
  { name: 'dark', colorScheme: 'dark', viewport: { width: 1280, height: 800 } },
  { name: 'narrow', colorScheme: 'light', viewport: { width: 360, height: 740 } },
] as const;

async function violations(page: Page): Promise<string[]> {
  // The page's policy lets no script in but its own; the browser's own way does not ask it.
  await page.evaluate(AXE);
  const found = await page.evaluate(() => (window as unknown as { axe: { run: () => Promise<AxeResults> } }).axe.run());
  return found.violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 200)}`));
}

describe.each(LOOKS)('$name', ({ name: _, ...look }) => {
  test.each(Object.entries(PATHS))('%s', (_, path) =>
    opened(browser, { ...look, path, vms: 60, before: ({ world }) => world.vms.slice(0, 1).forEach((vm) => world.begin(vm, 'vm.encrypt')) }, async (page) => {
      await page.waitForLoadState('networkidle', { timeout: 1_000 }).catch(() => {});
      expect(await violations(page)).toEqual([]);
    }),
  );

  test('signing in', () =>
    opened(browser, { ...look, before: (server) => void (server.signedIn = false) }, async (page) => {
      await page.getByText('cadenas console', { exact: true }).waitFor();
      expect(await violations(page)).toEqual([]);
    }));

  test('the storage policies', () =>
    opened(browser, { ...look, path: vm(0) }, async (page) => {
      await page.getByRole('button', { name: 'Edit VM Storage Policies…' }).click();
      await page.getByLabel('VM storage policy', { exact: true }).selectOption('VM Encryption Policy');
      await page.getByText('More options').click();
      await page.getByLabel('Configure per disk').check();
      expect(await violations(page)).toEqual([]);
    }));

  test('the Actions menu', () =>
    opened(browser, { ...look, path: vm(1) }, async (page) => {
      await page.getByRole('button', { name: 'Actions' }).click();
      await page.getByRole('menuitem', { name: 'VM Policies' }).click();
      expect(await violations(page)).toEqual([]);
    }));
});
