export const shell = {
  skip: 'Skip to the content',
  menu: 'Navigation',
  language: 'Language',
  darkTheme: 'Dark theme',
  lightTheme: 'Light theme',
  signedIn: (user: string, host: string) => `${user} on ${host}`,
  signOut: 'Sign out',
  lost: 'The server does not answer; what you see may be old. Trying again…',
  pages: { dashboard: 'Dashboard', cluster: 'Cluster' },
  signIn: {
    title: 'Sign in to Cadenas',
    how: 'Run this command on the host as root, and open the link that it prints:',
    once: 'Each link works once, and only for a short time.',
    retry: 'I have a session: look again',
  },
};
