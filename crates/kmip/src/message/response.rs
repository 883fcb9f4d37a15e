//! Answers.

use super::{
    Envelope, FieldError, Fields,
    fields::{bytes, enumeration},
};
use crate::{
    KmipErrorKind, KmipOperation, ResultReason, ServerText, Version,
    ttlv::{Item, Tag},
};

/// Result Status (1.4, 9.1.3.2.28): the operation was done.
const SUCCESS: u32 = 0;
/// It was not.
const FAILED: u32 = 1;

/// The payload of the answer to this very request, or the server's verdict.
pub(crate) fn read_response<'m>(
    message: &'m Item<'m>,
    envelope: &Envelope<'_>,
    operation: KmipOperation,
) -> Result<Fields<'m>, KmipErrorKind> {
    if message.tag != Tag::RESPONSE_MESSAGE {
        return Err(KmipErrorKind::NotKmip);
    }
    let message = Fields::of(message)?;
    let item = only_batch_item(message)?;
    verdict(item)?;
    check_echo(item, envelope, operation)?;
    let version = read_version(message.structure(Tag::RESPONSE_HEADER)?.structure(Tag::PROTOCOL_VERSION)?)?;
    if version.major != envelope.version.major {
        let what = format!("it is in version {version}, and the request was in {}", envelope.version);
        return Err(KmipErrorKind::Mismatched { what });
    }
    item.find(Tag::RESPONSE_PAYLOAD).map_or(Ok(Fields::none(Tag::RESPONSE_PAYLOAD)), |payload| Ok(Fields::of(payload)?))
}

fn only_batch_item(message: Fields<'_>) -> Result<Fields<'_>, KmipErrorKind> {
    let mut items = message.all(Tag::BATCH_ITEM);
    let item = items.next().ok_or(KmipErrorKind::BatchItemMissing)?;
    match items.count() {
        0 => Ok(Fields::of(item)?),
        more => Err(KmipErrorKind::malformed(format_args!("it has {} batch items, and one was asked for", more + 1))),
    }
}

/// A refusal is heard before anything else is checked: a server that did not understand the request cannot repeat from it.
fn verdict(item: Fields<'_>) -> Result<(), KmipErrorKind> {
    match item.enumeration(Tag::RESULT_STATUS)? {
        SUCCESS => Ok(()),
        FAILED => {
            let reason = item.optional_enumeration(Tag::RESULT_REASON)?.map(ResultReason);
            let said = ServerText::new(item.optional_text(Tag::RESULT_MESSAGE)?.unwrap_or_default());
            Err(KmipErrorKind::verdict(reason.unwrap_or(ResultReason::GENERAL_FAILURE), said))
        }
        // Pending and undone: we ask for neither asynchronous answers nor batches that are undone.
        other => Err(KmipErrorKind::malformed(format_args!("its Result Status is {other}"))),
    }
}

fn check_echo(item: Fields<'_>, envelope: &Envelope<'_>, operation: KmipOperation) -> Result<(), KmipErrorKind> {
    let answered = enumeration(item.item(Tag::OPERATION)?)?;
    if answered != operation.code() {
        let name = KmipOperation::from_code(answered)
            .map_or_else(|| format!("operation {answered:#x}"), |operation| operation.to_string());
        return Err(KmipErrorKind::Mismatched { what: format!("it is for {name}") });
    }
    // With a single batch item some servers leave the ID out.
    match item.find(Tag::UNIQUE_BATCH_ITEM_ID) {
        Some(id) if bytes(id)? != envelope.batch_id => {
            Err(KmipErrorKind::Mismatched { what: "its batch item has another ID".to_owned() })
        }
        _ => Ok(()),
    }
}

/// A version out of a header or a list.
pub(crate) fn read_version(fields: Fields<'_>) -> Result<Version, FieldError> {
    let part = |tag| fields.integer(tag).map(|number| u16::try_from(number).unwrap_or(u16::MAX));
    Ok(Version { major: part(Tag::PROTOCOL_VERSION_MAJOR)?, minor: part(Tag::PROTOCOL_VERSION_MINOR)? })
}
