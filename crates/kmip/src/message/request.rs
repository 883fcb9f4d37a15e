//! Requests.

use zeroize::Zeroizing;

use crate::{
    Credential, KmipOperation, Version,
    ttlv::{Item, Tag, write},
};

/// The credential type Username and Password (1.4, 9.1.3.2.1).
const USERNAME_AND_PASSWORD: u32 = 1;

/// What a request says besides its operation.
#[derive(Clone, Copy)]
pub(crate) struct Envelope<'a> {
    pub(crate) version: Version,
    pub(crate) credential: Option<&'a Credential>,
    /// Comes back in the answer, so that an answer to something else is seen.
    pub(crate) batch_id: [u8; 8],
}

/// A request message with one batch item. It may hold a key and a password: the buffer is wiped when it is dropped.
pub(crate) fn write_request(
    envelope: &Envelope<'_>,
    operation: KmipOperation,
    payload: Vec<Item<'_>>,
) -> Zeroizing<Vec<u8>> {
    let item = Item::structure(
        Tag::BATCH_ITEM,
        vec![
            Item::enumeration(Tag::OPERATION, operation.code()),
            Item::bytes(Tag::UNIQUE_BATCH_ITEM_ID, &envelope.batch_id),
            Item::structure(Tag::REQUEST_PAYLOAD, payload),
        ],
    );
    write(&Item::structure(Tag::REQUEST_MESSAGE, vec![header(envelope), item]))
}

fn header<'a>(envelope: &Envelope<'a>) -> Item<'a> {
    let mut items = vec![protocol_version(envelope.version)];
    items.extend(envelope.credential.map(authentication));
    items.push(Item::integer(Tag::BATCH_COUNT, 1));
    Item::structure(Tag::REQUEST_HEADER, items)
}

/// A version, as it stands in headers and lists.
pub(crate) fn protocol_version(version: Version) -> Item<'static> {
    Item::structure(
        Tag::PROTOCOL_VERSION,
        vec![
            Item::integer(Tag::PROTOCOL_VERSION_MAJOR, version.major.into()),
            Item::integer(Tag::PROTOCOL_VERSION_MINOR, version.minor.into()),
        ],
    )
}

fn authentication(credential: &Credential) -> Item<'_> {
    let value =
        vec![Item::text(Tag::USERNAME, &credential.user), Item::text(Tag::PASSWORD, credential.password_text())];
    let credential = vec![
        Item::enumeration(Tag::CREDENTIAL_TYPE, USERNAME_AND_PASSWORD),
        Item::structure(Tag::CREDENTIAL_VALUE, value),
    ];
    Item::structure(Tag::AUTHENTICATION, vec![Item::structure(Tag::CREDENTIAL, credential)])
}
