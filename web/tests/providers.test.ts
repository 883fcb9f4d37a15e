// Configure, Key Providers, in a browser, against a mock of the API.
import { readFile } from 'node:fs/promises';

import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { launch, opened } from './browser';
import { backupFile, FINGERPRINTS } from './mock/providers';
import type { MockServer } from './mock/server';

let browser: Browser;
beforeAll(async () => void (browser = await launch()));
afterAll(() => browser.close());

const PATH = '/cluster/key-providers';
const PASSWORD = 'correct horse battery staple';
const KNOWN = '00000000-0000-4000-8000-000000000001';
const ELSEWHERE = { provider: '00000000-0000-4000-8000-0000000000aa', name: 'nkp-nantes', keys: ['00000000-0000-4000-8000-0000000000ab'] };

const dialogOf = (page: Page): Locator => page.getByRole('dialog');
const row = (page: Page, name: string): Locator => page.getByRole('row').filter({ has: page.getByRole('link', { name, exact: true }) });
const focused = (page: Page): Promise<string | null> =>
  page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent?.trim() ?? null);
const p12 = (name: string, content: string): { name: string; mimeType: string; buffer: Buffer } => ({
  name,
  mimeType: 'application/x-pkcs12',
  buffer: Buffer.from(content, 'base64'),
});

/** Whether the page, its fields, its address or what the browser keeps of it hold a text. */
async function holds(page: Page, secret: string): Promise<boolean> {
  const fields = await page.locator('input').evaluateAll((inputs) => inputs.map((input) => (input as HTMLInputElement).value));
  const kept = await page.evaluate(() => JSON.stringify([localStorage, sessionStorage]) + document.documentElement.outerHTML + location.href);
  return [...fields, kept].some((text) => text.includes(secret));
}

async function menuOf(page: Page, name: string, item: string): Promise<void> {
  await page.getByRole('button', { name: `Actions of ${name}` }).click();
  await page.getByRole('menuitem', { name: item, exact: true }).click();
}

async function addNative(page: Page, name: string): Promise<void> {
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  await page.getByRole('menuitem', { name: 'Add native key provider' }).click();
  await dialogOf(page).getByLabel('Name').fill(name);
  await dialogOf(page).getByRole('button', { name: 'Add key provider' }).click();
  await page.getByRole('heading', { name: `Back up key provider ${name}` }).waitFor();
}

/** The file as the browser got it. */
async function backUp(page: Page): Promise<{ name: string; bytes: string }> {
  const dialog = dialogOf(page);
  await dialog.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await dialog.getByLabel('Password again').fill(PASSWORD);
  await dialog.getByLabel('I have saved the password').check();
  const coming = page.waitForEvent('download');
  await dialog.getByRole('button', { name: 'Back up' }).click();
  const file = await coming;
  return { name: file.suggestedFilename(), bytes: (await readFile(await file.path())).toString('base64') };
}

async function prove(page: Page, bytes: string): Promise<void> {
  await dialogOf(page).getByLabel('Backup file').setInputFiles(p12('kept.p12', bytes));
  await dialogOf(page).getByRole('button', { name: 'Prove backup' }).click();
}

