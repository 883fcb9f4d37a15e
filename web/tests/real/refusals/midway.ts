// Something that happens while a task is in the middle of its work.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

import { run } from './awkward';

const BEGUN = 4 << 20;
/** Bytes of a disk that is large enough to have a middle. */
export const LARGE = 256 << 20;

/** Waits until a server has begun to write into a folder, and holds it while something else happens. */
export async function midway(server: number, folder: string, meanwhile: () => unknown): Promise<void> {
  const before = used(folder);
  while (used(folder) - before < BEGUN) await setTimeout(1);
  run('kill', '-STOP', String(server));
  try {
    if (used(folder) - before >= LARGE) throw new Error('the task came too far');
    await meanwhile();
  } finally {
    run('kill', '-CONT', String(server));
  }
}

/** Bytes that the files below a folder take; as `st_blocks` counts them (stat(2)). */
function used(folder: string): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).blocks * 512, 0);
}
