//! Setting a standard provider up: its servers, whom we trust, who we are.

use std::sync::Arc;

use cadenas_api::{
    Actor, KmsIdentity, Password, Problem, ProblemCode, Provider, SetKmsIdentity, SetKmsUser, ShownCertificate,
    TrustKms,
};
use cadenas_keys::ProviderId;
use cadenas_kmip::{ClientIdentity, Endpoint, IdentityRequest, ServerCertificate, Timeouts, fetch_certificate};

use super::record::{
    IdentityRecord, RequestRecord, StandardRecord, TrustRecord, UserRecord, bad_certificate, opened, sealed, view,
};
use crate::{
    core::{Core, off_thread},
    events::Draft,
    providers,
    seal::SealedPlace,
    text::{Bytes, listed, quoted},
};

/// How long a certificate that signs itself is valid, in years: as vSphere's own are.
const SELF_SIGNED_YEARS: u32 = 10;
/// More authorities than anybody has; a bundle of all public ones is not meant.
const MOST_AUTHORITIES: usize = 32;

/// A user's texts as servers; at least one, none twice.
pub(crate) fn parse_servers(texts: &[String]) -> Result<Vec<Endpoint>, Problem> {
    let mut servers: Vec<Endpoint> = Vec::with_capacity(texts.len());
    for text in texts {
        let server = text.parse().map_err(|error: cadenas_kmip::NotAnEndpoint| bad_request(error.to_string()))?;
        if servers.contains(&server) {
            return Err(bad_request(format!("key server {server} is named twice")));
        }
        servers.push(server);
    }
    if servers.is_empty() {
        return Err(bad_request("no key server was named").next("Name one or more: `--kms HOST:5696`."));
    }
    Ok(servers)
}

/// Replaces the servers.
pub(crate) async fn set_servers(
    core: &Arc<Core>,
    provider: &str,
    texts: &[String],
    by: &Actor,
) -> Result<Provider, Problem> {
    let servers = parse_servers(texts)?;
    let names: Vec<String> = servers.iter().map(ToString::to_string).collect();
    let told = format!("has the key servers {}", listed(&names));
    change(core, provider, "provider.servers-set", &told, by, |standard| standard.servers.clone_from(&servers)).await
}

/// The certificates that the servers show now. Trusts none.
pub(crate) async fn show_certificates(core: &Arc<Core>, provider: &str) -> Result<Vec<ShownCertificate>, Problem> {
    let servers = core.catalog().await?.find(provider)?.as_standard()?.servers.clone();
    off_thread(move || Ok(servers.iter().map(shown).collect())).await
}

fn shown(server: &Endpoint) -> ShownCertificate {
    match fetch_certificate(server, &Timeouts::default()) {
        Ok(certificate) => {
            ShownCertificate { server: server.to_string(), certificate: Some(view(&certificate)), problem: None }
        }
        Err(error) => {
            let problem = Some(format!("{}: {}", error.operation, error.kind));
            ShownCertificate { server: server.to_string(), certificate: None, problem }
        }
    }
}

/// Trusts certificates or authorities from now on, and no others.
pub(crate) async fn trust(
    core: &Arc<Core>,
    provider: &str,
    request: TrustKms,
    by: &Actor,
) -> Result<Provider, Problem> {
    let (trust, told) = match request {
        TrustKms { pin, authorities: None } if !pin.is_empty() => {
            let pins: Vec<String> = pin.iter().map(ToString::to_string).collect();
            (TrustRecord::Pinned(pin), format!("trusts the certificates {}", listed(&pins)))
        }
        TrustKms { pin, authorities: Some(pem) } if pin.is_empty() => authorities(&pem)?,
        _ => return Err(bad_request("trust is either fingerprints or authorities").next("Give one of the two.")),
    };
    must_be_usable(core, provider, &trust).await?;
    change(core, provider, "provider.trust-set", &told, by, |standard| standard.trust = Some(trust.clone())).await
}

/// Refuses what TLS would refuse at the first connection.
async fn must_be_usable(core: &Core, provider: &str, trust: &TrustRecord) -> Result<(), Problem> {
    let record = core.catalog().await?.find(provider)?.clone();
    let (seal, id) = (Arc::clone(&core.seal), record.id);
    let candidate = StandardRecord { trust: Some(trust.clone()), ..record.as_standard()?.clone() };
    off_thread(move || candidate.cluster(&*seal, id).map(drop)).await.map_err(|problem| {
        Problem::new(ProblemCode::BadCertificate, problem.detail).next("Nothing was changed. Give another file.")
    })
}

fn authorities(pem: &str) -> Result<(TrustRecord, String), Problem> {
    let ders = cadenas_kmip::certificates_from_pem(pem.as_bytes()).map_err(|error| bad_certificate(&error))?;
    if ders.len() > MOST_AUTHORITIES {
        let detail = format!("the file holds {} certificates, and {MOST_AUTHORITIES} are taken", ders.len());
        return Err(Problem::new(ProblemCode::BadCertificate, detail).next("Give the authority's certificate alone."));
    }
    let mut subjects = Vec::with_capacity(ders.len());
    for der in &ders {
        let certificate = ServerCertificate::from_chain(vec![der.clone()]).map_err(|error| bad_certificate(&error))?;
        subjects.push(certificate.subject);
    }
    let trust = TrustRecord::Authorities(ders.into_iter().map(Bytes).collect());
    Ok((trust, format!("trusts what these sign: {}", listed(&subjects))))
}

