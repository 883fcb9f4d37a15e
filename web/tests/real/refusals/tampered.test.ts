// Encrypted VMs whose files were changed from outside.
import { copyFileSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';

import { run } from './awkward';
import { says, staged } from './stage';

const [MINE, THEIRS] = ['web01', 'db01'];

const stage = staged();
const home = (name: string): string => join(stage.site.datastore, name);
const descriptor = (name: string): string => join(home(name), `${name}.cadenas`);
const disk = (name: string, file: string): string => join(home(name), file);
let whole: string;

beforeAll(() => {
  stage.provider();
  for (const name of [MINE, THEIRS]) stage.cadenas('vm', 'encrypt', name);
});
beforeEach(() => void (whole = readFileSync(descriptor(MINE), 'utf8')));
afterEach(() => writeFileSync(descriptor(MINE), whole));

/** The page tells what is wrong, and the VM cannot be started. */
async function isUnusable(...words: string[]): Promise<void> {
  const { visitor } = stage;
  const t = visitor.t.operations;
  await visitor.vm(MINE);
  await says(visitor.page.locator('main').getByRole('alert'), words);
  await stage.isGreyed(t.names.start, t.menus.power, ...words);
  await stage.isGreyed(t.names.recrypt, t.menus.policies, ...words);
}

test.each(['"vm": "', '"policy": "', 'luks_uuid": "', '"salt": "', '"wrapped": "', 'ciphertext": "'])('a byte of the descriptor, in %s', async (field) => {
  const at = whole.indexOf(field) + field.length;
  const other = String.fromCharCode(whole.charCodeAt(at) ^ 1);
  writeFileSync(descriptor(MINE), whole.slice(0, at) + other + whole.slice(at + 1));
  await isUnusable(`${MINE}.cadenas`);
});

test('a descriptor that was cut', async () => {
  writeFileSync(descriptor(MINE), whole.slice(0, whole.length / 2));
  await isUnusable(`${MINE}.cadenas`);
});

test('a descriptor of a format that is not known yet', async () => {
  writeFileSync(descriptor(MINE), whole.replace('"cadenas": 1', '"cadenas": 3'));
  await isUnusable('format version 3 is unknown here', 'newer Cadenas');
});

test('the key safe of another VM', async () => {
  const keySafe = (text: string): string => text.slice(text.indexOf('"key_safe"'), text.indexOf('"configuration": {'));
  writeFileSync(descriptor(MINE), whole.replace(keySafe(whole), keySafe(readFileSync(descriptor(THEIRS), 'utf8'))));
  await isUnusable('its key safe is not for the configuration and the disks that it names', 'copy that you trust');
});

/** What somebody does to a disk, and what is said of it when the VM is to start. */
const CHANGES: [string, string, (file: string) => void][] = [
  ['the disk of another VM', 'is another disk', (file) => copyFileSync(disk(THEIRS, 'vda.qcow2'), file)],
  ['a plain disk', 'is not encrypted', (file) => run('qemu-img', 'create', '-q', '-f', 'qcow2', file, '64M')],
  ['a backing file', 'has a backing file', (file) => back(file, '/etc/passwd')],
  ['another cipher', 'has another cipher: aes-cbc-plain64', anotherCipher],
  ['no disk', 'is missing', (file) => rmSync(file)],
];

test.each(CHANGES)('%s in the place of its disk', async (_, words, change) => {
  const { visitor } = stage;
  const t = visitor.t.operations;
  const file = disk(MINE, 'vda.qcow2');
  const kept = stage.maker.path('kept');
  copyFileSync(file, kept);
  rmSync(file);
  copyFileSync(kept, file);
  change(file);
  await visitor.vm(MINE);
  await visitor.act(t.names.start, t.menus.power);
  await stage.fails('vda', words, 'from a copy');
  renameSync(kept, file);
});

test('after all that it starts as ever', async () => {
  const { visitor } = stage;
  const t = visitor.t.operations;
  await visitor.vm(MINE);
  await visitor.act(t.names.start, t.menus.power);
  await stage.playground.hears(MINE, 'MARK-READ vdb 8 ok');
  expect(stage.cadenas('vm', 'verify', THEIRS)).toContain(THEIRS);
});

/** Names a backing file, as `qemu-img rebase -u` would with the passphrase (QEMU's docs/interop/qcow2.txt, bytes 8 to 20). */
function back(path: string, backingFile: string): void {
  const bytes = readFileSync(path);
  const place = 0x8000 - 64;
  bytes.write(backingFile, place);
  bytes.writeBigUInt64BE(BigInt(place), 8);
  bytes.writeUInt32BE(backingFile.length, 16);
  writeFileSync(path, bytes);
}

/** Writes another cipher mode into the LUKS header (LUKS1 specification, byte 40). */
function anotherCipher(path: string): void {
  const bytes = readFileSync(path);
  bytes.write('cbc-plain64', bytes.indexOf('LUKS\xba\xbe', 0, 'latin1') + 40);
  writeFileSync(path, bytes);
}
