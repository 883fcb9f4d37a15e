//! What a server can do.

use super::Request;
use crate::{
    KmipErrorKind, KmipOperation, ServerText, Version,
    message::{Fields, enumeration, read_version},
    ttlv::{Item, Tag},
};

/// More than any server names.
const MOST_VERSIONS: usize = 64;
/// Query Function (1.4, 9.1.3.2.24): which operations are supported.
const QUERY_OPERATIONS: u32 = 1;
/// Who made the server.
const QUERY_SERVER_INFORMATION: u32 = 3;

/// All versions that the server speaks (1.4, 4.26; 2.0, 6.1). Asked without a list of ours, so that theirs can be told
/// when none is in common.
pub(crate) struct DiscoverVersions;

impl Request for DiscoverVersions {
    const OPERATION: KmipOperation = KmipOperation::DiscoverVersions;
    type Answer = Vec<Version>;

    fn payload(&self, _: Version) -> Vec<Item<'_>> {
        Vec::new()
    }

    fn answer(&self, payload: Fields<'_>, _: Version) -> Result<Vec<Version>, KmipErrorKind> {
        let versions = payload.all(Tag::PROTOCOL_VERSION).take(MOST_VERSIONS);
        versions.map(|version| Ok(read_version(Fields::of(version)?)?)).collect()
    }
}

/// The server's operations and its name (1.4, 4.25; 2.0, 6.1).
pub(crate) struct Query;

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueryAnswer {
    /// Of its operations those that we know.
    pub(crate) operations: Vec<KmipOperation>,
    pub(crate) vendor: ServerText,
}

impl Request for Query {
    const OPERATION: KmipOperation = KmipOperation::Query;
    type Answer = QueryAnswer;

    fn payload(&self, _: Version) -> Vec<Item<'_>> {
        let function = |code| Item::enumeration(Tag::QUERY_FUNCTION, code);
        vec![function(QUERY_OPERATIONS), function(QUERY_SERVER_INFORMATION)]
    }

    fn answer(&self, payload: Fields<'_>, _: Version) -> Result<QueryAnswer, KmipErrorKind> {
        let mut operations = Vec::new();
        for item in payload.all(Tag::OPERATION) {
            operations.extend(KmipOperation::from_code(enumeration(item)?).filter(|known| !operations.contains(known)));
        }
        let vendor = ServerText::new(payload.optional_text(Tag::VENDOR_IDENTIFICATION)?.unwrap_or_default());
        Ok(QueryAnswer { operations, vendor })
    }
}
