// The user guide says what the console says, and shows the pictures that the tests of the workflow take.
import { readdirSync, readFileSync } from 'node:fs';

import { describe, expect, test } from 'vitest';

import { en } from './en';
import { fr } from './fr';

const DOCS = new URL('../../../docs/', import.meta.url);
const WALK = new URL('../../tests/real/', import.meta.url);
/** Stands for a name or a number in a text that has one. */
const ANY = '\u{1}';
const DICTIONARIES = { en, fr };
const CODES = ['en', 'fr'] as const;

const guide = (code: string): string => readFileSync(new URL(`user-guide.${code}.md`, DOCS), 'utf8');
const all = (text: string, pattern: RegExp): string[] => [...text.matchAll(pattern)].map(([, found]) => found ?? '');
const pictures = (code: string): string[] => all(guide(code), new RegExp(`\\]\\(pictures/${code}/([^)]+)\\.png\\)`, 'g'));
const sorted = (names: string[]): string[] => names.toSorted();
/** Whatever spaces French has before its marks, and wherever a line ends. */
const plain = (text: string): string => text.replaceAll(/\s+/g, ' ');

/** Every text of a dictionary; of one with a name or a number in it, what it is with any and with one. */
function texts(part: unknown): string[] {
  if (typeof part === 'string') return [part];
  if (typeof part === 'function') return [ANY, 1].flatMap((argument) => called(part as (...given: unknown[]) => unknown, argument));
  return typeof part === 'object' && part !== null ? Object.values(part).flatMap(texts) : [];
}

function called(text: (...given: unknown[]) => unknown, argument: unknown): string[] {
  try {
    return [String(text(argument, argument, argument))];
  } catch {
    return [];
  }
}

function pattern(text: string): RegExp {
  const parts = plain(text).split(ANY).map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.+')}$`);
}

describe.each(CODES)('the guide in %s', (code) => {
  test('shows every picture that there is, and no other', () => {
    const there = readdirSync(new URL(`pictures/${code}/`, DOCS)).map((file) => file.replace(/\.png$/, ''));
    expect(sorted(pictures(code))).toEqual(sorted(there));
  });

  test('has a text for every picture', () => {
    expect(all(guide(code), /!\[([^\]]*)\]/g).filter((text) => text.length < 10)).toEqual([]);
  });

  test('says what the console says, where it is in bold', () => {
    const patterns = texts(DICTIONARIES[code]).filter((text) => text.replaceAll(ANY, '').trim() !== '').map(pattern);
    const bold = all(guide(code), /\*\*([^*]+)\*\*/g).map(plain).filter((word) => word !== 'bold' && word !== 'gras');
    expect(bold.filter((words) => !patterns.some((one) => one.test(words)))).toEqual([]);
    expect(bold.length).toBeGreaterThan(50);
  });

  test('leads to parts that it has', () => {
    const parts = all(guide(code), /^#+ (.+)$/gm).map((title) => title.toLowerCase().replaceAll(/[^\p{L}\p{N} -]/gu, '').replaceAll(' ', '-'));
    expect(all(guide(code), /\]\(#([^)]+)\)/g).filter((part) => !parts.includes(part))).toEqual([]);
  });
});

test('the guides go the same way, and the workflow takes their pictures', () => {
  expect(pictures('fr')).toEqual(pictures('en'));
  const walk = ['visitor.ts', 'workflow.test.ts'].map((file) => readFileSync(new URL(file, WALK), 'utf8')).join('');
  expect(sorted(all(walk, /illustrate\('([^']+)'/g))).toEqual(sorted(pictures('en')));
});
