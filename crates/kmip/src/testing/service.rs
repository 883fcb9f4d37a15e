//! The operations, seen from the server's side.

use cadenas_secret::SecretBytes;

use super::{
    ServerOptions, TestKeys,
    keys::TestKey,
    wire::{owned_bytes, owned_text},
};
use crate::{
    CryptographicAlgorithm, KEY_BYTES, KeyFormatType, KmipOperation, ObjectType, ResultReason, RevocationReason,
    Version,
    message::{FieldError, Fields, protocol_version, read_version, text},
    ttlv::{Item, Tag, read},
};

/// A request as far as it was understood.
pub(super) struct Asked {
    pub(super) version: Version,
    pub(super) operation: KmipOperation,
    pub(super) batch_id: Vec<u8>,
}

/// Why an operation was not done.
pub(super) struct Refusal(pub(super) ResultReason, pub(super) String);

impl From<FieldError> for Refusal {
    fn from(error: FieldError) -> Self {
        Self(ResultReason::INVALID_MESSAGE, error.to_string())
    }
}

type Done = Result<Vec<Item<'static>>, Refusal>;

/// What was asked for. A test's client writes no nonsense.
pub(super) fn asked(message: &[u8]) -> Asked {
    let message = read(message).expect("a request of ours");
    let fields = Fields::of(&message).expect("a structure");
    let header = fields.structure(Tag::REQUEST_HEADER).expect("a header");
    let item = fields.structure(Tag::BATCH_ITEM).expect("a batch item");
    let version = header.structure(Tag::PROTOCOL_VERSION).and_then(read_version).expect("a version");
    let operation = item.enumeration(Tag::OPERATION).expect("an operation");
    Asked {
        version,
        operation: KmipOperation::from_code(operation).expect("an operation of ours"),
        batch_id: item.optional_bytes(Tag::UNIQUE_BATCH_ITEM_ID).expect("an ID").expect("an ID").to_vec(),
    }
}

/// Does what was asked for; returns the payload's items.
pub(super) fn serve(options: &ServerOptions, keys: &TestKeys, message: &[u8], asked: &Asked) -> Done {
    let message = read(message).expect("a request of ours");
    let fields = Fields::of(&message)?;
    check_version(options, asked)?;
    check_credential(options, fields.structure(Tag::REQUEST_HEADER)?)?;
    let payload = fields.structure(Tag::BATCH_ITEM)?.structure(Tag::REQUEST_PAYLOAD)?;
    let request = Served { options, keys, version: asked.version, payload };
    match asked.operation {
        KmipOperation::DiscoverVersions => {
            Ok(options.versions.iter().map(|version| protocol_version(*version)).collect())
        }
        KmipOperation::Query => Ok(request.query()),
        KmipOperation::Create => request.create(),
        KmipOperation::Register => request.register(),
        KmipOperation::Locate => request.locate(),
        KmipOperation::Get => request.on_key(|id, key| Ok(get(id, key))),
        KmipOperation::GetAttributes => request.on_key(|id, key| Ok(attributes(id, key, asked.version))),
        KmipOperation::Activate => request.on_key(|id, key| moved(id, key.activate())),
        KmipOperation::Destroy => request.on_key(|id, key| moved(id, key.destroy())),
        KmipOperation::Revoke => request.revoke(),
    }
}

fn check_version(options: &ServerOptions, asked: &Asked) -> Result<(), Refusal> {
    if !options.versions.contains(&asked.version) {
        let said = format!("KMIP {} is not supported", asked.version);
        return Err(Refusal(ResultReason::INVALID_MESSAGE, said));
    }
    let unknown = asked.operation == KmipOperation::DiscoverVersions && asked.version == Version::V1_0;
    if unknown || options.lacking.contains(&asked.operation) {
        return Err(Refusal(ResultReason::OPERATION_NOT_SUPPORTED, format!("no {}", asked.operation)));
    }
    Ok(())
}

