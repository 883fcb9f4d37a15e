import type { Dictionary } from '../en';

export const tasks: Dictionary['tasks'] = {
  title: 'Tâches récentes',
  show: 'Afficher les tâches récentes',
  hide: 'Masquer les tâches récentes',
  running: (count) => `${count} en cours`,
  empty: 'Aucune tâche n’a encore été exécutée. Ce que vous lancez apparaît ici, avec sa progression.',
  columns: { name: 'Tâche', target: 'Cible', status: 'État', by: 'Initiateur', started: 'Début', cancel: 'Annuler' },
  cancelOf: (task, target) => `Annuler ${task} de ${target}`,
  progress: (done, total) => `${done} sur ${total}`,
  left: (span) => `encore environ ${span}`,
  states: { running: 'En cours', succeeded: 'Terminée', failed: 'Échec', cancelled: 'Annulée' },
  begun: (task, target) => `${task} : ${target}. La progression est dans Tâches récentes.`,
  done: (task, target) => `${task} : ${target}. Terminé.`,
  kinds: {
    'vm.encrypt': 'Chiffrer',
    'vm.decrypt': 'Déchiffrer',
    'vm.recrypt': 'Chiffrer à nouveau',
    'vm.deep-recrypt': 'Chiffrer à nouveau (profond)',
    'vm.recrypt-all': 'Chiffrer à nouveau plusieurs VM',
    'vm.start': 'Mettre sous tension',
    'vm.shutdown': 'Arrêter le système invité',
    'vm.kill': 'Mettre hors tension',
    'vm.unlock': 'Déverrouiller',
    'vm.verify': 'Vérifier',
  },
};
