import type { Dictionary } from '../en';
import { counted } from '../plural';

const vms = counted('fr', 'VM', 'VM');
const keys = counted('fr', 'clé', 'clés');

export const dashboard: Dictionary['dashboard'] = {
  title: 'Tableau de bord',
  vms: 'Machines virtuelles',
  attention: 'À traiter',
  fine: 'Rien à traiter.',
  fineHint: 'Chaque VM est en ordre, et chaque fournisseur de clés est sauvegardé.',
  share: (percent) => `${percent} chiffrées`,
  noVms: 'Il n’y a pas encore de machine virtuelle.',
  kinds: {
    'no-provider': {
      says: () => 'Il n’y a pas encore de fournisseur de clés : aucune VM ne peut être chiffrée.',
      button: 'Ajouter un fournisseur de clés',
    },
    'no-default-provider': { says: () => 'Aucun fournisseur de clés n’est celui par défaut.', button: 'Choisir celui par défaut' },
    'provider-not-backed-up': {
      says: (_, name) => `Le fournisseur de clés ${name} n’est pas sauvegardé. Si ce serveur est perdu, sa clé la plus récente l’est aussi.`,
      button: 'Sauvegarder',
    },
    'provider-not-trusted': { says: (_, name) => `Les serveurs de clés de ${name} ne sont pas encore approuvés.`, button: 'Établir la confiance' },
    'provider-degraded': { says: (_, name) => `Le fournisseur de clés ${name} ne fonctionne pas partout.`, button: 'Examiner' },
    'key-alarm': {
      says: (count, name) => `${keys(count)} de ${name} à ne plus utiliser, et des VM s’en servent encore.`,
      button: 'Examiner',
    },
    'vm-locked': { says: (count, name) => `Verrouillage : ${name || vms(count)}, des clés manquent.`, button: 'Afficher' },
    'vm-problem': { says: (count, name) => `Quelque chose ne va pas : ${name || vms(count)}.`, button: 'Afficher' },
    'recrypt-due': { says: (count, name) => `Un nouveau chiffrement est à faire : ${name || vms(count)}.`, button: 'Chiffrer à nouveau' },
    'feature-disabled': {
      says: () => 'Les fournisseurs de clés natifs ne peuvent être ni créés ni restaurés : la fonctionnalité est désactivée.',
      button: 'Paramètres',
    },
  },
  counts: {
    total: 'Toutes',
    encrypted: 'Chiffrées',
    plain: 'Non chiffrées',
    locked: 'Verrouillées',
    due: 'À chiffrer à nouveau',
    running: 'Sous tension',
  },
};
