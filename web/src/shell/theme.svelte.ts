// Light or dark: the system's unless chosen, which this browser remembers. `public/chosen.js` applies it before the first paint.

const KEY = 'cadenas-theme';
const system = matchMedia('(prefers-color-scheme: dark)');

export type Theme = 'light' | 'dark';

class Chosen {
  theme = $state<Theme>(remembered() ?? systems());

  constructor() {
    system.addEventListener('change', () => (this.theme = remembered() ?? systems()));
  }

  toggle(): void {
    this.theme = this.theme === 'dark' ? 'light' : 'dark';
    localStorage.setItem(KEY, this.theme);
    document.documentElement.dataset['theme'] = this.theme;
  }
}

function systems(): Theme {
  return system.matches ? 'dark' : 'light';
}

function remembered(): Theme | undefined {
  const kept = localStorage.getItem(KEY);
  return kept === 'light' || kept === 'dark' ? kept : undefined;
}

export const chosen = new Chosen();
