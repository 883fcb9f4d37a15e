import type { Dictionary } from '../en';

export const checks: Dictionary['checks'] = {
  verdicts: { ok: 'OK', warning: 'Avertissement', failure: 'Échec' },
  known: {
    libvirt: {
      title: 'libvirt',
      fine: 'répond',
      why: 'Sans lui, aucune VM ne peut être vue, chiffrée ni démarrée.',
      mend: 'Installez libvirt 6.10 ou plus récent, et démarrez-le : systemctl start libvirtd.',
    },
    qemu: { title: 'QEMU', why: 'Sans lui, aucune VM ne fonctionne.', mend: 'Installez-le (apt-get install qemu-system-x86), et démarrez libvirt.' },
    'luks-driver': {
      title: 'Pilote LUKS de QEMU',
      fine: 'QEMU ouvre un disque chiffré par Cadenas',
      why: 'Il n’est pas certain que QEMU ouvre ici les disques chiffrés.',
      mend: 'Installez un QEMU doté du pilote luks, et qemu-img (apt-get install qemu-utils) pour que cela soit vérifié.',
    },
    aes: {
      title: 'AES dans le processeur',
      fine: 'le processeur accélère le chiffrement',
      why: 'Les disques chiffrés seront beaucoup plus lents.',
      mend: 'Activez AES-NI dans le microprogramme, ou transmettez le modèle de processeur de l’hôte si ceci est une machine virtuelle.',
    },
    tpm: {
      title: 'TPM 2.0',
      fine: 'présent',
      why: 'Qui prend les disques de cet hôte prend aussi ses clés.',
      mend: 'Activez le TPM dans le microprogramme, et démarrez le serveur avec --seal tpm. À défaut, gardez le dossier de données sur un autre disque que les VM.',
    },
    'locked-memory': {
      title: 'Mémoire verrouillée',
      fine: 'la mémoire peut être verrouillée',
      why: 'Des clés pourraient être écrites dans l’espace d’échange.',
      mend: 'Définissez LimitMEMLOCK=infinity dans l’unité systemd, ou augmentez ulimit -l.',
    },
    'core-dumps': {
      title: 'Vidages mémoire',
      fine: 'QEMU n’en écrit pas',
      why: 'QEMU pourrait écrire des vidages, qui contiennent des clés de disques.',
      mend: 'Définissez max_core = 0 dans /etc/libvirt/qemu.conf, ou LimitCORE=0 dans l’unité de libvirt, puis redémarrez libvirt.',
    },
    swap: {
      title: 'Espace d’échange',
      fine: 'rien n’y est écrit en clair',
      why: 'La mémoire des invités peut se retrouver en clair sur disque.',
      mend: 'Désactivez l’espace d’échange (swapoff -a et /etc/fstab), ou chiffrez-le (crypttab, option swap).',
    },
    'libvirt-guests': {
      title: 'libvirt-guests',
      fine: 'n’enregistre pas la mémoire des invités',
      why: 'La mémoire des invités, clés comprises, est enregistrée sur disque quand l’hôte s’arrête.',
      mend: 'Définissez ON_SHUTDOWN=shutdown dans /etc/default/libvirt-guests.',
    },
    'data-folder': { title: 'Dossier de données', fine: 'réservé au serveur', why: 'D’autres que le serveur peuvent le lire, ou il n’est pas là.' },
    'root-seal': { title: 'Sceau racine', why: 'Il protège toutes les clés de ce serveur.' },
  },
};
