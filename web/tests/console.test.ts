// The console in a browser, against a mock of the API, as people use it.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { launch, opened } from './browser';
import { TOKEN } from './mock/server';

let browser: Browser;
beforeAll(async () => void (browser = await launch()));
afterAll(() => browser.close());

const vmPath = (index: number): string => `/vms/00000000-0000-4000-8000-${(1_000 + index).toString(16).padStart(12, '0')}`;
const focused = (page: Page): Promise<string | null> => page.evaluate(() => document.activeElement?.textContent?.trim() ?? null);

describe('signing in', () => {
  test('a link works once, and its token is gone from the address', () =>
    opened(browser, { path: `/vms#once=${TOKEN}`, before: (server) => void (server.signedIn = false) }, async (page) => {
      await page.getByText('root on kvm01').waitFor();
      expect(page.url()).not.toContain('once');
      expect(await page.evaluate(() => JSON.stringify([localStorage, sessionStorage]) + document.documentElement.outerHTML)).not.toContain(TOKEN);
    }));

  test('without a session it says what to run', () =>
    opened(browser, { path: '/#once=spent', before: (server) => void (server.signedIn = false) }, async (page) => {
      await page.getByText('The link does not work any more').waitFor();
      await page.getByText('cadenas console', { exact: true }).waitFor();
    }));
});

describe('the inventory', () => {
  test('is searched and filtered by the server', () =>
    opened(browser, { path: '/cluster/vms', vms: 300 }, async (page) => {
      const grid = page.getByRole('grid');
      await grid.getByText('web00001').waitFor();
      await page.locator('main').getByRole('searchbox').fill('0029');
      await page.locator('main').getByText('11 VMs').waitFor();
      await page.locator('main').getByLabel('Show').selectOption('locked');
      await page.locator('main').getByText('No virtual machine matches.').waitFor();
      await page.getByRole('button', { name: 'Show all VMs' }).click();
      await page.locator('main').getByText('300 VMs').waitFor();
    }));

  test.each([
    ['table', '/cluster/vms', 'grid'],
    ['tree', '/', 'tree'],
  ] as const)('is scrolled to its end in the %s, of which only what is seen exists', (_, path, role) =>
    opened(browser, { path, vms: 10_000 }, async (page) => {
      const list = page.getByRole(role);
      await list.getByText('web00001').waitFor();
      await list.evaluate((element) => element.scrollTo(0, element.scrollHeight));
      await list.getByText('web10000').waitFor();
      expect(await list.locator('[data-row]').count()).toBeLessThan(80);
    }),
  );

  test('is gone through with the keyboard', () =>
    opened(browser, { vms: 300 }, async (page) => {
      const tree = page.getByRole('tree');
      await tree.getByText('web00001').waitFor();
      await tree.getByRole('treeitem').first().focus();
      await page.keyboard.press('End');
      await tree.getByText('web00300').waitFor();
      expect(await focused(page)).toContain('web00300');
      await page.keyboard.press('ArrowLeft');
      expect(await focused(page)).toContain('kvm01');
      await page.keyboard.press('ArrowLeft');
      expect(await tree.getByRole('treeitem').count()).toBe(2);
    }));
});

describe('the Actions menu', () => {
  test('opens on Shift+F10, says why an item is greyed, and gives the focus back', () =>
    opened(browser, { path: '/cluster/vms' }, async (page) => {
      await page.getByRole('grid').getByText('web00001').waitFor();
      await page.getByRole('row', { name: 'web00001' }).focus();
      await page.keyboard.press('Shift+F10');
      await page.getByRole('menuitem', { name: 'Power', exact: true }).waitFor();
      await page.keyboard.press('ArrowRight');
      await page.keyboard.press('ArrowDown');
      expect(await focused(page)).toContain('Shut Down Guest OS');
      await page.getByText('VM web00001 is not running').first().waitFor();
      await page.keyboard.press('Enter');
      expect(await page.getByRole('menu').count()).toBe(2);
      await page.keyboard.press('Escape');
      expect(await focused(page)).toContain('web00001');
    }));

  test('opens on a right click in the tree', () =>
    opened(browser, {}, async (page) => {
      await page.getByRole('treeitem', { name: 'web00002' }).click({ button: 'right' });
      await page.getByRole('menuitem', { name: 'VM Policies' }).click();
      await page.getByRole('menuitem', { name: 'Re-encrypt…' }).click();
      await page.getByRole('dialog').getByText('No byte of a disk is written').waitFor();
    }));
});

