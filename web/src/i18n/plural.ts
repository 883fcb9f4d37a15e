/** `1 VM`, `2,000 VMs`: a count with its noun, by the language's own rule for one and many. */
export function counted(code: string, one: string, many: string): (count: number) => string {
  const rule = new Intl.PluralRules(code);
  return (count) => `${count.toLocaleString(code)} ${rule.select(count) === 'one' ? one : many}`;
}
