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
const PATHS = { dashboard: '/', cluster: '/cluster', VMs: '/cluster/vms', host: '/hosts/kvm01', providers: '/cluster/key-providers', 'a standard provider': '/cluster/key-providers/00000000-0000-4000-8000-000000000002', policies: '/policies', encrypted: vm(2), plain: vm(0), locked: vm(49), migration: '/migration', events: '/events', settings: '/settings', nothing: '/nothing' };
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

  test('a migration', () =>
    opened(browser, { ...look, path: '/migration' }, async (page, { world }) => {
      const next = page.getByRole('button', { name: 'Next' });
      await next.click();
      expect(await violations(page)).toEqual([]);
      await next.click();
      const start = page.getByRole('button', { name: /^Re-encrypt \d/ });
      await start.waitFor();
      expect(await violations(page)).toEqual([]);
      await start.click();
      await page.getByText('The VMs are being re-encrypted').waitFor();
      expect(await violations(page)).toEqual([]);
      const [task] = world.tasks;
      const bulk = { changed: 1, already: 0, failed: 2, failures: [] };
      if (task) world.tell({ ...task, state: 'succeeded', outcome: { changed: true, message: '', bulk } });
      await page.getByText('Done, but not with all VMs').waitFor();
      expect(await violations(page)).toEqual([]);
    }));

  test('a backup', () =>
    opened(browser, { ...look, path: '/cluster/key-providers' }, async (page) => {
      const dialog = page.getByRole('dialog');
      await page.getByRole('button', { name: 'Back up', exact: true }).click();
      await dialog.getByLabel('Password', { exact: true }).fill('horse');
      await dialog.getByLabel('Password again').fill('battery');
      expect(await violations(page)).toEqual([]);
      await dialog.getByLabel('Protect the backup').uncheck();
      await dialog.getByLabel('I will keep the file').check();
      expect(await violations(page)).toEqual([]);
      await dialog.getByRole('button', { name: 'Back up' }).click();
      await dialog.getByLabel('Backup file').waitFor();
      expect(await violations(page)).toEqual([]);
    }));

  test.each([
    'Test connection',
    'Make Cadenas trust the key servers',
    'Make the key servers trust Cadenas',
    'User name and password',
    'Edit key servers',
    'Rotate key',
    'Rotation schedule',
    'Rename',
    'Delete',
  ])('%s', (item) =>
    opened(browser, { ...look, path: '/cluster/key-providers' }, async (page) => {
      await page.getByRole('button', { name: 'Actions of kms-lyon' }).click();
      await page.getByRole('menuitem', { name: item, exact: true }).click();
      await page.waitForLoadState('networkidle', { timeout: 500 }).catch(() => {});
      expect(await violations(page)).toEqual([]);
    }),
  );

  test.each(['Add native key provider', 'Add standard key provider'])('%s', (item) =>
    opened(browser, { ...look, path: '/cluster/key-providers' }, async (page) => {
      await page.getByRole('button', { name: 'Add', exact: true }).click();
      await page.getByRole('menuitem', { name: item }).click();
      expect(await violations(page)).toEqual([]);
    }),
  );

  test('a restore', () =>
    opened(browser, { ...look, path: '/cluster/key-providers' }, async (page) => {
      await page.getByRole('button', { name: 'Restore' }).click();
      const file = { name: 'a.p12', mimeType: 'application/x-pkcs12', buffer: Buffer.from('no backup') };
      await page.getByRole('dialog').getByLabel('Backup file').setInputFiles(file);
      await page.getByRole('dialog').getByRole('alert').waitFor();
      expect(await violations(page)).toEqual([]);
    }));

  test.each([
    ['VM Policies', 'Re-encrypt…'],
    ['VM Policies', 'Re-encrypt (deep)…'],
    ['VM Policies', 'Decrypt…'],
    ['Verify…', undefined],
    ['Remove from Inventory…', undefined],
  ])('%s %s', (item, within) =>
    opened(browser, { ...look, path: vm(2) }, async (page) => {
      await page.getByRole('button', { name: 'Actions' }).click();
      await page.getByRole('menuitem', { name: item, exact: true }).click();
      if (within) await page.getByRole('menuitem', { name: within, exact: true }).click();
      await page.getByRole('dialog').waitFor();
      expect(await violations(page)).toEqual([]);
    }),
  );

  test.each([
    ['/cluster/vms', 'Register VM…'],
    ['/settings', 'Switch off…'],
  ])('on %s: %s', (path, button) =>
    opened(browser, { ...look, path }, async (page) => {
      await page.getByRole('button', { name: button }).click();
      await page.getByRole('dialog').waitFor();
      expect(await violations(page)).toEqual([]);
    }),
  );

  test('a task to be cancelled', () =>
    opened(browser, { ...look, path: '/', before: ({ world }) => world.vms.slice(0, 1).forEach((vm) => world.begin(vm, 'vm.encrypt')) }, async (page) => {
      const tasks = page.getByRole('region', { name: 'Recent Tasks' });
      const toggle = tasks.getByRole('button', { name: 'Recent Tasks' });
      if ((await toggle.getAttribute('aria-expanded')) === 'false') await toggle.click();
      await tasks.getByRole('button', { name: /^Cancel / }).click();
      await page.getByRole('dialog').waitFor();
      expect(await violations(page)).toEqual([]);
    }));

  test('the Actions menu', () =>
    opened(browser, { ...look, path: vm(1) }, async (page) => {
      await page.getByRole('button', { name: 'Actions' }).click();
      await page.getByRole('menuitem', { name: 'VM Policies' }).click();
      expect(await violations(page)).toEqual([]);
    }));
});
