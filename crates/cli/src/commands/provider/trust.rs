//! `cadenas provider trust`

use cadenas_api::{CertificateView, KmsTrust, Provider, Sha256, ShownCertificate, TrustKms};

use super::certificate::card;
use crate::{
    args::kms::{Trust, TrustHow},
    commands::{Ended, Result},
    error::Failure,
    files,
    output::{
        Look,
        human::{count, harmless},
        warn,
    },
    question,
    session::Session,
    tell,
};

pub(super) async fn run(session: &Session, args: Trust) -> Result {
    let Trust { provider, how: TrustHow { show, pin, ca } } = args;
    if show {
        return show_only(session, &provider).await;
    }
    let request = match ca {
        Some(file) => TrustKms { authorities: Some(files::read_pem(&file)?), ..TrustKms::default() },
        None if pin.is_empty() => TrustKms { pin: asked(session, &provider).await?, ..TrustKms::default() },
        None => TrustKms { pin, ..TrustKms::default() },
    };
    session.change(session.client.trust_kms(&provider, &request), trusted).await
}

async fn show_only(session: &Session, provider: &str) -> Result {
    let shown = session.client.show_certificates(provider).await?;
    session.printer.show(&shown, |shown, look| cards(shown, look))?;
    let all_show_one = shown.iter().all(|each| each.certificate.is_some());
    Ok(if all_show_one { Ended::Well } else { Ended::Badly })
}

fn cards(shown: &[ShownCertificate], look: &Look) -> String {
    let card = |each: &ShownCertificate| match &each.certificate {
        Some(certificate) => card(&each.server, certificate, look),
        None => harmless(&format!("{}: {}", each.server, problem(each))),
    };
    shown.iter().map(card).collect::<Vec<_>>().join("\n\n")
}

/// What shall be trusted from now on, as somebody who looked at it says.
async fn asked(session: &Session, provider: &str) -> Result<Vec<Sha256>> {
    if !question::somebody_is_there() {
        return Err(Failure::NobodyToTrust { name: provider.to_owned() });
    }
    let before = pins(&session.client.provider(provider).await?);
    let shown = session.client.show_certificates(provider).await?;
    let found = distinct(&shown);
    for silent in shown.iter().filter(|each| each.certificate.is_none()) {
        warn(&harmless(&format!("{}: {}", silent.server, problem(silent))));
    }
    if found.is_empty() {
        return Err(Failure::NoCertificate { name: provider.to_owned() });
    }
    let mut chosen = choose(&found, &before, session.printer.look())?;
    if shown.iter().any(|each| each.certificate.is_none()) {
        // One of these may be the certificate of a server that does not answer now.
        let elsewhere = |pin: &Sha256| found.iter().all(|each| each.certificate.sha256 != *pin);
        chosen.extend(before.into_iter().filter(elsewhere));
    }
    Ok(chosen)
}

/// A certificate, and the servers that showed it.
struct Found<'a> {
    servers: Vec<&'a str>,
    certificate: &'a CertificateView,
}

/// Servers of one cluster may share a certificate: nobody is asked twice.
fn distinct(shown: &[ShownCertificate]) -> Vec<Found<'_>> {
    let mut found: Vec<Found<'_>> = Vec::new();
    for each in shown {
        let Some(certificate) = &each.certificate else { continue };
        match found.iter_mut().find(|known| known.certificate.sha256 == certificate.sha256) {
            Some(known) => known.servers.push(&each.server),
            None => found.push(Found { servers: vec![&each.server], certificate }),
        }
    }
    found
}

fn choose(found: &[Found<'_>], before: &[Sha256], look: &Look) -> Result<Vec<Sha256>> {
    let mut chosen = Vec::new();
    let mut declined = false;
    for Found { servers, certificate } in found {
        tell(&format!("{}\n", card(&servers.join(", "), certificate, look)));
        let known = before.contains(&certificate.sha256);
        if known {
            tell("It is trusted already.\n");
        }
        if known || question::yes("Trust this certificate?")? {
            chosen.push(certificate.sha256);
        } else {
            declined = true;
        }
    }
    let anything_new = chosen.iter().any(|pin| !before.contains(pin));
    if declined && !anything_new { Err(Failure::NothingTrusted) } else { Ok(chosen) }
}

fn pins(provider: &Provider) -> Vec<Sha256> {
    match provider.kms.as_ref().and_then(|kms| kms.trust.as_ref()) {
        Some(KmsTrust::Pinned(pins)) => pins.clone(),
        Some(KmsTrust::Authorities(_)) | None => Vec::new(),
    }
}

fn problem(shown: &ShownCertificate) -> &str {
    shown.problem.as_deref().unwrap_or("no certificate")
}

fn trusted(provider: &Provider) -> String {
    let name = &provider.name;
    let kms = provider.kms.as_ref();
    let what = match kms.and_then(|kms| kms.trust.as_ref()) {
        Some(KmsTrust::Pinned(pins)) => count(pins.len(), "certificate"),
        Some(KmsTrust::Authorities(authorities)) => {
            let names: Vec<_> = authorities.iter().map(|authority| authority.subject.as_str()).collect();
            harmless(&format!("what {} signed", names.join(" or ")))
        }
        None => "nothing".to_owned(),
    };
    let next = if kms.is_some_and(|kms| kms.identity.is_some()) {
        format!("cadenas provider test {name}")
    } else {
        format!("cadenas provider identity {name} --self-signed      The certificate that the servers know Cadenas by")
    };
    format!("{name} trusts {what}. Next:\n  {next}")
}