describe('a native key provider', () => {
  test('is added, backed up and proved; no password is left in the page', () =>
    opened(browser, { path: PATH }, async (page, { world }) => {
      await addNative(page, 'nkp-new');
      await dialogOf(page).getByText('Without a backup').waitFor();
      const { name, bytes } = await backUp(page);
      const made = world.providers.find((one) => one.name === 'nkp-new');
      expect(name).toBe('nkp-new.p12');
      expect(bytes).toBe(backupFile({ provider: made?.id ?? '', name: 'nkp-new', keys: made?.versions.map(({ id }) => id) ?? [], password: PASSWORD }));
      await prove(page, Buffer.from('no backup').toString('base64'));
      await dialogOf(page).getByRole('alert').getByText('Not a usable backup').waitFor();
      await prove(page, bytes);
      await page.getByText('The backup of nkp-new opens.').waitFor();
      await row(page, 'nkp-new').getByText('Active').waitFor();
      expect(await holds(page, PASSWORD)).toBe(false);
      expect(page.url()).toContain(made?.id);
    }));

  test('needs both passwords to be the same, and the box; cancelling forgets them', () =>
    opened(browser, { path: PATH }, async (page, { asked }) => {
      await row(page, 'nkp-paris').waitFor();
      await page.getByRole('button', { name: 'Back up', exact: true }).click();
      const dialog = dialogOf(page);
      const button = dialog.getByRole('button', { name: 'Back up' });
      await dialog.getByLabel('Password', { exact: true }).fill(PASSWORD);
      await dialog.getByText('Strong').waitFor();
      await dialog.getByLabel('I have saved the password').check();
      await dialog.getByLabel('Password again').fill('another');
      await dialog.getByText('The two passwords are not the same.').waitFor();
      expect(await button.isDisabled()).toBe(true);
      await dialog.getByLabel('Password again').fill(PASSWORD);
      expect(await button.isEnabled()).toBe(true);
      await page.keyboard.press('Escape');
      expect(await holds(page, PASSWORD)).toBe(false);
      expect(await focused(page)).toBe('Back up');
      expect(asked).toEqual([]);
    }));

  test('is backed up without a password only after a warning', () =>
    opened(browser, { path: PATH }, async (page, { asked }) => {
      await row(page, 'nkp-paris').waitFor();
      await page.getByRole('button', { name: 'Back up', exact: true }).click();
      await dialogOf(page).getByLabel('Protect the backup').uncheck();
      await dialogOf(page).getByText('whoever has the file can open every VM').waitFor();
      await dialogOf(page).getByLabel('I will keep the file').check();
      await dialogOf(page).getByRole('button', { name: 'Back up' }).click();
      await dialogOf(page).getByText('Prove the backup of nkp-paris').waitFor();
      expect(asked.at(-1)).toContain(':backup {"no_password":true}');
    }));

  test('asks for a backup again after its key was rotated', () =>
    opened(browser, { path: PATH }, async (page) => {
      await row(page, 'nkp-paris').waitFor();
      await page.getByRole('button', { name: 'Rotate key' }).click();
      await dialogOf(page).getByText('Until then the present key goes on.').waitFor();
      await dialogOf(page).getByRole('button', { name: 'Rotate key' }).click();
      const { name, bytes } = await backUp(page);
      expect(name).toBe('nkp-paris-2.p12');
      await dialogOf(page).getByRole('button', { name: 'Later' }).click();
      await row(page, 'nkp-paris').getByText('New key not backed up').waitFor();
      await page.getByRole('button', { name: 'Prove a backup' }).click();
      await dialogOf(page).getByLabel('Backup file').setInputFiles(p12('kept.p12', bytes));
      await dialogOf(page).getByLabel('Password of the backup').fill(PASSWORD);
      await dialogOf(page).getByRole('button', { name: 'Prove backup' }).click();
      await page.getByText('New key not backed up').waitFor({ state: 'detached' });
    }));

  test('is for hosts with a TPM only where every host has one', () =>
    opened(browser, { path: PATH }, async (page) => {
      await row(page, 'nkp-paris').waitFor();
      await page.getByRole('button', { name: 'Add', exact: true }).click();
      await page.getByRole('menuitem', { name: 'Add native key provider' }).click();
      const box = dialogOf(page).getByLabel('Use key provider only with TPM');
      expect([await box.isDisabled(), await box.isChecked()]).toEqual([true, false]);
      await dialogOf(page).getByText('Not possible here').waitFor();
    }));
});

