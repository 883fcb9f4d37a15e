import type { Dictionary } from '../en';

export const shell: Dictionary['shell'] = {
  skip: 'Aller au contenu',
  menu: 'Navigation',
  language: 'Langue',
  darkTheme: 'Thème sombre',
  lightTheme: 'Thème clair',
  signedIn: (user, host) => `${user} sur ${host}`,
  signOut: 'Se déconnecter',
  lost: 'Le serveur ne répond pas ; ce qui est affiché peut être ancien. Nouvelle tentative…',
  pages: { dashboard: 'Tableau de bord', cluster: 'Cluster' },
  signIn: {
    title: 'Se connecter à Cadenas',
    how: 'Exécutez cette commande sur l’hôte en tant que root, puis ouvrez le lien qu’elle affiche :',
    once: 'Chaque lien fonctionne une seule fois, et peu de temps.',
    retry: 'J’ai une session : vérifier de nouveau',
  },
};
