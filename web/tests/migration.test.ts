// The way from a key server to a native key provider, in a browser, against a mock of the API.
import { readFile } from 'node:fs/promises';

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import type { Task } from '../src/api/types';
import { launch, opened } from './browser';
import type { World } from './mock/world';

let browser: Browser;
beforeAll(async () => void (browser = await launch()));
afterAll(() => browser.close());

const KMS = '00000000-0000-4000-8000-000000000002';
const NATIVE = '00000000-0000-4000-8000-000000000001';
const next = (page: Page) => page.getByRole('button', { name: 'Next' }).click();

/** Ends the newest task; one VM failed. */
function end(world: World): void {
  const [task] = world.tasks;
  const [vm] = world.vms.filter(({ providers }) => providers[0]?.id === KMS);
  if (!task || !vm) throw new Error('nothing was begun');
  const problem = { type: '', title: '', status: 502, code: 'kms-unreachable' as const, detail: 'kms1 does not answer', next: 'Start it.' };
  const bulk = { changed: 3, already: 0, failed: 1, failures: [{ vm: vm.id, name: vm.name, problem }], median_microseconds: 4_310, p99_microseconds: 12_800 };
  const ended: Task = { ...task, state: 'succeeded', finished: new Date().toISOString(), outcome: { changed: true, message: '', bulk } };
  world.happen('vm.recrypted', 'web00011: re-encrypted', { task: task.id, vm: world.vms[10]?.id ?? '' });
  world.tell(ended);
}

test('a key server is left: plan, start, watch, leave the page, come back, keep the report, try again', () =>
  opened(browser, { path: '/migration' }, async (page, server) => {
    expect(await page.getByRole('radio', { name: 'VMs of kms-lyon' }).isChecked()).toBe(true);
    await next(page);
    await page.getByText('Afterwards these VMs need no key server.').waitFor();
    await next(page);
    await page.getByRole('button', { name: 'Re-encrypt 4 VMs' }).click();
    expect(server.asked.at(-1)).toBe(`POST /api/v1/vms:recrypt {"from":"${KMS}","to":"${NATIVE}"}`);
    await page.locator('main').getByText('0 of 4 VMs').waitFor();

    await page.getByRole('link', { name: 'Dashboard' }).click();
    await page.getByRole('link', { name: 'Migration' }).click();
    await page.getByRole('link', { name: 'Watch it' }).click();
    await page.getByText('The VMs are being re-encrypted').waitFor();
    await page.goBack();
    await page.getByRole('region', { name: 'Recent Tasks' }).getByRole('link').first().click();
    await page.getByText('The VMs are being re-encrypted').waitFor();

    end(server.world);
    await page.getByText('Done, but not with all VMs').waitFor();
    await page.getByText('4.3 ms in the middle, 99 % within 13 ms').waitFor();
    const file = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Download the report (CSV)' }).click();
    const lines = (await readFile(await (await file).path(), 'utf8')).trim().split('\r\n');
    expect(lines[1]).toContain(': kms1 does not answer,The key server cannot be reached,Start it.');
    expect(lines[2]).toContain('web00011: re-encrypted');
  }));

test('the failed ones are tried again, with what was asked for', () =>
  opened(browser, { path: `/migration?from=${KMS}` }, async (page, server) => {
    await page.getByRole('radio', { name: 'nkp-paris' }).waitFor();
    await next(page);
    await page.getByRole('button', { name: 'Re-encrypt 4 VMs' }).click();
    await page.locator('main').getByText('0 of 4 VMs').waitFor();
    end(server.world);
    await page.getByRole('button', { name: 'Try the failed ones again' }).click();
    await page.getByText('The VMs are being re-encrypted').waitFor();
    expect(server.asked.filter((asked) => asked.includes('vms:recrypt'))).toHaveLength(2);
    await page.getByRole('button', { name: 'Cancel…' }).click();
    await page.getByRole('dialog').getByText('Those that are done keep their new key').waitFor();
    await page.getByRole('button', { name: 'Cancel the task' }).click();
    await page.getByText('It was stopped').waitFor();
    await page.getByRole('button', { name: 'Go on with the rest' }).waitFor();
  }));

test('the plan tells what is not possible, and is downloaded', () =>
  opened(browser, { path: '/migration', vms: 60 }, async (page) => {
    await page.getByRole('radio', { name: 'All encrypted VMs' }).check();
    await next(page);
    await next(page);
    await page.getByText('A locked VM needs its key provider restored').waitFor();
    await page.locator('main').getByLabel('Show').selectOption('Not possible');
    await page.getByRole('row', { name: 'web00050' }).getByText('it is locked').waitFor();
    const file = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Download the plan (CSV)' }).click();
    expect(await readFile(await (await file).path(), 'utf8')).toContain('web00050');
    await page.getByRole('button', { name: 'Choose VMs' }).click();
    expect(await page.getByRole('radio', { name: 'All encrypted VMs' }).isChecked()).toBe(true);
  }));

test('it is reached from the cluster, by keyboard too', () =>
  opened(browser, {}, async (page) => {
    await page.getByRole('treeitem', { name: 'Cluster' }).focus();
    await page.keyboard.press('Shift+F10');
    await page.getByRole('menuitem', { name: 'Migrate to another key provider…' }).waitFor();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Choose VMs' }).waitFor();
    await page.getByRole('radio', { name: 'VMs of kms-lyon' }).focus();
    await page.keyboard.press('ArrowDown');
    expect(await page.getByRole('radio', { name: 'All encrypted VMs' }).isChecked()).toBe(true);
    await page.getByRole('button', { name: 'Next' }).focus();
    await page.keyboard.press('Enter');
    expect(await page.evaluate(() => document.activeElement?.textContent)).toContain('Choose key provider');
  }));