describe('a restore', () => {
  test('asks for the password only of a file that has one, and tells what it did', () =>
    opened(browser, { path: PATH }, async (page) => {
      await page.getByRole('button', { name: 'Restore' }).click();
      const dialog = dialogOf(page);
      await dialog.getByLabel('Backup file').setInputFiles(p12('bare.p12', backupFile(ELSEWHERE)));
      await dialog.getByText('This backup has no password.').waitFor();
      await dialog.getByLabel('Backup file').setInputFiles(p12('kept.p12', backupFile({ ...ELSEWHERE, password: PASSWORD })));
      await dialog.getByLabel('Password of the backup').fill('wrong');
      await dialog.getByRole('button', { name: 'Restore' }).click();
      await dialog.getByText('The backup does not open').waitFor();
      await dialog.getByLabel('Password of the backup').fill(PASSWORD);
      await dialog.getByRole('button', { name: 'Restore' }).click();
      await dialog.getByText('Key provider nkp-nantes was restored.').waitFor();
      await dialog.getByText('web00050').waitFor();
      expect(await holds(page, PASSWORD)).toBe(false);
      await dialog.getByRole('button', { name: 'Done' }).click();
      await page.getByRole('region', { name: 'About nkp-nantes' }).waitFor();
    }));

  test('takes a file that is dropped on the field', () =>
    opened(browser, { path: PATH }, async (page) => {
      await page.getByRole('button', { name: 'Restore' }).click();
      const dropped = await page.evaluateHandle((text) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([atob(text)], 'dropped.p12'));
        return transfer;
      }, backupFile({ ...ELSEWHERE, provider: KNOWN }));
      await dialogOf(page).getByText('Choose it, or drop it here.').dispatchEvent('drop', { dataTransfer: dropped });
      await dialogOf(page).getByText('dropped.p12').waitFor();
      await dialogOf(page).getByRole('button', { name: 'Restore' }).click();
      await dialogOf(page).getByText('were here already').waitFor();
    }));
});

describe('a standard key provider', () => {
  test('is added, trusted in two steps, and tested', () =>
    opened(browser, { path: PATH }, async (page, { asked }) => {
      await page.getByRole('button', { name: 'Add', exact: true }).click();
      await page.getByRole('menuitem', { name: 'Add standard key provider' }).click();
      const dialog = dialogOf(page);
      await dialog.getByLabel('Name').fill('kms-new');
      await dialog.getByLabel('Key servers').fill('kms1:5696\n kms2 \n');
      await dialog.getByRole('button', { name: 'Add key provider' }).click();
      await dialog.getByText('AB:AB:AB').waitFor();
      await dialog.getByText('connection refused').waitFor();
      await dialog.getByLabel('Trust this certificate of kms1:5696').check();
      await dialog.getByRole('button', { name: 'Trust', exact: true }).click();
      await dialog.getByLabel('Certificate (PEM)').setInputFiles(p12('cadenas.crt', Buffer.from('CERTIFICATE').toString('base64')));
      await dialog.getByLabel('Private key (PEM)').setInputFiles(p12('cadenas.key', Buffer.from('PRIVATE').toString('base64')));
      await dialog.getByRole('button', { name: 'Apply' }).click();
      await dialog.getByText('Works').nth(4).waitFor();
      await dialog.getByText('Fails').waitFor();
      const said = asked.join('\n');
      expect(said).toContain('{"name":"kms-new","kind":"standard","kms":["kms1:5696","kms2"]}');
      expect(said).toContain(`:trust {"pin":["${FINGERPRINTS[0]}"]}`);
      expect(said).toContain(':set-identity {"uploaded":{"certificate":"CERTIFICATE","key":"PRIVATE"}}');
      await dialog.getByRole('button', { name: 'Done' }).click();
      await row(page, 'kms-new').getByText('Active').waitFor();
      expect(await holds(page, 'PRIVATE')).toBe(false);
    }));

  test('gets a request for a certificate to download', () =>
    opened(browser, { path: PATH }, async (page) => {
      await menuOf(page, 'kms-lyon', 'Make the key servers trust Cadenas');
      await dialogOf(page).getByLabel('How').selectOption('csr');
      await dialogOf(page).getByRole('button', { name: 'Apply' }).click();
      const coming = page.waitForEvent('download');
      await dialogOf(page).getByRole('button', { name: 'Download kms-lyon.csr' }).click();
      expect((await coming).suggestedFilename()).toBe('kms-lyon.csr');
    }));

  test('gets a user, whose password is forgotten at once', () =>
    opened(browser, { path: PATH }, async (page, { asked }) => {
      await menuOf(page, 'kms-lyon', 'User name and password');
      await dialogOf(page).getByLabel('User name').fill('cadenas');
      await dialogOf(page).getByLabel('Password').fill(PASSWORD);
      await dialogOf(page).getByRole('button', { name: 'Apply' }).click();
      await dialogOf(page).waitFor({ state: 'detached' });
      expect(asked.at(-1)).toContain(`:set-user {"user":"cadenas","password":"${PASSWORD}"}`);
      expect(await holds(page, PASSWORD)).toBe(false);
    }));
});

