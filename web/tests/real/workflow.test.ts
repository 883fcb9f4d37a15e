// The whole way of a VM, clicked in a real browser on a real server with a real guest and a real key server, in both languages.
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
  const nkp = (): string => join(folder, 'nkp.p12');

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'cadenas-console-'));
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

  test('a standard key provider is added and trusted in two steps, and works', async () => {
    const { t, dialog } = visitor;
    const { kms } = playground.contents;
    await visitor.providers();
    await visitor.choose(t.providers.add, t.providers.addStandard);
    await dialog.getByLabel(t.providers.name, { exact: true }).fill('cluster');
    await dialog.getByLabel(t.providers.create.servers).fill(kms.address);
    await visitor.press(t.providers.create.button);
    const shown = execFileSync('openssl', ['x509', '-in', join(kms.ca, '../server.crt'), '-noout', '-fingerprint', '-sha256'], { encoding: 'utf8' });
    const fingerprint = shown.trim().split('=')[1] ?? '';
    await dialog.getByText(fingerprint).waitFor();
    await dialog.getByLabel(t.providers.trust.pin(kms.address)).check();
    await visitor.press(t.providers.trust.button);
    await dialog.getByLabel(t.providers.identity.certificate).setInputFiles(kms.certificate);
    await dialog.getByLabel(t.providers.identity.key).setInputFiles(kms.key);
    await visitor.press(t.providers.identity.button);
    await expect.poll(() => dialog.getByText(t.providers.test.works).count(), { timeout: 30_000 }).toBe(5);
    await visitor.press(t.providers.done);
    await visitor.says(t.providers.states.active);
  });

  test('a VM is encrypted with a key of that key server', async () => {
    await visitor.vm('mail01');
    await visitor.encrypt();
    await visitor.says(visitor.t.vm.byKind.standard);
  });

  test('a native key provider is added and backed up to a file that openssl opens', async () => {
    await visitor.addNative('nkp');
    await visitor.backUp(nkp());
    const opened = execFileSync('openssl', ['pkcs12', '-in', nkp(), '-passin', `pass:${PASSWORD}`, '-info', '-noout'], { stdio: 'pipe' });
    expect(opened).toBeDefined();
  });

  test('another file proves nothing; the very one does, and no password is left in the page', async () => {
    const other = join(folder, 'other.p12');
    writeFileSync(other, 'no backup');
    const t = visitor.t.providers.backup;
    await visitor.dialog.getByLabel(t.file).setInputFiles(other);
    await visitor.press(t.button2);
    await visitor.dialog.getByRole('alert').waitFor();
    await visitor.prove('nkp', nkp());
    expect(await visitor.holds(PASSWORD)).toBe(false);
  });

  test('it becomes the default', async () => {
    const { t } = visitor;
    await visitor.aboutProvider('nkp', t.providers.names['set-default']);
    await visitor.says(t.providers.isDefault('nkp'));
    await visitor.page.getByRole('row', { name: `nkp ${t.providers.defaultMark}` }).waitFor();
  });

  test('a VM is encrypted, shows its padlock, and its guest finds its marks', async () => {
    const { t } = visitor;
    await visitor.vm('web01');
    await visitor.encrypt();
    await visitor.says(t.vm.byKind.native);
    await visitor.page.getByRole('treeitem', { name: /web01/ }).getByText(t.inventory.padlocks.encrypted).waitFor({ state: 'attached' });
    await visitor.act(t.operations.names.start, t.operations.menus.power);
    await playground.hears('web01', 'MARK-READ vdb 8 ok');
  });

  test('it is re-encrypted while it runs', async () => {
    const { t } = visitor;
    await visitor.providers();
    await visitor.aboutProvider('nkp', t.providers.names.rotate);
    await visitor.press(t.providers.names.rotate);
    await visitor.dialog.getByText(t.providers.backup.lead).waitFor();
    await visitor.backUp(nkp());
    await visitor.prove('nkp', nkp());
    await visitor.vm('web01');
    await visitor.act(t.operations.names.recrypt, t.operations.menus.policies);
    await visitor.press(t.operations.titles.recrypt);
    const paris = playground.contents.sites.paris;
    const current = (): string => (JSON.parse(playground.cadenas(paris, 'provider', 'show', 'nkp', '-o', 'json')) as { key: string }).key;
    await visitor.says(current());
    expect(playground.virsh(paris, 'domstate', 'web01').trim()).toBe('running');
  });

  test('its VMs leave the key server by the wizard, with a report to keep', async () => {
    const { t, page } = visitor;
    await visitor.go('/migration');
    await page.getByRole('radio', { name: t.migration.from('cluster') }).check();
    await visitor.next();
    await page.getByRole('radio', { name: 'nkp' }).check();
    await visitor.next();
    const coming = page.waitForEvent('download');
    await page.getByRole('button', { name: t.migration.downloadPlan }).click();
    await coming;
    await page.getByRole('button', { name: t.migration.start(1) }).click();
    await visitor.says(t.migration.left('cluster'));
    const report = page.waitForEvent('download');
    await page.getByRole('button', { name: t.migration.reportCsv }).click();
    await (await report).saveAs(join(folder, 'report.csv'));
    expect(readFileSync(join(folder, 'report.csv'), 'utf8')).toContain('mail01');
    await visitor.vm('mail01');
    await visitor.says(t.vm.byKind.native);
    await playground.tell('kms stop');
    await visitor.act(t.operations.names.start, t.operations.menus.power);
    await playground.hears('mail01', 'MARK-READ vda 8 ok');
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
    await there.press(t.operations.register.button);
    await there.vm('web01');
    await there.says(t.vm.locked);
    await there.providers();
    await there.page.getByRole('button', { name: t.providers.restore.menu, exact: true }).click();
    await there.dialog.getByLabel(t.providers.backup.file).setInputFiles(nkp());
    await there.dialog.getByLabel(t.providers.restore.password).fill(PASSWORD);
    await there.press(t.providers.restore.button);
    await there.says(t.providers.restore.outcomes.created('nkp'));
    expect(await there.holds(PASSWORD)).toBe(false);
    await there.vm('web01');
    playground.forget('web01');
    await there.act(t.operations.names.start, t.operations.menus.power);
    await playground.hears('web01', 'MARK-READ vdb 8 ok');
    playground.cadenas(lyon, 'vm', 'kill', 'web01');
    await there.leave();
  });
});