describe('storage policies', () => {
  test('one disk takes the VM home with it', () =>
    opened(browser, { path: vmPath(0) }, async (page, server) => {
      await page.getByRole('button', { name: 'Edit VM Storage Policies…' }).click();
      const dialog = page.getByRole('dialog');
      await dialog.getByText('Nothing would change.').waitFor();
      await dialog.getByLabel('Configure per disk').check();
      await dialog.getByLabel('Storage policy: vdb').selectOption('VM Encryption Policy');
      await dialog.getByText('About 64 GiB are read and written, which takes about 2 minutes.').waitFor();
      expect(await dialog.getByLabel('Storage policy: VM home').inputValue()).toBe('VM Encryption Policy');
      await dialog.getByRole('button', { name: 'Encrypt' }).click();
      await dialog.waitFor({ state: 'detached' });
      expect(server.asked.at(-1)).toContain(':set-policy {"policy":"VM Encryption Policy","disks":["vdb"]}');
      expect(await focused(page)).toBe('Edit VM Storage Policies…');
      await page.getByRole('region', { name: 'Recent Tasks' }).getByRole('link', { name: 'web00001' }).waitFor();
    }));

  test('a running VM is told to be shut down first', () =>
    opened(browser, { path: vmPath(9) }, async (page) => {
      await page.getByRole('button', { name: 'Edit VM Storage Policies…' }).click();
      const dialog = page.getByRole('dialog');
      await dialog.getByLabel('VM storage policy', { exact: true }).selectOption('VM Encryption Policy');
      await dialog.getByText('Shut it down first.').waitFor();
      expect(await dialog.getByRole('button', { name: 'Encrypt' }).isDisabled()).toBe(true);
    }));
});

describe('recent tasks', () => {
  test('go on live, and are cancelled', () =>
    opened(browser, {}, async (page, { world }) => {
      const tasks = page.getByRole('region', { name: 'Recent Tasks' });
      await tasks.getByText('No task has run yet.').waitFor();
      const [vm] = world.vms;
      if (vm) world.begin(vm, 'vm.encrypt');
      await tasks.getByText('20 GiB of 64 GiB').waitFor();
      await tasks.getByRole('button', { name: 'Cancel Encrypt of web00001' }).click();
      await page.getByRole('dialog').getByText('What it has done so far is undone').waitFor();
      await page.getByRole('button', { name: 'Cancel the task' }).click();
      await tasks.getByText('Cancelled').waitFor();
    }));
});

describe('the panel of recent tasks', () => {
  test('is made higher with the keyboard, and stays so', () =>
    opened(browser, {}, async (page) => {
      const edge = page.getByRole('separator', { name: 'Height of Recent Tasks' });
      const before = Number(await edge.getAttribute('aria-valuenow'));
      await edge.focus();
      await page.keyboard.press('ArrowUp');
      await page.keyboard.press('ArrowUp');
      await page.reload();
      expect(Number(await edge.getAttribute('aria-valuenow'))).toBe(before + 48);
    }));
});

test('everything is there in French, and the choice is remembered', () =>
  opened(browser, { locale: 'fr-CA' }, async (page) => {
    await page.getByRole('heading', { name: 'Tableau de bord' }).waitFor();
    await page.getByLabel('Langue').selectOption('en');
    await page.reload();
    await page.getByRole('heading', { name: 'Dashboard' }).waitFor();
    expect(await page.evaluate(() => document.documentElement.lang)).toBe('en');
  }));
