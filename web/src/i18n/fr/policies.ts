import type { Dictionary } from '../en';

export const policies: Dictionary['policies'] = {
  title: 'Stratégies de stockage de VM',
  text: 'La stratégie de stockage d’une VM dit si son dossier de base et ses disques sont chiffrés. Changez-la avec Actions, Stratégies de VM.',
  name: 'Nom',
  encryption: 'Une VM qui l’a est',
  description: 'Description',
  builtIn: { encrypts: 'La configuration et les disques de la VM sont chiffrés.', plain: 'La VM n’est pas chiffrée.' },
};
