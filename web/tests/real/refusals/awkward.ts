// VMs that cannot be encrypted, each for a reason of its own. They never run.
import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Playground, Site } from '../playground';

const MIB = 1 << 20;

export function run(program: string, ...arguments_: string[]): string {
  return execFileSync(program, arguments_, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Makes VMs on a site. */
export class Maker {
  readonly #folder: string;

  constructor(
    private readonly playground: Playground,
    private readonly site: Site,
  ) {
    this.#folder = join(site.datastore, 'awkward');
    mkdirSync(this.#folder);
  }

  path(name: string): string {
    return join(this.#folder, name);
  }

  virsh(...arguments_: string[]): void {
    this.playground.virsh(this.site, ...arguments_);
  }

  /** A domain with these elements among its devices and in its `os`. */
  define(name: string, devices: string, os = ''): void {
    const file = this.path('domain.xml');
    const machine = `<os><type arch='x86_64' machine='q35'>hvm</type>${os}</os>`;
    writeFileSync(file, `<domain type='qemu'><name>${name}</name><memory unit='MiB'>64</memory>${machine}<features><acpi/></features><devices>${devices}</devices></domain>`);
    this.virsh('define', file);
  }

  /** A raw image full of data. */
  raw(name: string, bytes = MIB): string {
    writeFileSync(this.path(name), Buffer.alloc(bytes, 0x5a));
    return this.path(name);
  }

  image(format: string, name: string, ...options: string[]): string {
    run('qemu-img', 'create', '-q', '-f', format, ...options, this.path(name), '1M');
    return this.path(name);
  }

  /** An image that QEMU encrypted. */
  encrypted(name: string): string {
    const options = ['--object', 'secret,id=s,data=passphrase', '-o', 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10'];
    return this.image('qcow2', name, ...options);
  }

  /** A domain with one disk in a file. */
  onFile(name: string, file: string, format = 'raw'): void {
    this.define(name, disk('file', `file='${file}'`, format));
  }
}

function disk(kind: string, source: string, format = 'raw', within = ''): string {
  const driver = `<driver name='qemu' type='${format}'/>`;
  return `<disk type='${kind}' device='disk'>${driver}<source ${source}>${within}</source><target dev='vda' bus='virtio'/></disk>`;
}

interface Awkward {
  why: string;
  make: (maker: Maker, name: string) => void;
  /** What a person reads of it. */
  says: string[];
}

export const AWKWARD: Record<string, Awkward> = {
  'vm-snapshot': {
    why: 'a snapshot',
    make: (maker, name) => {
      maker.onFile(name, maker.image('qcow2', `${name}.qcow2`), 'qcow2');
      maker.virsh('snapshot-create-as', name, 'monday');
    },
    says: ['1 snapshot', 'not yet handled', 'virsh snapshot-list vm-snapshot'],
  },
  'vm-backed': {
    why: 'a backing file',
    make: (maker, name) => {
      const base = maker.image('qcow2', 'base.qcow2');
      maker.onFile(name, maker.image('qcow2', `${name}.qcow2`, '-b', base, '-F', 'qcow2'), 'qcow2');
    },
    says: ['has a backing file', 'virsh blockpull'],
  },
  'vm-encrypted': {
    why: 'a disk that is encrypted already',
    make: (maker, name) => maker.onFile(name, maker.encrypted(`${name}.qcow2`), 'qcow2'),
    says: ['is encrypted already', 'decrypt it first'],
  },
  'vm-block': {
    why: 'a block device',
    make: (maker, name) => {
      run('mknod', maker.path('device'), 'b', '7', '200');
      maker.define(name, disk('block', `dev='${maker.path('device')}'`));
    },
    says: ['the block device', 'not yet handled'],
  },
  'vm-network': {
    why: 'a network disk',
    make: (maker, name) => maker.define(name, disk('network', "protocol='nbd' name='export'", 'raw', "<host name='192.0.2.1' port='10809'/>")),
    says: ['a network disk', 'nbd', 'not yet handled'],
  },
  'vm-uefi': {
    why: 'UEFI variables',
    make: (maker, name) => {
      const firmware = maker.raw('firmware.fd', 4096);
      const os = `<loader readonly='yes' type='pflash'>${firmware}</loader><nvram>${firmware}.vars</nvram>`;
      maker.define(name, disk('file', `file='${maker.raw(`${name}.raw`)}'`), os);
    },
    says: ['UEFI variables', 'not yet handled'],
  },
  'vm-vtpm': {
    why: 'a vTPM',
    make: (maker, name) => {
      const tpm = "<tpm model='tpm-crb'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>";
      maker.define(name, disk('file', `file='${maker.raw(`${name}.raw`)}'`) + tpm);
    },
    says: ['vTPM', 'not yet handled'],
  },
  'vm-linked': {
    why: 'an image with a second name',
    make: (maker, name) => {
      maker.onFile(name, maker.raw(`${name}.raw`));
      linkSync(maker.path(`${name}.raw`), maker.path('second-name.raw'));
    },
    says: ['hard links', 'remove them'],
  },
  'vm-other-format': {
    why: 'an image of another format than the domain says',
    make: (maker, name) => maker.onFile(name, maker.image('qcow2', `${name}.qcow2`), 'raw'),
    says: ['is qcow2, but the domain says raw', 'driver type'],
  },
  'vm-missing': {
    why: 'a missing image',
    make: (maker, name) => maker.onFile(name, maker.path('missing.raw')),
    says: ['missing', 'only disks in regular files'],
  },
  'vm-damaged': {
    why: 'a damaged image',
    make: (maker, name) => {
      writeFileSync(maker.path(`${name}.qcow2`), readFileSync(maker.image('qcow2', 'whole.qcow2')).subarray(0, 100));
      maker.onFile(name, maker.path(`${name}.qcow2`), 'qcow2');
    },
    says: ['damaged', 'qemu-img check'],
  },
};
