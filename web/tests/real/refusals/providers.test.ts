// Key providers: what cannot be made, backed up, proved, restored or used.
import { readFileSync, writeFileSync } from 'node:fs';

import { expect, test } from 'vitest';

import { PASSWORD } from '../visitor';
import { run } from './awkward';
import { staged } from './stage';

const stage = staged();

test('without a key provider nothing is encrypted', () => stage.cannotBeEncrypted('db01', 'no default key provider'));

test.each(['a/b', 'two words', 'clé', 'x'.repeat(300)])('a key provider cannot be called %s', async (name) => {
  const { visitor } = stage;
  const { t } = visitor;
  await visitor.providers();
  await visitor.choose(t.providers.add, t.providers.addNative);
  await visitor.dialog.getByLabel(t.providers.name, { exact: true }).fill(name);
  await visitor.press(t.providers.create.button);
  await stage.isRefused(t.problems['bad-name'].title, 'use 1 to 63 of the characters');
});

test('the password of a backup is neither empty nor another the second time', async () => {
  const { visitor } = stage;
  const t = visitor.t.providers.backup;
  await visitor.addNative('nkp');
  const button = visitor.dialog.getByRole('button', { name: t.button, exact: true });
  await visitor.dialog.getByLabel(t.saved).check();
  expect(await button.isDisabled()).toBe(true);
  await visitor.dialog.getByLabel(t.password, { exact: true }).fill(PASSWORD);
  await visitor.dialog.getByLabel(t.again, { exact: true }).fill('correct horse');
  await visitor.dialog.getByText(t.differ).waitFor();
  expect(await button.isDisabled()).toBe(true);
});

test('one that is not backed up encrypts nothing', async () => {
  await stage.cannotBeEncrypted('db01', 'nkp', 'in no backup', stage.visitor.t.problems['provider-not-backed-up'].next ?? '');
});

test('a file that is not the backup proves nothing', async () => {
  const { visitor, maker } = stage;
  const t = visitor.t.providers.backup;
  await visitor.providers();
  await visitor.aboutProvider('nkp', visitor.t.providers.names['back-up']);
  await visitor.backUp(maker.path('nkp.p12'));
  for (const { file, words } of foreignFiles()) {
    await visitor.dialog.getByLabel(t.file).setInputFiles(file);
    await visitor.press(t.button2);
    await stage.isRefused(...words);
  }
});

test('neither does the backup of another key provider, and it says whose it is', async () => {
  const { visitor, maker } = stage;
  stage.provider('other');
  stage.cadenas('provider', 'rename', 'other', 'another');
  await visitor.providers();
  await visitor.aboutProvider('nkp', visitor.t.providers.names.prove);
  await visitor.dialog.getByLabel(visitor.t.providers.backup.file).setInputFiles(maker.path('other.p12'));
  await visitor.press(visitor.t.providers.backup.button2);
  await stage.isRefused(visitor.t.problems['backup-mismatch'].title, 'the file is a backup of provider');
});

test('a file that is no backup restores nothing, nor does a wrong password', async () => {
  const { visitor, maker } = stage;
  const { t } = visitor;
  const restore = async (file: string): Promise<void> => {
    await visitor.providers();
    await visitor.page.getByRole('button', { name: t.providers.restore.menu, exact: true }).click();
    await visitor.dialog.getByLabel(t.providers.backup.file).setInputFiles(file);
  };
  for (const { file, words } of foreignFiles()) {
    await restore(file);
    await stage.isRefused(...words);
  }
  await restore(maker.path('nkp.p12'));
  await visitor.dialog.getByLabel(t.providers.restore.password).fill('wrong');
  await visitor.press(t.providers.restore.button);
  await stage.isRefused(t.problems['wrong-password'].title, 'password is wrong');
});

test('an active key provider that is not the default has to be made so, or named', async () => {
  stage.cadenas('provider', 'rm', 'nkp');
  await stage.cannotBeEncrypted('db01', 'no default key provider', stage.visitor.t.problems['no-default-provider'].next ?? '');
});

test('one that is in use is deleted only with its name typed', async () => {
  const { visitor } = stage;
  const { t } = visitor;
  stage.cadenas('provider', 'set-default', 'another');
  stage.cadenas('vm', 'encrypt', 'db01');
  await visitor.providers();
  await visitor.aboutProvider('another', t.providers.names.remove);
  await visitor.dialog.getByText(t.providers.remove.used).waitFor();
  await visitor.dialog.getByText('db01').waitFor();
  expect(await visitor.dialog.getByRole('button', { name: t.providers.names.remove, exact: true }).isDisabled()).toBe(true);
});

/** Files that somebody may take for a backup, and what is said of each. */
function foreignFiles(): { file: string; words: string[] }[] {
  const { maker } = stage;
  const file = (name: string, bytes: Buffer | string, ...words: string[]): { file: string; words: string[] } => {
    writeFileSync(maker.path(name), bytes);
    return { file: maker.path(name), words };
  };
  const [key, certificate, foreign] = [maker.path('key.pem'), maker.path('certificate.pem'), maker.path('foreign.p12')];
  run('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=x', '-keyout', key, '-out', certificate);
  run('openssl', 'pkcs12', '-export', '-inkey', key, '-in', certificate, '-passout', `pass:${PASSWORD}`, '-out', foreign);
  const whole = readFileSync(maker.path('nkp.p12'));
  return [
    file('cut.p12', whole.subarray(0, whole.length / 2), 'truncated'),
    file('empty.p12', '', 'empty'),
    file('text.p12', 'no backup', 'not a PKCS#12 file'),
    { file: foreign, words: ['not a Cadenas backup'] },
  ];
}
