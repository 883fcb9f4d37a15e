//! Answers without a network, for those who look for bytes that break the reader.

use cadenas_secret::SecretBytes;

use super::{
    ServerOptions, TestKeys,
    service::{asked, serve},
    wire::answer,
};
use crate::{
    Credential, KEY_BYTES, KeyState, KmipErrorKind, KmipId, KmipOperation, RevocationReason, Version,
    message::Envelope,
    requests::{
        Activate, Create, Destroy, DiscoverVersions, Get, GetAttributes, Label, Locate, Query, Register, Request,
        Revoke, Sent,
    },
    ttlv::write,
};

/// The key that every sample is about.
pub const SAMPLE_ID: &str = "key-1";
/// Its name.
pub const SAMPLE_NAME: &str = "cadenas-web01";
/// The VM that it is for.
pub const SAMPLE_VM: &str = "7b9c8d1e-0000-4000-8000-000000000001";
/// Its 32 bytes.
pub const SAMPLE_KEY: [u8; KEY_BYTES] = *b"the key of the samples, 32 bytes";

/// The request for an operation, as a [`crate::Cluster`] sends it.
#[must_use]
pub fn sample_request(operation: KmipOperation, version: Version, credential: Option<&Credential>) -> Vec<u8> {
    with_request(operation, Writing { version, credential })
}

/// The proper answer to an operation, as the server in memory gives it.
#[must_use]
pub fn sample_answer(operation: KmipOperation, version: Version) -> Vec<u8> {
    let keys = TestKeys::default();
    keys.add(SAMPLE_NAME.to_owned(), None, SecretBytes::take_from(SAMPLE_KEY.to_vec()));
    if operation == KmipOperation::Revoke {
        // Only what is in use is taken out of it.
        keys.set_state(&sample_id(), KeyState::Active);
    }
    let message = sample_request(operation, version, None);
    let asked = asked(&message);
    let done = serve(&ServerOptions::default(), &keys, &message, &asked);
    write(&answer(&asked, done)).to_vec()
}

/// Reads `message` as the answer to an operation, as a [`crate::Cluster`] does.
pub fn read_answer(operation: KmipOperation, version: Version, message: &[u8]) -> Result<(), KmipErrorKind> {
    with_request(operation, Reading { version, message })
}

/// What is done with a request of some type.
trait Visitor {
    type Outcome;

    fn visit<R: Request>(self, request: &R) -> Self::Outcome;
}

fn with_request<V: Visitor>(operation: KmipOperation, visitor: V) -> V::Outcome {
    let id = sample_id();
    let label = Label { name: SAMPLE_NAME, vm: Some(SAMPLE_VM) };
    let key = SecretBytes::take_from(SAMPLE_KEY.to_vec());
    match operation {
        KmipOperation::Create => visitor.visit(&Create(label)),
        KmipOperation::Register => visitor.visit(&Register { label, key: &key }),
        KmipOperation::Locate => visitor.visit(&Locate(SAMPLE_NAME)),
        KmipOperation::Get => visitor.visit(&Get(&id)),
        KmipOperation::GetAttributes => visitor.visit(&GetAttributes(&id)),
        KmipOperation::Activate => visitor.visit(&Activate(&id)),
        KmipOperation::Revoke => visitor.visit(&Revoke { id: &id, reason: RevocationReason::Superseded }),
        KmipOperation::Destroy => visitor.visit(&Destroy(&id)),
        KmipOperation::Query => visitor.visit(&Query),
        KmipOperation::DiscoverVersions => visitor.visit(&DiscoverVersions),
    }
}

struct Writing<'a> {
    version: Version,
    credential: Option<&'a Credential>,
}

impl Visitor for Writing<'_> {
    type Outcome = Vec<u8>;

    fn visit<R: Request>(self, request: &R) -> Vec<u8> {
        Sent::write_as(request, envelope(self.version, self.credential)).1.to_vec()
    }
}

struct Reading<'a> {
    version: Version,
    message: &'a [u8],
}

impl Visitor for Reading<'_> {
    type Outcome = Result<(), KmipErrorKind>;

    fn visit<R: Request>(self, request: &R) -> Self::Outcome {
        let (sent, _) = Sent::write_as(request, envelope(self.version, None));
        sent.read(request, self.message).map(drop)
    }
}

fn envelope(version: Version, credential: Option<&Credential>) -> Envelope<'_> {
    Envelope { version, credential, batch_id: *b"fixed id" }
}

fn sample_id() -> KmipId {
    SAMPLE_ID.parse().expect("an identifier")
}
