//! `cadenas provider identity`

use std::path::{Path, PathBuf};

use cadenas_api::{KmsIdentity, Password, SetKmsIdentity};

use super::certificate::{expiry, fingerprint};
use crate::{
    args::kms::{Identity, IdentitySource},
    commands::{Ended, Result},
    files::{self, Replace},
    output::{Look, human::harmless, print},
    password::{self, Kind},
    session::Session,
};

pub(super) async fn run(session: &Session, args: Identity) -> Result {
    let Identity { provider, source, key, out, force } = args;
    let replace = if force { Replace::Yes } else { Replace::No };
    if let Some(out) = &out {
        files::may_write(out, replace)?;
    }
    let is_new = source.self_signed || source.csr;
    let made = session.client.set_kms_identity(&provider, &request(source, key)?).await?;
    if let Some(out) = &out {
        files::write_private(out, pem(&made).as_bytes(), replace)?;
    }
    if is_new && out.is_none() && !session.printer.is_json() {
        print(pem(&made))?;
        session.printer.remark(&next(&provider, &made, session.printer.look()));
    } else {
        session.printer.done(&made, |made| told(&provider, made, out.as_deref(), session.printer.look()))?;
    }
    Ok(Ended::Well)
}

fn request(source: IdentitySource, key: Option<PathBuf>) -> Result<SetKmsIdentity> {
    let IdentitySource { self_signed, csr, signed, certificate } = source;
    if self_signed {
        return Ok(SetKmsIdentity::SelfSigned);
    }
    if csr {
        return Ok(SetKmsIdentity::Csr);
    }
    if let Some(file) = signed {
        return Ok(SetKmsIdentity::Signed { certificate: files::read_pem(&file)? });
    }
    let (certificate, key) =
        certificate.zip(key).expect("the command line has one of the four, and a key with the last");
    let of = certificate.display().to_string();
    Ok(SetKmsIdentity::Uploaded {
        certificate: files::read_pem(&certificate)?,
        key: Password::new(password::existing_text(Kind::PrivateKey, Some(&key), &of)?),
    })
}

/// What was made: the request, else the certificate.
fn pem(made: &KmsIdentity) -> &str {
    let certificate = made.certificate.as_ref().map(|certificate| certificate.pem.as_str());
    made.csr.as_deref().or(certificate).unwrap_or_default()
}

fn told(provider: &str, made: &KmsIdentity, out: Option<&Path>, look: &Look) -> String {
    let written = out.map(|out| format!("{} is written. ", out.display())).unwrap_or_default();
    format!("{written}{}", next(provider, made, look))
}

/// What it is, and what is to be done with it.
fn next(provider: &str, made: &KmsIdentity, look: &Look) -> String {
    match &made.certificate {
        Some(certificate) if made.csr.is_none() => format!(
            "{provider} is {} to its key servers; that certificate {}\n  SHA-256 {}\n\
             The key servers must take it as a client's certificate. Then:\n  cadenas provider test {provider}",
            harmless(&certificate.subject),
            expiry(certificate, look),
            fingerprint(certificate.sha256)
        ),
        _ => format!(
            "Have the request signed by an authority that the key servers trust. Then:\n  \
             cadenas provider identity {provider} --signed FILE"
        ),
    }
}
