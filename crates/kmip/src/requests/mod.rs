//! The operations, each a type that writes its payload and reads the answer's (1.4, 4; 2.0, 6.1).

mod attributes;
mod life;
mod make;
mod read;
mod server;
#[cfg(test)]
mod use_cases;

use cadenas_secret::random;
use zeroize::Zeroizing;

pub(crate) use life::{Activate, Destroy, Revoke};
pub(crate) use make::{Create, Label, Register};
pub(crate) use read::{Get, GetAttributes, Locate};
pub(crate) use server::{DiscoverVersions, Query, QueryAnswer};

use crate::{
    Credential, KmipErrorKind, KmipId, KmipOperation, NotAKmipId, Version,
    message::{Envelope, Fields, read_response, write_request},
    ttlv::{Item, Tag, read},
};

/// An operation with what it needs to know.
pub(crate) trait Request {
    /// Which operation.
    const OPERATION: KmipOperation;
    /// What it brings.
    type Answer;

    /// The items of the request's payload.
    fn payload(&self, version: Version) -> Vec<Item<'_>>;

    /// The answer out of the response's payload.
    fn answer(&self, payload: Fields<'_>, version: Version) -> Result<Self::Answer, KmipErrorKind>;
}

/// A request on its way, by which its answer is known.
pub(crate) struct Sent<'a> {
    envelope: Envelope<'a>,
}

impl<'a> Sent<'a> {
    /// Writes the request.
    pub(crate) fn write<R: Request>(
        request: &R,
        version: Version,
        credential: Option<&'a Credential>,
    ) -> (Self, Zeroizing<Vec<u8>>) {
        Self::write_as(request, Envelope { version, credential, batch_id: random::array() })
    }

    /// Writes the request with everything as given.
    pub(crate) fn write_as<R: Request>(request: &R, envelope: Envelope<'a>) -> (Self, Zeroizing<Vec<u8>>) {
        let message = write_request(&envelope, R::OPERATION, request.payload(envelope.version));
        (Self { envelope }, message)
    }

    /// Reads the answer.
    pub(crate) fn read<R: Request>(&self, request: &R, message: &[u8]) -> Result<R::Answer, KmipErrorKind> {
        let message = read(message)?;
        request.answer(read_response(&message, &self.envelope, R::OPERATION)?, self.envelope.version)
    }
}

/// The item that names a key in a request.
fn unique_identifier(id: &KmipId) -> Item<'_> {
    Item::text(Tag::UNIQUE_IDENTIFIER, id.as_str())
}

/// The identifier with which an answer names a key.
fn read_identifier(payload: Fields<'_>) -> Result<KmipId, KmipErrorKind> {
    parse_identifier(payload.text(Tag::UNIQUE_IDENTIFIER)?)
}

fn parse_identifier(text: &str) -> Result<KmipId, KmipErrorKind> {
    text.parse().map_err(|error: NotAKmipId| KmipErrorKind::malformed(error))
}

/// Checks that an answer is about this key, if it names one.
fn same_key(id: &KmipId, payload: Fields<'_>) -> Result<(), KmipErrorKind> {
    match payload.optional_text(Tag::UNIQUE_IDENTIFIER)? {
        Some(other) if other != id.as_str() => {
            Err(KmipErrorKind::Mismatched { what: "it is about another key".to_owned() })
        }
        _ => Ok(()),
    }
}
