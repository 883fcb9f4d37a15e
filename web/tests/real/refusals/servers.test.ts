// Two at once, and servers that are gone.
import { spawnSync } from 'node:child_process';

import { beforeAll, expect, test } from 'vitest';

import { LARGE, midway } from './midway';
import { says, staged } from './stage';

/** What waits is tried again every minute. */
const REPAIR_MS = 100_000;

const stage = staged();
beforeAll(() => stage.provider());

test('of two who ask at once one is told that a task holds the VM', async () => {
  const other = await stage.another();
  stage.maker.onFile('vm-large', stage.maker.raw('large.raw', 256 << 20));
  await stage.wantEncryption('vm-large');
  await stage.wantEncryption('vm-large', other);
  await Promise.all([stage.encryptButton().click(), stage.encryptButton(other).click()]);
  const { title, next } = other.t.problems['vm-busy'];
  await Promise.any([stage.visitor, other].map(({ dialog }) => says(dialog.getByRole('alert'), [title, next ?? ''])));
  await other.leave();
});

test('a second server on the same data does not begin, and the first goes on', async () => {
  const { program } = stage.playground.contents;
  const second = spawnSync(program, ['serve', '--data', stage.site.data, '--socket', stage.maker.path('second.sock'), '--libvirt', stage.site.libvirt, '--console', 'none'], { encoding: 'utf8' });
  expect(second.status).not.toBe(0);
  expect(second.stderr).toContain(stage.site.data);
  await stage.visitor.go('/');
  await stage.visitor.says(stage.visitor.t.dashboard.title);
});

test('without libvirt the page says so, and shows the VMs again when it is back', async () => {
  const { visitor, playground } = stage;
  await playground.tell('libvirt stop');
  await visitor.go('/cluster/vms');
  await says(visitor.page.locator('main .alert'), [visitor.t.problems['hypervisor-unreachable'].title, 'systemctl status libvirtd']);
  await playground.tell('libvirt start');
  await visitor.go('/cluster/vms');
  await visitor.page.getByRole('gridcell', { name: 'web01' }).waitFor();
});

test('an encryption whose libvirt goes midway is finished when it is back', async () => {
  const { visitor, playground, maker, site } = stage;
  maker.onFile('vm-huge', maker.raw('huge.raw', LARGE));
  await stage.wantEncryption('vm-huge');
  const busy = midway(site.server, site.datastore, () => playground.tell('libvirt stop'));
  await stage.encryptButton().click();
  await busy;
  await stage.fails(visitor.t.problems['needs-repair'].title, 'is done, but', 'cannot reach libvirt');
  await playground.tell('libvirt start');
  await visitor.vm('vm-huge');
  await visitor.page.getByText(visitor.t.vm.byKind.native).waitFor({ timeout: REPAIR_MS });
});
