// VMs that cannot be encrypted as they are.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

import { beforeAll, describe, expect, test } from 'vitest';

import { AWKWARD, run } from './awkward';
import { staged } from './stage';

const stage = staged();
beforeAll(() => stage.provider());

describe('for what it has:', () => {
  test.each(Object.entries(AWKWARD))('%s', async (name, { make, says }) => {
    make(stage.maker, name);
    await stage.cannotBeEncrypted(name, ...says);
  });
});

test('a running VM is shut down first', async () => {
  stage.maker.virsh('start', 'web01');
  await stage.cannotBeEncrypted('web01', 'running, not off', stage.visitor.t.problems['vm-not-off'].next ?? '');
  stage.maker.virsh('destroy', 'web01');
});

test('a snapshot within its image, which a copy would lose', async () => {
  const { maker } = stage;
  maker.onFile('vm-internal', maker.image('qcow2', 'internal.qcow2'), 'qcow2');
  run('qemu-img', 'snapshot', '-c', 'tuesday', maker.path('internal.qcow2'));
  await stage.wantEncryption('vm-internal');
  await stage.encryptButton().click();
  await stage.fails('1 internal snapshot', 'qemu-img snapshot -d');
});

test('a VM whose image is open elsewhere', async () => {
  const { maker } = stage;
  maker.onFile('vm-open', maker.raw('open.raw'));
  const user = await opens(maker.path('open.raw'));
  await stage.wantEncryption('vm-open');
  await stage.encryptButton().click();
  await stage.fails(stage.visitor.t.problems['image-in-use'].title, 'open.raw', 'in use by another program');
  user.kill();
  await once(user, 'exit');
});

test('a name of spaces and accents is no obstacle', async () => {
  const name = 'café  du port: nº 1 — 100 %';
  stage.maker.onFile(name, stage.maker.raw('café.raw'));
  await stage.wantEncryption(name);
  await stage.encryptButton().click();
  await stage.visitor.says(stage.visitor.t.vm.byKind.native);
  expect(stage.cadenas('vm', 'ls')).toContain(name);
});

test('a name that no folder can have', async () => {
  const name = 'x'.repeat(246);
  stage.maker.onFile(name, stage.maker.raw('long.raw'));
  await stage.cannotBeEncrypted(name, 'cannot be a file name', '1 to 200 bytes', 'virsh domrename');
});

/** A program that has an image open as a running VM does. */
async function opens(image: string): Promise<ChildProcess> {
  const user = spawn('qemu-io', ['-f', 'raw', image]);
  // It prompts once the image is open.
  await once(user.stdout, 'data');
  return user;
}
