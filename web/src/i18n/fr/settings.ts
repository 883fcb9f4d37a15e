import type { Dictionary } from '../en';

export const settings: Dictionary['settings'] = {
  title: 'Paramètres',
  sections: { features: 'Fonctionnalités', host: 'Cet hôte', session: 'Session', appearance: 'Langue et thème' },
  features: {
    on: 'Activé',
    off: 'Désactivé',
    switchOn: 'Activer',
    switchOff: 'Désactiver…',
    editMessage: 'Modifier le message…',
    told: 'Message aux utilisateurs',
    dialog: (feature) => `Désactiver : ${feature}`,
    message: 'Message aux utilisateurs pendant la désactivation',
    messageHint: 'Par exemple à qui s’adresser. Il est affiché partout où la fonctionnalité est refusée. Peut rester vide.',
    button: 'Désactiver',
    save: 'Enregistrer le message',
    switchedOn: (feature) => `${feature} : activé.`,
    switchedOff: (feature) => `${feature} : désactivé.`,
    known: {
      'native-key-provider': {
        title: 'Fournisseurs de clés natifs',
        text: 'Permet d’ajouter et de restaurer des fournisseurs de clés natifs. Ceux qui existent, et leurs VM, continuent comme avant pendant la désactivation.',
      },
    },
  },
  session: {
    user: 'Connecté en tant que',
    host: 'Serveur sur',
    expires: 'Se termine au plus tard',
    idle: 'Elle se termine plus tôt si elle n’est pas utilisée.',
  },
  language: 'Langue',
  theme: 'Thème',
  themes: { system: 'Comme le système', light: 'Clair', dark: 'Sombre' },
  remembered: 'Ce navigateur se souvient des deux.',
};
