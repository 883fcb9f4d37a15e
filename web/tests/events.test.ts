// The events page in a browser, against a mock of the API.
import { readFile } from 'node:fs/promises';

import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { launch, opened } from './browser';
import type { MockServer } from './mock/server';

let browser: Browser;
beforeAll(async () => void (browser = await launch()));
afterAll(() => browser.close());

/** `count` events, the oldest of which says 1. */
const having = (count: number) => ({
  path: '/events',
  before: ({ world }: MockServer) => {
    for (let number = 1; number <= count; number++) {
      const vm = world.vms[number % 20];
      world.happen(number % 10 === 0 ? 'vm.encrypt-failed' : 'vm.recrypted', `${vm?.name}: the ${number}th`, vm ? { vm: vm.id } : {});
    }
  },
});

test('new events come by themselves, and say what they are about', () =>
  opened(browser, having(3), async (page, { world }) => {
    const rows = page.getByRole('grid').getByRole('row');
    await page.getByText('the 3th').waitFor();
    world.happen('provider.backed-up', 'Key provider nkp-paris was backed up.', { provider: world.providers[0]?.id ?? '' });
    await page.getByRole('grid').getByText('Key provider backed up').waitFor();
    expect(await rows.nth(1).textContent()).toContain('nkp-paris');
    expect(await rows.nth(2).getByRole('link', { name: 'web00004' }).getAttribute('href')).toContain('/vms/');
  }));

test('older ones come while scrolling, and what is read stays in its place', () =>
  opened(browser, having(450), async (page, { world }) => {
    await page.getByText('200 events loaded').waitFor();
    const grid = page.getByRole('grid');
    await grid.getByRole('row').nth(1).focus();
    await page.keyboard.press('End');
    await page.getByText('400 events loaded').waitFor();
    world.happen('vm.started', 'VM web00001 started');
    await page.getByRole('button', { name: 'Show 1 new event' }).click();
    await page.getByText('401 events loaded').waitFor();
    await page.getByRole('button', { name: 'Load older events' }).click();
    await page.getByText('451 events loaded').waitFor();
    expect(await page.getByRole('button', { name: 'Load older events' }).count()).toBe(0);
  }));

test('a search and a kind narrow them, and what is shown is downloaded', () =>
  opened(browser, having(40), async (page) => {
    await page.getByLabel('Kind').selectOption({ label: 'Encrypt: failed' });
    await page.getByText('4 of 40 events loaded').waitFor();
    await page.getByRole('searchbox', { name: 'Search in the loaded events' }).fill('the 20th');
    await page.getByText('1 of 40 events loaded').waitFor();
    const file = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Download CSV' }).click();
    const lines = (await readFile(await (await file).path(), 'utf8')).trim().split('\r\n');
    expect(lines).toHaveLength(2);
    expect(lines[1]).toContain(',vm.encrypt-failed,Encrypt: failed,web00001: the 20th,web00001,');
    await page.getByRole('searchbox', { name: 'Search in the loaded events' }).fill('never');
    await page.getByRole('button', { name: 'Show all events' }).click();
    await page.getByText('40 events loaded').waitFor();
  }));

test('Enter opens an event in full, in French too', () =>
  opened(browser, { ...having(1), locale: 'fr' }, async (page) => {
    await page.getByRole('row', { name: 'VM chiffrée à nouveau' }).focus();
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: 'VM chiffrée à nouveau' });
    await dialog.getByText('vm.recrypted').waitFor();
    await dialog.getByRole('link', { name: 'web00002' }).click();
    await page.getByRole('heading', { name: 'web00002' }).waitFor();
  }));