/// Gives the provider another identity, or a request for one.
pub(crate) async fn set_identity(
    core: &Arc<Core>,
    provider: &str,
    request: SetKmsIdentity,
    by: &Actor,
) -> Result<KmsIdentity, Problem> {
    let record = core.catalog().await?.find(provider)?.clone();
    let standard = record.as_standard()?.clone();
    let (seal, id) = (Arc::clone(&core.seal), record.id);
    let name = format!("cadenas {}", record.name);
    let made = off_thread(move || make(&standard, request, &name, &*seal, id)).await?;
    change(core, provider, "provider.identity-set", made.told(), by, |standard| made.apply(standard)).await?;
    Ok(made.answer())
}

/// What becomes of a provider's identity.
enum Made {
    Identity(IdentityRecord),
    Request(RequestRecord, String),
}

impl Made {
    fn told(&self) -> &'static str {
        match self {
            Self::Identity(_) => "has another certificate for its key servers",
            Self::Request(..) => "has a new request for a certificate for its key servers",
        }
    }

    fn apply(&self, standard: &mut StandardRecord) {
        match self {
            Self::Identity(identity) => {
                standard.identity = Some(identity.clone());
                standard.request = None;
            }
            Self::Request(request, _) => standard.request = Some(request.clone()),
        }
    }

    fn answer(self) -> KmsIdentity {
        match self {
            Self::Identity(identity) => KmsIdentity { certificate: identity.view(), csr: None },
            Self::Request(_, csr) => KmsIdentity { certificate: None, csr: Some(csr) },
        }
    }
}

fn make(
    standard: &StandardRecord,
    request: SetKmsIdentity,
    common_name: &str,
    seal: &dyn crate::seal::Seal,
    provider: ProviderId,
) -> Result<Made, Problem> {
    let bad = |error: cadenas_kmip::IdentityError| bad_certificate(&error);
    let identity = match request {
        SetKmsIdentity::SelfSigned => ClientIdentity::self_signed(common_name, SELF_SIGNED_YEARS).map_err(bad)?,
        SetKmsIdentity::Csr => {
            let request = IdentityRequest::new(common_name).map_err(bad)?;
            let sealed = sealed(seal, SealedPlace::KmsRequest { provider }, request.key())?;
            let record = RequestRecord { request: Bytes(request.request().to_vec()), sealed };
            return Ok(Made::Request(record, request.request_pem()));
        }
        SetKmsIdentity::Signed { certificate } => {
            let pending = standard.request.as_ref().ok_or_else(no_request)?;
            let key = opened(seal, SealedPlace::KmsRequest { provider }, &pending.sealed)?;
            let request = IdentityRequest::from_parts(key, pending.request.0.clone()).map_err(bad)?;
            request.complete(certificate.as_bytes()).map_err(bad)?
        }
        SetKmsIdentity::Uploaded { certificate, key } => {
            ClientIdentity::from_pem(certificate.as_bytes(), key.secret()).map_err(bad)?
        }
    };
    IdentityRecord::seal(&identity, seal, provider).map(Made::Identity)
}

fn no_request() -> Problem {
    Problem::new(ProblemCode::BadRequest, "no certificate was requested, so none can be taken")
        .next("Make a request first: `cadenas provider identity NAME --csr`.")
}

/// Gives the provider a user, or takes it away.
pub(crate) async fn set_user(
    core: &Arc<Core>,
    provider: &str,
    request: SetKmsUser,
    by: &Actor,
) -> Result<Provider, Problem> {
    let id = core.catalog().await?.find(provider)?.id;
    let user = match (request.user, request.password) {
        (None, None) => None,
        (Some(user), Some(password)) => Some(sealed_user(core, id, user, password).await?),
        _ => return Err(bad_request("a user has a name and a password").next("Give both, or neither.")),
    };
    let told = if user.is_some() { "has another user for its key servers" } else { "has no user any more" };
    change(core, provider, "provider.user-set", told, by, |standard| standard.user.clone_from(&user)).await
}

async fn sealed_user(
    core: &Core,
    provider: ProviderId,
    name: String,
    password: Password,
) -> Result<UserRecord, Problem> {
    const LONGEST: usize = 255;
    if name.is_empty() || name.len() > LONGEST || name.contains(char::is_control) {
        return Err(bad_request(format!("{} cannot be a user's name", quoted(&name))).next("Give another one."));
    }
    let seal = Arc::clone(&core.seal);
    off_thread(move || UserRecord::seal(name, password.secret(), &*seal, provider)).await
}

/// Changes a standard provider; the event says what it has now.
async fn change(
    core: &Arc<Core>,
    provider: &str,
    kind: &str,
    told: &str,
    by: &Actor,
    mut change: impl FnMut(&mut StandardRecord),
) -> Result<Provider, Problem> {
    let plan = |catalog: &mut providers::Catalog| {
        let id = catalog.find(provider)?.id;
        let record = catalog.provider_mut(id)?;
        let message = format!("Key provider {} {told}.", record.name);
        change(record.as_standard_mut()?);
        Ok((id, vec![Draft::new(kind, message).provider(id).by(by)]))
    };
    let id = core.change_catalog(plan).await?;
    core.clusters.forget(id);
    providers::show(core, &id.to_string()).await
}

fn bad_request(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemCode::BadRequest, detail)
}