describe('the table', () => {
  test('selects with the keyboard, and opens a menu on Shift+F10 that says why an item is greyed', () =>
    opened(browser, { path: PATH }, async (page) => {
      await page.getByRole('link', { name: 'kms-lyon' }).focus();
      await page.keyboard.press('Enter');
      await page.getByRole('region', { name: 'About kms-lyon' }).waitFor();
      await page.keyboard.press('Shift+F10');
      await page.getByRole('menuitem', { name: 'Set as default' }).click();
      await row(page, 'kms-lyon').getByText('Default').waitFor();
      await row(page, 'kms-lyon').click({ button: 'right' });
      await page.getByText('It is the default one already.').waitFor();
      await page.keyboard.press('Escape');
      expect(await focused(page)).toBe('kms-lyon');
    }));

  test('a provider that is in use is deleted only by who insists, and types its name', () =>
    opened(browser, { path: PATH }, async (page, { asked }) => {
      await menuOf(page, 'kms-lyon', 'Delete');
      const dialog = dialogOf(page);
      await dialog.getByRole('link', { name: 'web00006' }).waitFor();
      await dialog.getByLabel('Type kms-lyon to confirm').fill('kms-lyon');
      const button = dialog.getByRole('button', { name: 'Delete' });
      expect(await button.isDisabled()).toBe(true);
      await dialog.getByLabel('Delete it all the same').check();
      await button.click();
      await page.getByText('Key provider kms-lyon was deleted.').waitFor();
      expect(asked.at(-1)).toMatch(/^DELETE /);
      await row(page, 'kms-lyon').waitFor({ state: 'detached' });
    }));

  test('a provider is renamed, and gets a schedule', () =>
    opened(browser, { path: PATH }, async (page, { asked }) => {
      await menuOf(page, 'nkp-paris', 'Rename');
      await dialogOf(page).getByLabel('Name').fill('nkp-lille');
      await page.keyboard.press('Enter');
      await row(page, 'nkp-lille').waitFor();
      await menuOf(page, 'nkp-lille', 'Rotation schedule');
      await dialogOf(page).getByLabel('Every how many days').fill('90');
      await page.keyboard.press('Enter');
      await page.getByText('Every 90 days').waitFor();
      expect(asked.at(-1)).toContain(':set-rotation {"every_days":90}');
    }));

  test('without a provider it says so, and offers to add one', () =>
    opened(browser, { path: PATH, before: ({ world }: MockServer) => void (world.providers = []) }, async (page) => {
      await page.getByText('There is no key provider yet').waitFor();
      await page.getByRole('button', { name: 'Add native key provider' }).click();
      await dialogOf(page).getByLabel('Name').waitFor();
    }));
});
