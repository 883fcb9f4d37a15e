// Somebody at a browser, on the console of a real server, in one of its languages.
import { join } from 'node:path';

import type { Browser, BrowserContext, Locator, Page } from 'playwright-core';

import { en, type Dictionary } from '../../src/i18n/en';
import { fr } from '../../src/i18n/fr';
import { Pictures, type StandIns } from './pictures';
import type { Playground, Site } from './playground';

export type Code = 'en' | 'fr';
export const PASSWORD = 'correct horse battery staple';
const FAILURES = new URL('../../../target/console-failures/', import.meta.url).pathname;
const DICTIONARIES = { en, fr };
/** Copies and key derivations take their time on a busy machine. */
const PATIENCE_MS = Number(process.env['PATIENCE_MS'] ?? 60_000);

export class Visitor {
  readonly t: Dictionary;
  private readonly pictures: Pictures;

  private constructor(
    readonly page: Page,
    private readonly window: BrowserContext,
    private readonly playground: Playground,
    private readonly site: Site,
    language: Code,
  ) {
    this.t = DICTIONARIES[language];
    this.pictures = new Pictures(page, language, () => this.#standIns());
  }

  /** Comes in by a link that works once. */
  static async at(browser: Browser, playground: Playground, site: Site, language: Code): Promise<Visitor> {
    const window = await browser.newContext({ locale: language, viewport: { width: 1280, height: 800 } });
    window.setDefaultTimeout(PATIENCE_MS);
    const page = await window.newPage();
    await page.goto(playground.link(site));
    await page.getByRole('heading', { name: DICTIONARIES[language].dashboard.title }).waitFor();
    return new Visitor(page, window, playground, site, language);
  }

  leave(): Promise<void> {
    return this.window.close();
  }

  /** What is seen when a test fails, beside what else the build leaves. */
  async picture(name: string): Promise<void> {
    await this.page.screenshot({ path: join(FAILURES, `${name.replaceAll(/\W+/g, '-')}.png`) });
  }

  /** For the user guide: what is seen now, or only a part of it. */
  async illustrate(name: string, part?: Locator): Promise<void> {
    await this.page.getByText(this.t.common.loading).first().waitFor({ state: 'hidden' });
    await this.pictures.take(name, part);
  }

  /** Names for what is called otherwise on every machine that the tests run on. */
  async #standIns(): Promise<StandIns> {
    const { sites, kms } = this.playground.contents;
    const host = await this.page.evaluate(() => fetch('/api/v1/summary').then((answer) => answer.json() as Promise<{ host?: string }>));
    return [
      [this.site.datastore, '/srv/vms'],
      [this.site.data, '/var/lib/cadenas'],
      [kms.address, 'kms.example.org:5696'],
      ...(host.host ? [[host.host, this.site === sites.paris ? 'paris-01' : 'lyon-01'] as const] : []),
    ];
  }

  get dialog(): Locator {
    return this.page.getByRole('dialog');
  }

  go(path: string): Promise<unknown> {
    return this.page.goto(new URL(path, this.page.url()).href);
  }

  press(name: string): Promise<void> {
    return this.dialog.getByRole('button', { name, exact: true }).click();
  }

  next(): Promise<void> {
    return this.page.getByRole('button', { name: this.t.migration.next, exact: true }).click();
  }

  says(text: string): Promise<void> {
    return this.page.getByText(text).first().waitFor();
  }

  async providers(): Promise<void> {
    await this.go('/cluster/key-providers');
    await this.page.getByRole('heading', { name: this.t.providers.title, exact: true }).waitFor();
  }

  async choose(button: string, item: string): Promise<void> {
    await this.page.locator('main').getByRole('button', { name: button, exact: true }).click();
    await this.page.getByRole('menuitem', { name: item, exact: true }).click();
  }

  async aboutProvider(name: string, item: string): Promise<void> {
    await this.page.getByRole('link', { name, exact: true }).click();
    await this.choose(this.t.common.actionsOf(name), item);
  }

  async addNative(name: string): Promise<void> {
    await this.providers();
    await this.choose(this.t.providers.add, this.t.providers.addNative);
    await this.dialog.getByLabel(this.t.providers.name, { exact: true }).fill(name);
    await this.illustrate('add-native', this.dialog);
    await this.press(this.t.providers.create.button);
    await this.dialog.getByText(this.t.providers.backup.lead).waitFor();
  }

  /** In the dialog that asks for it; the file as it was downloaded. */
  async backUp(file: string, password = PASSWORD): Promise<void> {
    const t = this.t.providers.backup;
    await this.dialog.getByLabel(t.password, { exact: true }).fill(password);
    await this.dialog.getByLabel(t.again, { exact: true }).fill(password);
    await this.dialog.getByLabel(t.saved).check();
    await this.illustrate('back-up', this.dialog);
    const coming = this.page.waitForEvent('download');
    await this.press(t.button);
    await (await coming).saveAs(file);
  }

  async prove(name: string, file: string): Promise<void> {
    const t = this.t.providers.backup;
    await this.dialog.getByLabel(t.file).setInputFiles(file);
    await this.illustrate('prove', this.dialog);
    await this.press(t.button2);
    await this.says(t.proved(name));
  }

  /** Opens a VM's page. */
  async vm(name: string): Promise<void> {
    const { id } = JSON.parse(this.playground.cadenas(this.site, 'vm', 'show', name, '-o', 'json')) as { id: string };
    await this.go(`/vms/${id}`);
    await this.page.getByRole('heading', { name }).waitFor();
  }

  /** An item of the VM's Actions, below one of its groups if it is in one. */
  async act(item: string, group?: string): Promise<void> {
    await this.page.locator('main').getByRole('button', { name: this.t.common.actions, exact: true }).click();
    if (group) await this.#group(group);
    await this.page.getByRole('menuitem', { name: item, exact: true }).click();
  }

  /** The same menu, on a right click on the VM in the inventory; one of its groups is open. */
  async rightClick(name: string, group: string): Promise<void> {
    await this.page.getByRole('treeitem', { name: new RegExp(name) }).click({ button: 'right' });
    await this.#group(group);
  }

  #group(name: string): Promise<void> {
    return this.page.getByRole('menuitem', { name }).click();
  }

  /** Waits for the newest task of a kind to end well. */
  async completes(kind: string): Promise<void> {
    const tasks = this.page.getByRole('region', { name: this.t.tasks.title });
    const newest = tasks.getByRole('row').filter({ has: this.page.getByRole('cell', { name: this.t.tasks.kinds[kind] ?? kind, exact: true }) });
    await newest.first().getByText(this.t.tasks.states.succeeded).waitFor();
  }

  /** Encrypts the VM that is shown, with the default provider or the one that is named. */
  async encrypt(provider?: string): Promise<void> {
    const t = this.t.operations;
    await this.act(t.names.encrypt, t.menus.policies);
    if (provider) await this.dialog.getByLabel(t.withProvider).selectOption({ label: provider });
    await this.press(t.policy.apply.encrypt);
  }

  /** Whether anything of the page, or what the browser keeps of it, holds a text. */
  async holds(secret: string): Promise<boolean> {
    const fields = await this.page.locator('input').evaluateAll((inputs) => inputs.map((input) => (input as HTMLInputElement).value));
    const kept = await this.page.evaluate(() => JSON.stringify([localStorage, sessionStorage]) + document.documentElement.outerHTML + location.href);
    return [...fields, kept].some((text) => text.includes(secret));
  }
}
