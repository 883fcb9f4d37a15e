// How hard a password is to guess, roughly: for the meter beside its field, not a rule.

const CLASSES: readonly [RegExp, number][] = [
  [/[a-z]/, 26],
  [/[A-Z]/, 26],
  [/[0-9]/, 10],
  [/[^A-Za-z0-9]/, 33],
];
/** Bits from which a password is weak, fair, good, strong. */
const STEPS: readonly number[] = [28, 45, 64, 80];

/** From 0 (very weak) to 4 (strong). Repeated characters count once and a half, since they add little. */
export function strength(password: string): number {
  const alphabet = CLASSES.reduce((sum, [pattern, size]) => sum + (pattern.test(password) ? size : 0), 0);
  const distinct = new Set(password).size;
  const length = Math.min(password.length, distinct * 1.5);
  const bits = alphabet ? length * Math.log2(alphabet) : 0;
  return STEPS.filter((step) => bits >= step).length;
}
