/** The parts of `path` that stand where `pattern` has `:name`; undefined if it is another path. */
export function match(pattern: string, path: string): Record<string, string> | undefined {
  const [wanted, found] = [pattern.split('/'), path.replace(/(.)\/$/, '$1').split('/')];
  if (wanted.length !== found.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, part] of wanted.entries()) {
    const there = decode(found[index] ?? '');
    if (there === undefined) return undefined;
    if (part.startsWith(':')) params[part.slice(1)] = there;
    else if (part !== there) return undefined;
  }
  return params;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
