// Files that the console itself makes for the user.

/** What spreadsheets would take for a formula. */
const FORMULA = /^[=+\-@\t\r]/;

/** Rows as CSV (RFC 4180). */
export function csv(rows: readonly (readonly string[])[]): string {
  return rows.map((row) => `${row.map(cell).join(',')}\r\n`).join('');
}

function cell(text: string): string {
  const harmless = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

export function downloadCsv(name: string, rows: readonly (readonly string[])[]): void {
  // Without the mark, spreadsheets take accented letters for others.
  save(name, 'text/csv', `\ufeff${csv(rows)}`);
}

export function downloadJson(name: string, value: unknown): void {
  save(name, 'application/json', JSON.stringify(value, undefined, 2));
}

/** Hands a file to the browser. */
export function save(name: string, type: string, content: BlobPart): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
