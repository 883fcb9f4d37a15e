// Files as the API takes and gives them.
import type { Provider } from '../api/types';

/** No backup is nearly as large. */
const LARGEST = 16 << 20;

/** As the command line names it: with a number from the second key on, so that no file takes the place of an older one. */
export function backupName({ name, versions }: Provider): string {
  return versions.length > 1 ? `${name}-${versions.length}.p12` : `${name}.p12`;
}

/** A file in base64; what is too large to be a backup or a certificate is cut, and so refused by the server as such. */
export async function inBase64(file: File): Promise<string> {
  const bytes = new Uint8Array(await file.slice(0, LARGEST).arrayBuffer());
  let text = '';
  // In parts, since a call takes only so many arguments.
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
