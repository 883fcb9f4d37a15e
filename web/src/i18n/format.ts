// Numbers, sizes, times and durations as the language writes them.

const UNITS = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte', 'petabyte'] as const;
const SPANS = [
  ['year', 31_557_600],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
] as const;

/** `1.5 GB`, in powers of 1,000. */
export function bytes(count: number, code: string): string {
  let [value, unit] = [count, 0];
  while (value >= 1_000 && unit < UNITS.length - 1) [value, unit] = [value / 1_000, unit + 1];
  const style = { style: 'unit', unit: UNITS[unit] ?? 'byte', unitDisplay: unit ? 'short' : 'long' } as const;
  return new Intl.NumberFormat(code, { ...style, maximumFractionDigits: value < 10 && unit ? 1 : 0 }).format(value);
}

/** `3 minutes`: a duration in its largest unit. */
export function span(seconds: number, code: string): string {
  const [unit, length] = SPANS.find(([, length]) => seconds >= length) ?? ['second', 1];
  const style = { style: 'unit', unit, unitDisplay: 'long' } as const;
  return new Intl.NumberFormat(code, { ...style, maximumFractionDigits: 0 }).format(Math.floor(seconds / length));
}

/** How long ago something was, as a duration. */
export function age(since: string, code: string): string {
  return span(Math.max(0, (Date.now() - Date.parse(since)) / 1_000), code);
}

export function moment(at: string, code: string): string {
  return new Intl.DateTimeFormat(code, { dateStyle: 'medium', timeStyle: 'medium' }).format(new Date(at));
}

export function number(value: number, code: string): string {
  return new Intl.NumberFormat(code).format(value);
}

export function percent(share: number, code: string): string {
  return new Intl.NumberFormat(code, { style: 'percent', maximumFractionDigits: 0 }).format(share);
}