fn check_credential(options: &ServerOptions, header: Fields<'_>) -> Result<(), Refusal> {
    let Some((user, password)) = options.user else {
        return Ok(());
    };
    let refused = || Refusal(ResultReason::AUTHENTICATION_NOT_SUCCESSFUL, "who are you?".to_owned());
    let given = header.structure(Tag::AUTHENTICATION).and_then(|part| part.structure(Tag::CREDENTIAL));
    let given = given.and_then(|part| part.structure(Tag::CREDENTIAL_VALUE)).map_err(|_| refused())?;
    let same = given.text(Tag::USERNAME)? == user && given.text(Tag::PASSWORD)? == password;
    same.then_some(()).ok_or_else(refused)
}

/// A request that is being served.
struct Served<'m> {
    options: &'m ServerOptions,
    keys: &'m TestKeys,
    version: Version,
    payload: Fields<'m>,
}

impl Served<'_> {
    fn query(&self) -> Vec<Item<'static>> {
        let known = KmipOperation::ALL.iter().filter(|operation| !self.options.lacking.contains(operation));
        let mut items: Vec<_> = known.map(|operation| Item::enumeration(Tag::OPERATION, operation.code())).collect();
        items.push(owned_text(Tag::VENDOR_IDENTIFICATION, self.options.vendor));
        items
    }

    fn create(&self) -> Done {
        let label = self.label()?;
        let id = self.keys.add(label.name, label.vm, SecretBytes::random(KEY_BYTES));
        let object_type = Item::enumeration(Tag::OBJECT_TYPE, ObjectType::SYMMETRIC_KEY.code());
        Ok(vec![object_type, owned_text(Tag::UNIQUE_IDENTIFIER, &id)])
    }

    fn register(&self) -> Done {
        let label = self.label()?;
        let value = self.payload.structure(Tag::SYMMETRIC_KEY)?.structure(Tag::KEY_BLOCK)?.structure(Tag::KEY_VALUE)?;
        let material = value.optional_bytes(Tag::KEY_MATERIAL)?.unwrap_or_default();
        let id = self.keys.add(label.name, label.vm, SecretBytes::take_from(material.to_vec()));
        Ok(vec![owned_text(Tag::UNIQUE_IDENTIFIER, &id)])
    }

    fn locate(&self) -> Done {
        let label = if self.version.has_tagged_attributes() {
            self.read_label(self.payload.structure(Tag::ATTRIBUTES)?)?
        } else {
            self.read_label(self.payload)?
        };
        Ok(self.keys.named(&label.name).iter().map(|id| owned_text(Tag::UNIQUE_IDENTIFIER, id)).collect())
    }

    fn revoke(&self) -> Done {
        let code = self.payload.structure(Tag::REVOCATION_REASON)?.enumeration(Tag::REVOCATION_REASON_CODE)?;
        let reason = RevocationReason::from_code(code)
            .ok_or(FieldError::Missing { inside: Tag::REVOCATION_REASON, tag: Tag::REVOCATION_REASON_CODE })?;
        self.on_key(|id, key| moved(id, key.revoke(reason)))
    }

    fn on_key(&self, work: impl FnOnce(&str, &mut TestKey) -> Done) -> Done {
        let id = text(self.payload.item(Tag::UNIQUE_IDENTIFIER)?)?;
        self.keys
            .with(id, |key| work(id, key))
            .unwrap_or_else(|| Err(Refusal(ResultReason::ITEM_NOT_FOUND, format!("no key {id}"))))
    }

    fn label(&self) -> Result<Label, Refusal> {
        let tagged = self.version.has_tagged_attributes();
        let attributes = self.payload.structure(if tagged { Tag::ATTRIBUTES } else { Tag::TEMPLATE_ATTRIBUTE })?;
        self.read_label(attributes)
    }

    /// The name and the VM out of attributes of either kind.
    fn read_label(&self, attributes: Fields<'_>) -> Result<Label, Refusal> {
        let mut label = Label { name: String::new(), vm: None };
        if let Some(name) = attributes.find(Tag::NAME) {
            Fields::of(name)?.text(Tag::NAME_VALUE)?.clone_into(&mut label.name);
        }
        for attribute in attributes.all(Tag::ATTRIBUTE) {
            let attribute = Fields::of(attribute)?;
            let vendor = attribute.optional_text(Tag::VENDOR_IDENTIFICATION)?.map(|vendor| format!("{vendor}-"));
            let name = format!("{}{}", vendor.unwrap_or_default(), attribute.text(Tag::ATTRIBUTE_NAME)?);
            match name.as_str() {
                "Name" => attribute.structure(Tag::ATTRIBUTE_VALUE)?.text(Tag::NAME_VALUE)?.clone_into(&mut label.name),
                "x-Cadenas-VM" if self.options.takes_custom_attributes => {
                    label.vm = Some(attribute.text(Tag::ATTRIBUTE_VALUE)?.to_owned());
                }
                "Cryptographic Algorithm" | "Cryptographic Length" | "Cryptographic Usage Mask" => {}
                other => {
                    return Err(Refusal(ResultReason::INVALID_FIELD, format!("The {other} attribute is unsupported.")));
                }
            }
        }
        Ok(label)
    }
}

