import type { Dictionary } from '../en';

export const policies: Dictionary['policies'] = {
  title: 'Stratégies de stockage de VM',
  text: 'La stratégie de stockage d’une VM dit si son dossier de base et ses disques sont chiffrés. Changez-la avec Actions, Stratégies de VM.',
  name: 'Nom',
  encryption: 'Les VM qui l’ont sont',
  description: 'Description',
};
