// The whole way of a VM, clicked in a real browser on a real server with a real guest and a real key server, in both languages.
// The user guide tells the same way, and its pictures are taken here.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { launch } from '../browser';
import { Playground } from './playground';
import { PASSWORD, Visitor, type Code } from './visitor';

let browser: Browser;
beforeAll(async () => void (browser = await launch()));
afterAll(() => browser.close());

describe.each<Code>(['en', 'fr'])('in %s', (language) => {
  let playground: Playground;
  let visitor: Visitor;
  let folder: string;
  /** The newest backup of the native key provider. */
  let backup: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'cadenas-console-'));
    backup = join(folder, 'nkp.p12');
    playground = await Playground.open();
    visitor = await Visitor.at(browser, playground, playground.contents.sites.paris, language);
  });
  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') await visitor.picture(`${language} ${task.name}`);
  });
  afterAll(async () => {
    await visitor.leave();
    await playground.close();
    rmSync(folder, { recursive: true });
  });

  test('a native key provider is added and backed up to a file that openssl opens', async () => {
    await visitor.says(visitor.t.dashboard.kinds['no-provider'].says(1, ''));
    await visitor.illustrate('dashboard-first');
    await visitor.addNative('nkp');
    await visitor.backUp(backup);
    const opened = execFileSync('openssl', ['pkcs12', '-in', backup, '-passin', `pass:${PASSWORD}`, '-info', '-noout'], { stdio: 'pipe' });
    expect(opened).toBeDefined();
  });

  test('another file proves nothing; the very one does, and no password is left in the page', async () => {
    const other = join(folder, 'other.p12');
    writeFileSync(other, 'no backup');
    const t = visitor.t.providers.backup;
    await visitor.dialog.getByLabel(t.file).setInputFiles(other);
    await visitor.press(t.button2);
    await visitor.dialog.getByRole('alert').waitFor();
    await visitor.prove('nkp', backup);
    expect(await visitor.holds(PASSWORD)).toBe(false);
    await visitor.says(visitor.t.providers.states.active);
    await visitor.says(visitor.t.providers.detail.nobody);
    await visitor.illustrate('providers');
  });

  test('a VM is encrypted by its storage policy, shows its padlock, and its guest finds its marks', async () => {
    const { t } = visitor;
    await visitor.go('/policies');
    await visitor.says('VM Encryption Policy');
    await visitor.illustrate('policies');
    await visitor.vm('web01');
    await visitor.rightClick('web01', t.operations.menus.policies);
    await visitor.illustrate('vm-menu');
    await visitor.page.getByRole('menuitem', { name: t.operations.editPolicies, exact: true }).click();
    await visitor.dialog.getByLabel(t.operations.policy.all).selectOption('VM Encryption Policy');
    await visitor.says(t.operations.effects.encrypt);
    await visitor.illustrate('edit-policies', visitor.dialog);
    await visitor.press(t.operations.policy.apply.encrypt);
    await visitor.says(t.vm.byKind.native);
    await visitor.page.getByRole('treeitem', { name: /web01/ }).getByText(t.inventory.padlocks.encrypted).waitFor({ state: 'attached' });
    await visitor.act(t.operations.names.start, t.operations.menus.power);
    await playground.hears('web01', 'MARK-READ vdb 8 ok');
    await visitor.page.locator('main').getByText(t.inventory.powers.running).first().waitFor();
    await visitor.illustrate('vm-encrypted');
  });

  test('the key is rotated, and the new one backed up', async () => {
    const { t } = visitor;
    await visitor.providers();
    await visitor.aboutProvider('nkp', t.providers.names.rotate);
    await visitor.illustrate('rotate', visitor.dialog);
    await visitor.press(t.providers.names.rotate);
    await visitor.dialog.getByText(t.providers.backup.lead).waitFor();
    await visitor.press(t.common.cancel);
    await visitor.says(t.providers.notices['new-key']);
    await visitor.illustrate('new-key');
    await visitor.aboutProvider('nkp', t.providers.names['back-up']);
    backup = join(folder, 'nkp-2.p12');
    await visitor.backUp(backup);
    await visitor.prove('nkp', backup);
  });

  test('the VM is re-encrypted with it while it runs', async () => {
    const { t } = visitor;
    await visitor.vm('web01');
    await visitor.rightClick('web01', t.operations.menus.policies);
    await visitor.illustrate('vm-menu-running');
    await visitor.page.getByRole('menuitem', { name: t.operations.names.recrypt, exact: true }).click();
    await visitor.says(t.operations.instant);
    await visitor.illustrate('re-encrypt', visitor.dialog);
    await visitor.press(t.operations.titles.recrypt);
    const paris = playground.contents.sites.paris;
    const { key } = JSON.parse(playground.cadenas(paris, 'provider', 'show', 'nkp', '-o', 'json')) as { key: string };
    await visitor.says(key);
    expect(playground.virsh(paris, 'domstate', 'web01').trim()).toBe('running');
  });

  test('a VM gets new data keys, is verified, and becomes plain again', async () => {
    const { t } = visitor;
    await visitor.vm('db01');
    await visitor.encrypt();
    await visitor.says(t.vm.byKind.native);
    await visitor.act(t.operations.names['deep-recrypt'], t.operations.menus.policies);
    await visitor.dialog.getByText(t.operations.chosenMethod.copy).waitFor();
    await visitor.illustrate('re-encrypt-deep', visitor.dialog);
    await visitor.press(t.operations.titles['deep-recrypt']);
    await visitor.completes('vm.deep-recrypt');
    await visitor.act(t.operations.names.verify);
    await visitor.press(t.operations.titles.verify);
    await visitor.completes('vm.verify');
    await visitor.act(t.operations.names.decrypt, t.operations.menus.policies);
    await visitor.dialog.getByText(t.operations.chosenMethod.copy).waitFor();
    await visitor.illustrate('decrypt', visitor.dialog);
    await visitor.press(t.operations.policy.apply.decrypt);
    await visitor.completes('vm.decrypt');
    await visitor.says(t.vm.plainHint);
  });

  test('a standard key provider is added and trusted in two steps, and works', async () => {
    const { t, dialog } = visitor;
    const { kms } = playground.contents;
    await visitor.providers();
    await visitor.choose(t.providers.add, t.providers.addStandard);
    await dialog.getByLabel(t.providers.name, { exact: true }).fill('kms');
    await dialog.getByLabel(t.providers.create.servers).fill(kms.address);
    await visitor.illustrate('add-standard', dialog);
    await visitor.press(t.providers.create.button);
    const shown = execFileSync('openssl', ['x509', '-in', join(kms.ca, '../server.crt'), '-noout', '-fingerprint', '-sha256'], { encoding: 'utf8' });
    const fingerprint = shown.trim().split('=')[1] ?? '';
    await dialog.getByText(fingerprint).waitFor();
    await dialog.getByLabel(t.providers.trust.pin(kms.address)).check();
    await visitor.illustrate('trust', dialog);
    await visitor.press(t.providers.trust.button);
    await dialog.getByLabel(t.providers.identity.certificate).setInputFiles(kms.certificate);
    await dialog.getByLabel(t.providers.identity.key).setInputFiles(kms.key);
    await visitor.illustrate('identity', dialog);
    await visitor.press(t.providers.identity.button);
    await expect.poll(() => dialog.getByText(t.providers.test.works).count(), { timeout: 30_000 }).toBe(5);
    await visitor.illustrate('test-connection', dialog);
    await visitor.press(t.providers.done);
    await visitor.page.getByRole('row', { name: 'kms' }).getByText(t.providers.states.active).waitFor();
  });

  test('it becomes the default, and encrypts a VM with a key of that key server', async () => {
    const { t } = visitor;
    await visitor.aboutProvider('kms', t.providers.names['set-default']);
    await visitor.says(t.providers.isDefault('kms'));
    await visitor.page.getByRole('row', { name: `kms ${t.providers.defaultMark}` }).waitFor();
    await visitor.vm('mail01');
    await visitor.encrypt();
    await visitor.says(t.vm.byKind.standard);
  });

  test('its VMs leave the key server by the wizard, with a report to keep', async () => {
    const { t, page } = visitor;
    await visitor.go('/migration');
    await page.getByRole('radio', { name: t.migration.from('kms') }).check();
    await visitor.illustrate('migration-source');
    await visitor.next();
    await page.getByRole('radio', { name: 'nkp' }).check();
    await visitor.illustrate('migration-target');
    await visitor.next();
    const coming = page.waitForEvent('download');
    await page.getByRole('button', { name: t.migration.downloadPlan }).click();
    await coming;
    await visitor.illustrate('migration-plan');
    await page.getByRole('button', { name: t.migration.start(1) }).click();
    await visitor.says(t.migration.left('kms'));
    const report = page.waitForEvent('download');
    await page.getByRole('button', { name: t.migration.reportCsv }).click();
    await (await report).saveAs(join(folder, 'report.csv'));
    expect(readFileSync(join(folder, 'report.csv'), 'utf8')).toContain('mail01');
    await visitor.illustrate('migration-summary');
    await visitor.providers();
    await visitor.aboutProvider('nkp', t.providers.names['set-default']);
    await visitor.says(t.providers.isDefault('nkp'));
    await visitor.vm('mail01');
    await visitor.says(t.vm.byKind.native);
    await playground.tell('kms stop');
    await visitor.act(t.operations.names.start, t.operations.menus.power);
    await playground.hears('mail01', 'MARK-READ vda 8 ok');
  });

  test('the dashboard, the events and the settings tell what was done and what is so', async () => {
    const { t, page } = visitor;
    await visitor.go('/');
    await page.getByRole('heading', { name: t.dashboard.vms }).waitFor();
    await visitor.illustrate('dashboard');
    await visitor.go('/events');
    await page.getByRole('row').filter({ hasText: t.events.kinds['provider.default-set'] }).first().waitFor();
    await visitor.illustrate('events');
    await visitor.go('/settings');
    await page.getByRole('heading', { name: t.settings.title, exact: true }).waitFor();
    await visitor.illustrate('settings');
  });

  test('on another site the backup unlocks it', async () => {
    const { lyon, paris } = playground.contents.sites;
    await visitor.vm('web01');
    await visitor.act(visitor.t.operations.names.kill, visitor.t.operations.menus.power);
    await visitor.press(visitor.t.operations.titles.kill);
    await visitor.page.locator('main').getByText(visitor.t.inventory.powers.off, { exact: true }).first().waitFor();
    const home = join(lyon.datastore, 'web01');
    cpSync(join(paris.datastore, 'web01'), home, { recursive: true });
    const there = await Visitor.at(browser, playground, lyon, language);
    const { t } = there;
    await there.go('/cluster/vms');
    await there.page.getByRole('button', { name: t.inventory.register }).click();
    await there.dialog.getByLabel(t.operations.register.path).fill(home);
    await there.illustrate('register', there.dialog);
    await there.press(t.operations.register.button);
    await there.says(t.operations.register.done('web01'));
    await there.vm('web01');
    await there.says(t.vm.locked);
    await there.illustrate('vm-locked');
    await there.providers();
    await there.page.getByRole('button', { name: t.providers.restore.menu, exact: true }).click();
    await there.dialog.getByLabel(t.providers.backup.file).setInputFiles(backup);
    await there.dialog.getByLabel(t.providers.restore.password).fill(PASSWORD);
    await there.illustrate('restore', there.dialog);
    await there.press(t.providers.restore.button);
    await there.says(t.providers.restore.outcomes.created('nkp'));
    expect(await there.holds(PASSWORD)).toBe(false);
    await there.illustrate('restored', there.dialog);
    await there.vm('web01');
    playground.forget('web01');
    await there.act(t.operations.names.start, t.operations.menus.power);
    await playground.hears('web01', 'MARK-READ vdb 8 ok');
    playground.cadenas(lyon, 'vm', 'kill', 'web01');
    await there.page.getByRole('button', { name: t.shell.signOut }).click();
    await there.page.getByRole('heading', { name: t.shell.signIn.title }).waitFor();
    await there.illustrate('sign-in');
    await there.leave();
  });
});
