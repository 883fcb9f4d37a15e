// What key servers show, and what of it is trusted.
import type { CertificateView, Provider, ShownCertificate } from '../api/types';

interface Found {
  certificate: CertificateView;
  servers: string[];
}

/** Servers of one cluster may share a certificate: nobody is asked twice. */
export function distinct(shown: readonly ShownCertificate[]): Found[] {
  const found = new Map<string, Found>();
  for (const { server, certificate } of shown) {
    if (!certificate) continue;
    const known = found.get(certificate.sha256);
    found.set(certificate.sha256, { certificate, servers: [...(known?.servers ?? []), server] });
  }
  return [...found.values()];
}

/** The fingerprints that are trusted now. */
export function pinned({ kms }: Provider): string[] {
  return kms?.trust && 'pinned' in kms.trust ? kms.trust.pinned : [];
}
