//! Several servers as one.

mod health;
mod make;
mod probe;
mod server;
mod session;

use std::{fmt, sync::Arc};

use cadenas_secret::SecretBytes;

use self::{
    server::Server,
    session::{Session, Setup},
};
use crate::{
    Config, ConfigError, Endpoint, EndpointReport, FetchedKey, KeyAttributes, KeyState, KmipError, KmipErrorKind,
    KmipId, KmipOperation, RevocationReason, Version,
    requests::{Activate, Destroy, Get, GetAttributes, Locate, Request, Revoke},
    transport::TlsSettings,
};

/// A cluster of key servers that hold the same keys. Cheap to clone, and for any number of threads at once.
///
/// Every call asks the first server that is not known to be away. A server that cannot be reached, breaks off, or answers
/// what is no proper answer is left alone for a while that doubles each time, and the next one is asked. What a server
/// decides, such as that permission is denied, is the answer: no other server is asked.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    /// In the order in which they are asked. Never empty.
    servers: Vec<Server>,
    setup: Arc<Setup>,
}

impl Cluster {
    /// A cluster of the servers in `config`. Nothing is connected yet.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Self::offering(config, &Version::SPOKEN)
    }

    /// The same, for servers that misbehave in some versions: only `versions` are offered.
    pub fn offering(config: Config, versions: &[Version]) -> Result<Self, ConfigError> {
        config.check()?;
        let tls = TlsSettings::new(&config.trust, config.identity.as_ref())?;
        let mut offered = Version::SPOKEN.to_vec();
        offered.retain(|version| versions.contains(version));
        let setup = Setup { tls, credential: config.credential, offered, timeouts: config.timeouts };
        let servers = config.endpoints.into_iter().map(Server::new).collect();
        Ok(Self(Arc::new(Inner { servers, setup: Arc::new(setup) })))
    }

    /// The servers, in the order in which they are asked.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.0.servers.iter().map(Server::endpoint)
    }

    /// Makes an AES-256 key in the server and puts it into use. `name` must be one that no key ever had; `vm` is noted with
    /// the key where the server takes such notes.
    ///
    /// If the connection breaks before the answer, the key is looked for by its name before another one is made.
    pub fn create_key(&self, name: &str, vm: &str) -> Result<KmipId, KmipError> {
        let id = make::create(self, name, vm)?;
        match self.activate(&id) {
            Ok(()) => Ok(id),
            Err(error) => {
                self.discard(&id);
                Err(error)
            }
        }
    }

    /// Gives the server an AES-256 key that was made elsewhere, 32 bytes long. It is not active yet. The names are as in
    /// [`Self::create_key`].
    pub fn register(&self, name: &str, vm: &str, key: &SecretBytes) -> Result<KmipId, KmipError> {
        make::register(self, name, vm, key)
    }

    /// Reads a key and where it is in its life. A key that is not for AES or has not 256 bits is an error.
    pub fn key(&self, id: &KmipId) -> Result<FetchedKey, KmipError> {
        self.on_a_server(KmipOperation::Get, |session| {
            let material = session.call(&Get(id))?;
            let KeyAttributes { state, names, created, .. } = session.call(&GetAttributes(id))?;
            Ok(FetchedKey { material, state, created, names })
        })
    }

    /// Where a key is in its life.
    pub fn attributes(&self, id: &KmipId) -> Result<KeyAttributes, KmipError> {
        self.ask(&GetAttributes(id))
    }

    /// All keys with this name that we may see.
    pub fn locate(&self, name: &str) -> Result<Vec<KmipId>, KmipError> {
        self.ask(&Locate(name))
    }

    /// Puts a key into use. One that is in use already is no error.
    pub fn activate(&self, id: &KmipId) -> Result<(), KmipError> {
        self.on_a_server(KmipOperation::Activate, |session| match session.call(&Activate(id)) {
            Err(error) if error.kind.is_server_verdict() && is_active(session, id) => Ok(()),
            result => result,
        })
    }

    /// Takes a key out of use. It can still be read.
    pub fn revoke(&self, id: &KmipId, reason: RevocationReason) -> Result<(), KmipError> {
        self.ask(&Revoke { id, reason })
    }

    /// Destroys a key for ever. Servers demand that it is revoked before.
    pub fn destroy(&self, id: &KmipId) -> Result<(), KmipError> {
        self.ask(&Destroy(id))
    }

    /// Removes a key that was never used, whether or not it is active by now. If that cannot be done either, what went wrong
    /// before says more.
    pub fn discard(&self, id: &KmipId) {
        drop(self.revoke(id, RevocationReason::CessationOfOperation));
        drop(self.destroy(id));
    }

    /// Finds out, server by server and step by step, what works, whatever is known of a server from before.
    #[must_use]
    pub fn probe(&self) -> Vec<EndpointReport> {
        probe::all(&self.0.servers, &self.0.setup)
    }

    fn ask<R: Request>(&self, request: &R) -> Result<R::Answer, KmipError> {
        self.on_a_server(R::OPERATION, |session| session.call(request))
    }

    /// Runs `work` with the first server that answers. It runs again if the answer does not come.
    fn on_a_server<T>(
        &self,
        operation: KmipOperation,
        mut work: impl FnMut(&mut Session) -> Result<T, KmipError>,
    ) -> Result<T, KmipError> {
        let mut last = None;
        for server in &self.0.servers {
            match server.run(&self.0.setup, &mut work) {
                None => {}
                Some(Err(error)) if !error.kind.is_server_verdict() => last = Some(error),
                Some(result) => return result,
            }
        }
        match (self.0.servers.as_slice(), last) {
            // The whole story, as long as it is not only remembered.
            ([_], Some(error)) => Err(error),
            (servers, _) => Err(no_server(servers, operation)),
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cluster")?;
        f.debug_list().entries(self.endpoints()).finish()
    }
}

fn is_active(session: &mut Session, id: &KmipId) -> bool {
    session.call(&GetAttributes(id)).is_ok_and(|attributes| attributes.state == KeyState::Active)
}

/// What is said when every server failed, or is left alone because it did.
fn no_server(servers: &[Server], operation: KmipOperation) -> KmipError {
    let (waits, failures): (Vec<_>, Vec<_>) = servers.iter().filter_map(Server::trouble).unzip();
    let retry_in = waits.into_iter().min().unwrap_or_default();
    KmipError::new(servers[0].endpoint(), operation, KmipErrorKind::NoServer { retry_in, failures })
}
