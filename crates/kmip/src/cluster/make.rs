//! Making keys, which must not happen twice.

use cadenas_secret::SecretBytes;

use super::Cluster;
use crate::{
    KEY_BYTES, KmipError, KmipErrorKind, KmipId, KmipOperation, ResultReason,
    requests::{Create, Label, Register, Request},
};

/// What a server says that does not take attributes of our own. It is asked again without them.
const ATTRIBUTES_REFUSED: [ResultReason; 12] = [
    ResultReason::INVALID_MESSAGE,
    ResultReason::INVALID_FIELD,
    ResultReason::FEATURE_NOT_SUPPORTED,
    ResultReason::ILLEGAL_OPERATION,
    ResultReason::READ_ONLY_ATTRIBUTE,
    ResultReason::UNSUPPORTED_ATTRIBUTE,
    ResultReason::ATTRIBUTE_READ_ONLY,
    ResultReason::CODEC_ERROR,
    ResultReason::INVALID_ATTRIBUTE,
    ResultReason::INVALID_ATTRIBUTE_VALUE,
    ResultReason::UNKNOWN_TAG,
    ResultReason::GENERAL_FAILURE,
];

/// A key made by the server, not active yet.
pub(super) fn create(cluster: &Cluster, name: &str, vm: &str) -> Result<KmipId, KmipError> {
    let label = Label { name, vm: Some(vm) };
    make_once(cluster, name, &Create(label), &Create(label.plain()))
}

/// A key made elsewhere, not active yet.
pub(super) fn register(cluster: &Cluster, name: &str, vm: &str, key: &SecretBytes) -> Result<KmipId, KmipError> {
    if key.len() != KEY_BYTES {
        let first = cluster.endpoints().next().expect("a cluster has a server");
        let kind = KmipErrorKind::WrongLength { bits: key.len() * 8 };
        return Err(KmipError::new(first, KmipOperation::Register, kind));
    }
    let label = Label { name, vm: Some(vm) };
    make_once(cluster, name, &Register { label, key }, &Register { label: label.plain(), key })
}

/// When an answer does not come, the key may have been made all the same. So from the second attempt on, with whichever
/// server, it is first looked for by its name.
fn make_once<R: Request<Answer = KmipId>>(
    cluster: &Cluster,
    name: &str,
    request: &R,
    plain: &R,
) -> Result<KmipId, KmipError> {
    let mut may_exist = false;
    cluster.on_a_server(R::OPERATION, |session| {
        if may_exist && let Some(made) = session.find_one(name)? {
            return Ok(made);
        }
        may_exist = true;
        match session.call(request) {
            Err(error) if refuses_attributes(&error.kind) => session.call(plain),
            result => result,
        }
    })
}

fn refuses_attributes(kind: &KmipErrorKind) -> bool {
    matches!(kind, KmipErrorKind::Refused { reason, .. } if ATTRIBUTES_REFUSED.contains(reason))
}
