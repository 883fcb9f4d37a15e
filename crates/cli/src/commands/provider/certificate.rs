//! How certificates look.

use cadenas_api::{CertificateView, Sha256};
use jiff::SignedDuration;

use crate::output::{
    Look,
    human::{age, harmless, time},
    table::Table,
};

/// From here on somebody should think of a new one.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A certificate as somebody compares it with what another screen shows.
pub(super) fn card(title: &str, certificate: &CertificateView, look: &Look) -> String {
    let names = if certificate.names.is_empty() { "none".to_owned() } else { certificate.names.join(", ") };
    let fields = Table::fields([
        ("  Subject", certificate.subject.clone()),
        ("  Issuer", issuer(certificate)),
        ("  Names", names),
        ("  Valid", format!("{}, {}", begins(certificate, look), expiry(certificate, look))),
        ("  SHA-256", fingerprint(certificate.sha256)),
    ]);
    format!("{}\n{}", harmless(title), fields.text())
}

/// `expires 2027-01-01T00:00:00Z (in 300d)`; in capitals when that is soon, or past.
pub(super) fn expiry(certificate: &CertificateView, look: &Look) -> String {
    let end = certificate.not_after;
    if end <= look.now {
        return format!("EXPIRED {} ({} ago)", time(end), age(end, look.now));
    }
    let verb = if is_urgent(certificate, look) { "EXPIRES" } else { "expires" };
    format!("{verb} {} (in {})", time(end), age(look.now, end))
}

/// Whether it expires within 30 days, or has.
pub(super) fn is_urgent(certificate: &CertificateView, look: &Look) -> bool {
    certificate.not_after.duration_since(look.now) < SOON
}

/// As openssl and the consoles of key servers write it.
pub(super) fn fingerprint(sha256: Sha256) -> String {
    sha256.0.map(|byte| format!("{byte:02X}")).join(":")
}

fn issuer(certificate: &CertificateView) -> String {
    if certificate.issuer == certificate.subject { "itself".to_owned() } else { certificate.issuer.clone() }
}

fn begins(certificate: &CertificateView, look: &Look) -> String {
    let begin = time(certificate.not_before);
    if certificate.not_before > look.now { format!("NOT BEFORE {begin}") } else { format!("since {begin}") }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn the_end_is_in_capitals_from_30_days_before() {
        let shown = |days: i64| expiry(&ending_in(days), &look());
        assert_eq!(shown(300), "expires 1970-10-28T00:00:00Z (in 300d)");
        assert_eq!(shown(30), "expires 1970-01-31T00:00:00Z (in 30d)");
        assert_eq!(shown(29), "EXPIRES 1970-01-30T00:00:00Z (in 29d)");
        assert_eq!(shown(0), "EXPIRED 1970-01-01T00:00:00Z (0s ago)");
        assert_eq!(shown(-3), "EXPIRED 1969-12-29T00:00:00Z (3d ago)");
    }

    #[test]
    fn a_fingerprint_looks_as_openssl_writes_it() {
        let text = fingerprint(Sha256([0xab; 32]));
        assert!(text.starts_with("AB:AB:") && text.len() == 32 * 3 - 1, "{text}");
        assert_eq!(text.parse(), Ok(Sha256([0xab; 32])), "and can be given to --pin");
    }

    fn look() -> Look {
        Look { symbols: false, wide: false, now: Timestamp::UNIX_EPOCH }
    }

    fn ending_in(days: i64) -> CertificateView {
        let not_after = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * days);
        CertificateView {
            subject: "CN=kms1".to_owned(),
            issuer: "CN=kms1".to_owned(),
            names: Vec::new(),
            not_before: not_after - SignedDuration::from_hours(24),
            not_after,
            sha256: Sha256([0; 32]),
            pem: String::new(),
        }
    }
}
