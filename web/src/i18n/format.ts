// Numbers, sizes, times and durations as the language writes them.

/** Binary units, in which disks are made and the command line speaks. */
const UNITS: Record<string, readonly string[]> = {
  en: ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'],
  fr: ['o', 'Kio', 'Mio', 'Gio', 'Tio', 'Pio'],
};
const SPANS = [
  ['year', 31_557_600],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
] as const;

const formats = new Map<string, Intl.NumberFormat>();

/** Making a format takes longer than drawing a row, and there are as many kinds as texts that have one. */
function format(value: number, code: string, options: Intl.NumberFormatOptions): string {
  const key = `${code} ${Object.values(options).join(' ')}`;
  const known = formats.get(key) ?? new Intl.NumberFormat(code, options);
  formats.set(key, known);
  return known.format(value);
}

/** `1.5 GiB`, with one decimal where it says something. */
export function bytes(count: number, code: string): string {
  const units = UNITS[code] ?? [];
  const step = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, count)) / 10));
  const value = count / 2 ** (10 * step);
  const digits = value < 10 ? 1 : 0;
  // A space that does not break keeps the unit with its number.
  return `${format(value, code, { maximumFractionDigits: digits })}\u00a0${units[step]}`;
}

/** `3 minutes`: a duration in its largest unit. */
export function span(seconds: number, code: string): string {
  const [unit, length] = SPANS.find(([, length]) => seconds >= length) ?? ['second', 1];
  return format(Math.floor(seconds / length), code, { style: 'unit', unit, unitDisplay: 'long', maximumFractionDigits: 0 });
}

/** A very short duration: `0.85 ms`. */
export function shortTime(microseconds: number, code: string): string {
  return format(microseconds / 1_000, code, { style: 'unit', unit: 'millisecond', unitDisplay: 'short', maximumSignificantDigits: 2 });
}

/** How long ago something was, as a duration. */
export function age(since: string, code: string): string {
  return span(Math.max(0, (Date.now() - Date.parse(since)) / 1_000), code);
}

const dates = new Map<string, Intl.DateTimeFormat>();

function date(at: string, code: string, dateStyle: 'medium' | 'full', timeStyle: 'medium' | 'long'): string {
  const key = `${code} ${dateStyle}`;
  const known = dates.get(key) ?? new Intl.DateTimeFormat(code, { dateStyle, timeStyle });
  dates.set(key, known);
  return known.format(new Date(at));
}

/** In the user's time zone. */
export function moment(at: string, code: string): string {
  return date(at, code, 'medium', 'medium');
}

/** With the day of the week and the time zone. */
export function fullMoment(at: string, code: string): string {
  return date(at, code, 'full', 'long');
}

export function number(value: number, code: string): string {
  return format(value, code, {});
}

export function percent(share: number, code: string): string {
  return format(share, code, { style: 'percent', maximumFractionDigits: 0 });
}