struct Label {
    name: String,
    vm: Option<String>,
}

fn moved(id: &str, may: bool) -> Done {
    if may {
        Ok(vec![owned_text(Tag::UNIQUE_IDENTIFIER, id)])
    } else {
        Err(Refusal(ResultReason::WRONG_KEY_LIFECYCLE_STATE, "not in this state".to_owned()))
    }
}

fn get(id: &str, key: &TestKey) -> Vec<Item<'static>> {
    let material = owned_bytes(Tag::KEY_MATERIAL, key.material.expose());
    let bits = i32::try_from(key.material.len() * 8).expect("a short key");
    let block = vec![
        Item::enumeration(Tag::KEY_FORMAT_TYPE, KeyFormatType::RAW.code()),
        Item::structure(Tag::KEY_VALUE, vec![material]),
        Item::enumeration(Tag::CRYPTOGRAPHIC_ALGORITHM, CryptographicAlgorithm::AES.code()),
        Item::integer(Tag::CRYPTOGRAPHIC_LENGTH, bits),
    ];
    vec![
        Item::enumeration(Tag::OBJECT_TYPE, ObjectType::SYMMETRIC_KEY.code()),
        owned_text(Tag::UNIQUE_IDENTIFIER, id),
        Item::structure(Tag::SYMMETRIC_KEY, vec![Item::structure(Tag::KEY_BLOCK, block)]),
    ]
}

fn attributes(id: &str, key: &TestKey, version: Version) -> Vec<Item<'static>> {
    let name = vec![owned_text(Tag::NAME_VALUE, &key.name), Item::enumeration(Tag::NAME_TYPE, 1)];
    let mut told = vec![
        Item::enumeration(Tag::STATE, key.state.code()),
        Item::date_time(Tag::INITIAL_DATE, key.created),
        Item::structure(Tag::NAME, name),
    ];
    told.extend(key.activated.map(|moment| Item::date_time(Tag::ACTIVATION_DATE, moment)));
    let mut items = vec![owned_text(Tag::UNIQUE_IDENTIFIER, id)];
    if version.has_tagged_attributes() {
        items.push(Item::structure(Tag::ATTRIBUTES, told));
    } else {
        items.extend(told.into_iter().map(by_name));
    }
    items
}

fn by_name(item: Item<'static>) -> Item<'static> {
    let name = owned_text(Tag::ATTRIBUTE_NAME, item.tag.name().expect("an attribute"));
    Item::structure(Tag::ATTRIBUTE, vec![name, Item { tag: Tag::ATTRIBUTE_VALUE, value: item.value }])
}
