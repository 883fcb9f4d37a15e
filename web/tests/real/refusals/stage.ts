// A server with VMs, somebody at its console, and how he is told that something cannot be done.
import type { Browser, Locator } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';

import { launch } from '../../browser';
import { Playground, type Site } from '../playground';
import { Visitor } from '../visitor';
import { Maker } from './awkward';

const POLICY = 'VM Encryption Policy';

/** One for all tests of a file. */
export function staged(): Stage {
  const stage = new Stage();
  beforeAll(() => stage.open());
  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') await stage.visitor.picture(task.name);
  });
  afterAll(() => stage.close());
  return stage;
}

class Stage {
  browser!: Browser;
  playground!: Playground;
  site!: Site;
  visitor!: Visitor;
  maker!: Maker;

  async open(): Promise<void> {
    this.browser = await launch();
    this.playground = await Playground.open();
    this.site = this.playground.contents.sites.paris;
    this.visitor = await this.another();
    this.maker = new Maker(this.playground, this.site);
  }

  async close(): Promise<void> {
    await this.playground.close();
    await this.browser.close();
  }

  /** Somebody else at the same server. */
  another(): Promise<Visitor> {
    return Visitor.at(this.browser, this.playground, this.site, 'en');
  }

  cadenas(...arguments_: string[]): string {
    return this.playground.cadenas(this.site, ...arguments_);
  }

  /** A default key provider that can encrypt; its backup is `maker.path('nkp.p12')`. */
  provider(name = 'nkp'): void {
    this.cadenas('provider', 'create', name);
    this.cadenas('provider', 'backup', name, '--no-password', '--out', this.maker.path(`${name}.p12`));
  }

  /** Opens the dialog that gives a VM its policies, with the encryption policy chosen. */
  async wantEncryption(name: string, by = this.visitor): Promise<void> {
    const { t } = by;
    await by.vm(name);
    await by.act(t.operations.editPolicies, t.operations.menus.policies);
    await by.dialog.getByLabel(t.operations.policy.all).selectOption(POLICY);
  }

  encryptButton({ t, dialog } = this.visitor): Locator {
    return dialog.getByRole('button', { name: t.operations.policy.apply.encrypt, exact: true });
  }

  /** The dialog tells beforehand why a VM cannot be encrypted, and cannot be sent. */
  async cannotBeEncrypted(name: string, ...words: string[]): Promise<void> {
    await this.wantEncryption(name);
    await says(this.visitor.dialog.locator('.alert', { hasText: this.visitor.t.operations.cannot }), words);
    expect(await this.encryptButton().isDisabled()).toBe(true);
  }

  /** The dialog stays, and tells how what it sent was refused. */
  isRefused(...words: string[]): Promise<void> {
    return says(this.visitor.dialog.getByRole('alert'), words);
  }

  /** The newest task failed. */
  fails(...words: string[]): Promise<void> {
    const { page, t } = this.visitor;
    const newest = page.getByRole('region', { name: t.tasks.title }).getByRole('row').nth(1);
    return says(newest, words);
  }

  /** An item of the menu of the VM that is shown is greyed, and tells why. */
  async isGreyed(item: string, group: string, ...words: string[]): Promise<void> {
    const { page, t } = this.visitor;
    await page.locator('main').getByRole('button', { name: t.common.actions, exact: true }).click();
    await page.getByRole('menuitem', { name: group }).click();
    const entry = page.getByRole('menuitem', { name: item, exact: true });
    expect(await entry.getAttribute('aria-disabled')).toBe('true');
    await says(page.locator(`[id="${await entry.getAttribute('aria-describedby')}"]`), words);
    await page.keyboard.press('Escape');
  }
}

/** Waits until a place has all these words. */
export async function says(place: Locator, words: string[]): Promise<void> {
  for (const word of words) await place.filter({ hasText: word }).first().waitFor();
}
