// Certificates, as people compare them.

/** As openssl and the consoles of key servers write it. */
export function fingerprint(sha256: string): string {
  return sha256.toUpperCase().replaceAll(/..(?=.)/g, '$&:');
}

/** From here on somebody should think of a new one. */
const SOON_SECONDS = 30 * 86_400;

/** How long a certificate is valid yet, when that is short or over; undefined otherwise. */
export function urgency(notAfter: string, now = Date.now()): number | undefined {
  const left = (Date.parse(notAfter) - now) / 1_000;
  return left < SOON_SECONDS ? Math.max(0, left) : undefined;
}
