// Light or dark: the system's unless chosen, which this browser remembers. `public/chosen.js` applies it before the first paint.

const KEY = 'cadenas-theme';
const system = matchMedia('(prefers-color-scheme: dark)');

export type Theme = 'light' | 'dark';

class Chosen {
  /** Undefined: as the system. */
  choice = $state<Theme | undefined>(remembered());
  #systems = $state<Theme>(systems());

  constructor() {
    system.addEventListener('change', () => (this.#systems = systems()));
  }

  get theme(): Theme {
    return this.choice ?? this.#systems;
  }

  toggle(): void {
    this.choose(this.theme === 'dark' ? 'light' : 'dark');
  }

  choose(theme: Theme | undefined): void {
    this.choice = theme;
    if (theme) localStorage.setItem(KEY, theme);
    else localStorage.removeItem(KEY);
    const { dataset } = document.documentElement;
    if (theme) dataset['theme'] = theme;
    else delete dataset['theme'];
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
