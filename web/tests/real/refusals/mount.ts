// A file system of its own within a datastore, to be filled up or to fail.
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

import { run } from './awkward';

const MIB = 1 << 20;

export class Mount {
  private constructor(
    readonly at: string,
    private readonly folder?: string,
  ) {}

  /** One in memory. */
  static tmpfs(at: string, size: string): Mount {
    mkdirSync(at);
    run('mount', '-t', 'tmpfs', '-o', `size=${size},mode=755`, 'none', at);
    return new Mount(at);
  }

  /** One on a device, which becomes read-only after an error, as a failing disk makes it. */
  static ext4(at: string): Mount {
    const folder = mkdtempSync(join(tmpdir(), 'cadenas-device-'));
    const device = join(folder, 'device');
    writeFileSync(device, '');
    truncateSync(device, 512 * MIB);
    run('mkfs.ext4', '-q', device);
    mkdirSync(at);
    run('mount', '-o', 'loop,errors=remount-ro', device, at);
    return new Mount(at, folder);
  }

  /** Writes until nothing more fits. */
  fill(): void {
    const file = openSync(join(this.at, 'filler'), 'w');
    for (const size of [MIB, 4096, 1]) fillWith(file, Buffer.alloc(size, 0xa5));
    closeSync(file);
  }

  /** Has the kernel find an error, upon which the file system is read-only. */
  fail(): void {
    const device = basename(run('findmnt', '-no', 'SOURCE', this.at).trim());
    writeFileSync(join('/sys/fs/ext4', device, 'trigger_fs_error'), '1');
  }

  drop(): void {
    run('umount', '--lazy', this.at);
    if (this.folder) rmSync(this.folder, { recursive: true });
  }
}

function fillWith(file: number, bytes: Buffer): void {
  try {
    while (writeSync(file, bytes) > 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
}
