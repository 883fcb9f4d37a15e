import type { Verdict } from '../../api/types';

interface CheckText {
  title: string;
  /** What there is when it is fine; without it the server's own words are shown. */
  fine?: string;
  /** What is bad about it when it is not fine, unless what was found says so. */
  why?: string;
  /** How it is mended; without it the server's own advice is shown, which names folders and commands of that host. */
  mend?: string;
}

const verdicts: Record<Verdict, string> = { ok: 'OK', warning: 'Warning', failure: 'Failure' };

export const checks = {
  verdicts,
  /** By the names that the server gives its checks. */
  known: {
    libvirt: {
      title: 'libvirt',
      why: 'Without it no VM can be seen, encrypted or started.',
      mend: 'Install libvirt 6.10 or newer, and start it: systemctl start libvirtd.',
    },
    qemu: { title: 'QEMU', why: 'Without it no VM runs.', mend: 'Install it (apt-get install qemu-system-x86), and start libvirt.' },
    'luks-driver': {
      title: 'QEMU’s LUKS driver',
      why: 'It is not certain that QEMU opens encrypted disks here.',
      mend: 'Install a QEMU whose block layer has the luks driver, and qemu-img (apt-get install qemu-utils) to have it checked.',
    },
    aes: {
      title: 'AES in the processor',
      why: 'Encrypted disks will be many times slower.',
      mend: 'Enable AES-NI in the firmware, or pass the host’s CPU model through if this is a virtual machine.',
    },
    tpm: {
      title: 'TPM 2.0',
      mend: 'Enable the TPM in the firmware, and start the server with --seal tpm. Without one, keep the data folder on another disk than the VMs.',
    },
    'locked-memory': {
      title: 'Locked memory',
      why: 'Keys could be swapped out to disk.',
      mend: 'Set LimitMEMLOCK=infinity in the systemd unit, or raise ulimit -l.',
    },
    'core-dumps': {
      title: 'Core dumps',
      why: 'QEMU could write core files, which hold disk keys.',
      mend: 'Set max_core = 0 in /etc/libvirt/qemu.conf, or LimitCORE=0 in libvirt’s unit, and restart libvirt.',
    },
    swap: {
      title: 'Swap',
      why: 'Guests’ memory can end up on disk unencrypted.',
      mend: 'Turn the swap off (swapoff -a and /etc/fstab), or encrypt it (crypttab, option swap).',
    },
    'libvirt-guests': {
      title: 'libvirt-guests',
      why: 'Guests’ memory, keys included, is saved to disk when the host shuts down.',
      mend: 'Set ON_SHUTDOWN=shutdown in /etc/default/libvirt-guests.',
    },
    'data-folder': { title: 'Data folder', why: 'Others than the server may read it, or it is not there.' },
    'root-seal': { title: 'Root seal', why: 'It protects every key of this server.' },
  } as Record<string, CheckText>,
};
