// Datastores that are too small, full, or not to be written.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

import { afterEach, beforeAll, expect, test } from 'vitest';

import { run } from './awkward';
import { LARGE, midway } from './midway';
import { Mount } from './mount';
import { says, staged } from './stage';


const stage = staged();
let mount: Mount | undefined;
beforeAll(() => stage.provider());
afterEach(() => {
  mount?.drop();
  mount = undefined;
});

/** Asks for the encryption of a VM into a home on another file system. */
async function encryptInto(name: string, place: string): Promise<void> {
  const { visitor } = stage;
  const t = visitor.t.operations;
  await stage.wantEncryption(name);
  await visitor.dialog.getByText(t.policy.advanced).click();
  await visitor.dialog.getByLabel(t.folder).fill(join(place, name));
  await stage.encryptButton().click();
}

test('too little room is told before the first byte', async () => {
  stage.maker.onFile('vm-large', stage.maker.raw('large.raw', 32 << 20));
  mount = Mount.tmpfs(stage.maker.path('small'), '40m');
  await encryptInto('vm-large', mount.at);
  await stage.fails(stage.visitor.t.problems['no-space'].title, 'has 40.0 MiB free', 'up to 50.0 MiB are needed');
  expect(readdirSync(mount.at)).toEqual([]);
});

test('a datastore that cannot be written', async () => {
  mount = Mount.tmpfs(stage.maker.path('readonly'), '64m');
  run('mount', '-o', 'remount,ro', mount.at);
  await encryptInto('vm-large', mount.at);
  await stage.fails(stage.visitor.t.problems['datastore-failed'].title, 'Read-only file system');
});

test('a datastore that fills up midway: all is undone', async () => {
  stage.maker.onFile('vm-huge', stage.maker.raw('huge.raw', LARGE));
  mount = Mount.tmpfs(stage.maker.path('filling'), '320m');
  await encryptInto('vm-huge', mount.at);
  await midway(stage.site.server, mount.at, () => mount?.fill());
  await stage.fails(stage.visitor.t.problems['datastore-failed'].title, 'undone', 'No space left on device', 'nothing is lost');
  expect(readdirSync(mount.at)).toEqual(['filler']);
});

test('a datastore that becomes read-only midway: the VM tells that it waits to be cleared', async () => {
  const { visitor } = stage;
  mount = Mount.ext4(stage.maker.path('failing'));
  await encryptInto('vm-huge', mount.at);
  await midway(stage.site.server, mount.at, () => mount?.fail());
  await stage.fails('could not be removed yet', 'Read-only file system');
  await visitor.vm('vm-huge');
  await says(visitor.page.locator('main').getByRole('alert'), [visitor.t.problems['needs-repair'].title, 'not settled']);
});
