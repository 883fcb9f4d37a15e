// The settings page in a browser, against a mock of the API.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { launch, opened } from './browser';

let browser: Browser;
beforeAll(async () => void (browser = await launch()));
afterAll(() => browser.close());

test('the native key provider is switched off with a message, and on again', () =>
  opened(browser, { path: '/settings' }, async (page, server) => {
    await page.getByRole('button', { name: 'Switch off…' }).click();
    await page.getByRole('dialog').getByLabel('What users are told').fill('Ask the desk.');
    await page.getByRole('dialog').getByRole('button', { name: 'Switch off' }).click();
    await page.getByText('Users are told: “Ask the desk.”').waitFor();
    expect(server.asked.at(-1)).toBe('PUT /api/v1/features/native-key-provider {"enabled":false,"message":"Ask the desk."}');
    await page.getByRole('button', { name: 'Switch on' }).click();
    await page.getByRole('button', { name: 'Switch off…' }).waitFor();
    expect(server.asked.at(-1)).toBe('PUT /api/v1/features/native-key-provider {"enabled":true}');
  }));

test('what the host lacks is said with what to do, in the chosen language', () =>
  opened(browser, { path: '/settings', locale: 'fr' }, async (page) => {
    await page.getByText('Activez le TPM dans le microprogramme').waitFor();
    await page.locator('main').getByLabel('Langue', { exact: true }).selectOption('en');
    await page.getByText('Enable the TPM in the firmware').waitFor();
  }));

test('the theme follows the system until one is chosen', () =>
  opened(browser, { path: '/settings', colorScheme: 'dark' }, async (page) => {
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const dark = await ground();
    await page.getByLabel('Theme', { exact: true }).selectOption('Light');
    expect(await ground()).not.toBe(dark);
    await page.reload();
    await page.getByLabel('Theme', { exact: true }).selectOption('As the system');
    expect(await ground()).toBe(dark);
  }));

test('the session is ended there', () =>
  opened(browser, { path: '/settings' }, async (page, server) => {
    await page.locator('main').getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in to Cadenas' }).waitFor();
    expect(server.signedIn).toBe(false);
  }));
