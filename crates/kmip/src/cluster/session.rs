//! A connection with an agreed version: what calls are made on.

use std::{sync::Arc, time::Duration};

use crate::{
    Credential, Endpoint, KmipError, KmipErrorKind, KmipId, KmipOperation, Operation, Timeouts, Version, VersionReport,
    requests::{DiscoverVersions, Locate, Request, Sent},
    transport::{Connection, Deadline, TlsSettings, connect},
};

/// What all connections of a cluster have in common.
pub(super) struct Setup {
    pub(super) tls: TlsSettings,
    pub(super) credential: Option<Credential>,
    /// The versions that we offer, the newest first.
    pub(super) offered: Vec<Version>,
    pub(super) timeouts: Timeouts,
}

impl Setup {
    /// How long one attempt with a server may take: to connect, to agree on a version, and the call itself.
    pub(super) fn patience(&self) -> Duration {
        self.timeouts.connect + self.timeouts.call * 2
    }
}

/// A connection to a server, and the version in which both speak on it.
pub(super) struct Session {
    connection: Connection,
    endpoint: Endpoint,
    setup: Arc<Setup>,
    version: Version,
    usable: bool,
}

impl Session {
    /// Connects and agrees on a version.
    pub(super) fn open(endpoint: &Endpoint, setup: &Arc<Setup>) -> Result<Self, KmipError> {
        let deadline = Deadline::after(setup.timeouts.connect);
        let failed = |operation, kind| KmipError::new(endpoint, operation, kind);
        let tcp = connect(endpoint, deadline).map_err(|kind| failed(Operation::Connect, kind))?;
        let connection = Connection::new(tcp, endpoint, &setup.tls, deadline)
            .map_err(|kind| failed(Operation::TlsHandshake, kind))?;
        Self::over(connection, endpoint, setup).map(|(session, _)| session)
    }

    /// Agrees on a version over an open connection.
    pub(super) fn over(
        connection: Connection,
        endpoint: &Endpoint,
        setup: &Arc<Setup>,
    ) -> Result<(Self, VersionReport), KmipError> {
        let mut session = Self {
            connection,
            endpoint: endpoint.clone(),
            setup: Arc::clone(setup),
            version: Version::V1_0,
            usable: true,
        };
        let report = session.negotiate()?;
        session.version = report.used;
        Ok((session, report))
    }

    /// Whether another call can be made: after a failure nobody knows what is still on its way.
    pub(super) fn is_usable(&self) -> bool {
        self.usable
    }

    /// Sends a request and reads its answer.
    pub(super) fn call<R: Request>(&mut self, request: &R) -> Result<R::Answer, KmipError> {
        self.call_in(self.version, request)
    }

    /// The one key with this name, if there is one.
    pub(super) fn find_one(&mut self, name: &str) -> Result<Option<KmipId>, KmipError> {
        let mut found = self.call(&Locate(name))?;
        match found.len() {
            0 | 1 => Ok(found.pop()),
            count => Err(self.failed(KmipOperation::Locate, KmipErrorKind::AmbiguousName { count })),
        }
    }

    /// Asks which versions the server speaks. The question itself has a version, which the server may not speak: then it is
    /// put in another. A server that does not know the question is of 1.0, which had none (1.1, 4.26).
    fn negotiate(&mut self) -> Result<VersionReport, KmipError> {
        let ours = self.setup.offered.clone();
        for version in questions(&ours) {
            match self.call_in(version, &DiscoverVersions) {
                Ok(theirs) => return self.choose(ours, theirs),
                Err(KmipError { kind: KmipErrorKind::OperationNotSupported { .. }, .. }) => break,
                Err(KmipError { kind: KmipErrorKind::Refused { .. }, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if ours.contains(&Version::V1_0) {
            return Ok(VersionReport { ours, theirs: Vec::new(), used: Version::V1_0 });
        }
        self.choose(ours, Vec::new())
    }

    fn choose(&self, ours: Vec<Version>, theirs: Vec<Version>) -> Result<VersionReport, KmipError> {
        match ours.iter().find(|version| theirs.contains(version)) {
            Some(&used) => Ok(VersionReport { ours, theirs, used }),
            None => Err(self.failed(KmipOperation::DiscoverVersions, KmipErrorKind::VersionNotShared { ours, theirs })),
        }
    }

    fn call_in<R: Request>(&mut self, version: Version, request: &R) -> Result<R::Answer, KmipError> {
        let setup = Arc::clone(&self.setup);
        let (sent, message) = Sent::write(request, version, setup.credential.as_ref());
        let answer = self.connection.exchange(&message, setup.timeouts.call);
        answer.and_then(|answer| sent.read(request, &answer)).map_err(|kind| {
            self.usable &= kind.is_server_verdict();
            self.failed(R::OPERATION, kind)
        })
    }

    /// In TLS 1.3 a server says only after the handshake that it does not take our certificate.
    fn failed(&self, operation: KmipOperation, kind: KmipErrorKind) -> KmipError {
        let late = kind.is_about_certificates();
        let operation = if late { Operation::TlsHandshake } else { operation.into() };
        KmipError::new(&self.endpoint, operation, kind)
    }
}

/// The versions in which Discover Versions is asked, one after the other: our oldest that has it, which nearly every server
/// speaks, then our newest, for servers that gave up 1.x, then those between.
fn questions(ours: &[Version]) -> Vec<Version> {
    let mut newest_first = ours.iter().copied().filter(|version| *version >= Version::V1_1);
    let oldest = newest_first.next_back();
    oldest.into_iter().chain(newest_first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_asked_for_in_an_old_version_and_in_the_newest() {
        let asked = questions;
        assert_eq!(
            asked(&Version::SPOKEN),
            [Version::V1_1, Version::V2_0, Version::V1_4, Version::V1_3, Version::V1_2]
        );
        assert_eq!(asked(&[Version::V1_4, Version::V1_2, Version::V1_0]), [Version::V1_2, Version::V1_4]);
        assert_eq!(asked(&[Version::V1_3]), [Version::V1_3]);
        assert_eq!(asked(&[Version::V1_0]), []);
    }
}
