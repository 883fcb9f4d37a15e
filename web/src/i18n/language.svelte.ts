// The language: the browser's unless chosen, which this browser remembers.
import { en, type Dictionary } from './en';
import { fr } from './fr';

const KEY = 'cadenas-language';
const dictionaries = { en, fr };

export type Code = keyof typeof dictionaries;
/** Each language by its own name. */
export const LANGUAGES: Record<Code, string> = { en: 'English', fr: 'Français' };

class Language {
  code = $state<Code>(remembered() ?? preferred());

  /** Every text, in the language of now. */
  get t(): Dictionary {
    return dictionaries[this.code];
  }

  choose(code: Code): void {
    localStorage.setItem(KEY, code);
    this.code = code;
    this.follow();
  }

  /** Tells the page, and so screen readers, which language it is in. */
  follow(): void {
    document.documentElement.lang = this.code;
  }
}

function isCode(text: string | null): text is Code {
  return text !== null && text in dictionaries;
}

function remembered(): Code | undefined {
  const kept = localStorage.getItem(KEY);
  return isCode(kept) ? kept : undefined;
}

function preferred(): Code {
  return navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase()).find(isCode) ?? 'en';
}

export const language = new Language();
