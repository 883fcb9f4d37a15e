import type { Dictionary } from '../en';

export const common: Dictionary['common'] = {
  product: 'Cadenas',
  loading: 'Chargement…',
  close: 'Fermer',
  cancel: 'Annuler',
  yes: 'Oui',
  no: 'Non',
  actions: 'Actions',
  actionsOf: (name) => `Actions de ${name}`,
  whatNext: 'Que faire\u00a0',
  tryAgain: 'Réessayer',
  unknown: 'Inconnu',
  noValue: '–',
  notFound: {
    title: 'Il n’y a rien ici',
    text: 'La console n’a pas de page à cette adresse.',
    home: 'Aller au tableau de bord',
  },
};
