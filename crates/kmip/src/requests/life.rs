//! A key's life: into use, out of use, gone.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Request, same_key, unique_identifier};
use crate::{
    KmipErrorKind, KmipId, KmipOperation, RevocationReason, Version,
    message::Fields,
    ttlv::{Item, Tag},
};

/// A key goes into use (1.4, 4.19; 2.0, 6.1).
pub(crate) struct Activate<'a>(pub(crate) &'a KmipId);

impl Request for Activate<'_> {
    const OPERATION: KmipOperation = KmipOperation::Activate;
    type Answer = ();

    fn payload(&self, _: Version) -> Vec<Item<'_>> {
        vec![unique_identifier(self.0)]
    }

    fn answer(&self, payload: Fields<'_>, _: Version) -> Result<(), KmipErrorKind> {
        same_key(self.0, payload)
    }
}

/// A key goes out of use (1.4, 4.20; 2.0, 6.1).
pub(crate) struct Revoke<'a> {
    pub(crate) id: &'a KmipId,
    pub(crate) reason: RevocationReason,
}

impl Request for Revoke<'_> {
    const OPERATION: KmipOperation = KmipOperation::Revoke;
    type Answer = ();

    fn payload(&self, _: Version) -> Vec<Item<'_>> {
        let code = Item::enumeration(Tag::REVOCATION_REASON_CODE, self.reason.code());
        let mut items = vec![unique_identifier(self.id), Item::structure(Tag::REVOCATION_REASON, vec![code])];
        if matches!(self.reason, RevocationReason::KeyCompromise | RevocationReason::CaCompromise) {
            // When it happened is not known; it must be said, and is known now.
            items.push(Item::date_time(Tag::COMPROMISE_OCCURRENCE_DATE, now()));
        }
        items
    }

    fn answer(&self, payload: Fields<'_>, _: Version) -> Result<(), KmipErrorKind> {
        same_key(self.id, payload)
    }
}

/// A key's material is wiped (1.4, 4.21; 2.0, 6.1).
pub(crate) struct Destroy<'a>(pub(crate) &'a KmipId);

impl Request for Destroy<'_> {
    const OPERATION: KmipOperation = KmipOperation::Destroy;
    type Answer = ();

    fn payload(&self, _: Version) -> Vec<Item<'_>> {
        vec![unique_identifier(self.0)]
    }

    fn answer(&self, payload: Fields<'_>, _: Version) -> Result<(), KmipErrorKind> {
        same_key(self.0, payload)
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
