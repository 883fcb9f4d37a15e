//! Our messages against those of `kmip-protocol`, which writes attributes by name: theirs are the same bytes, and
//! they read ours.

use cadenas_kmip::{
    Credential, KmipOperation, Version,
    testing::{SAMPLE_ID, SAMPLE_KEY, SAMPLE_NAME, SAMPLE_VM, sample_answer, sample_request},
    ttlv::{Item, Tag, Value, read, write},
};
use cadenas_secret::SecretBytes;
use kmip_protocol::{
    auth::{CredentialType, UsernameAndPasswordCredential},
    request::to_vec,
    response::from_slice,
    types::{
        common::{
            AttributeName, AttributeValue, CryptographicAlgorithm, CryptographicLength, CryptographicUsageMask,
            KeyFormatType, KeyMaterial, ObjectType, Operation, RevocationReasonCode, UniqueIdentifier,
        },
        request::{
            Attribute, KeyBlock, KeyValue, ManagedObject, QueryFunction, RequestPayload,
            RevocationReason as TheirReason, SymmetricKey, TemplateAttribute,
        },
        response::{ManagedObject as TheirObject, ResponseMessage, ResponsePayload, ResultStatus},
    },
};

fn id() -> UniqueIdentifier {
    UniqueIdentifier(SAMPLE_ID.to_owned())
}

fn attributes(more: &[Attribute]) -> TemplateAttribute {
    let mask = [
        CryptographicUsageMask::Encrypt,
        CryptographicUsageMask::Decrypt,
        CryptographicUsageMask::WrapKey,
        CryptographicUsageMask::UnwrapKey,
    ];
    let mask = mask.into_iter().map(|bit| bit as i32).sum();
    let vm = AttributeValue::TextString(SAMPLE_VM.to_owned());
    let usage = AttributeName("Cryptographic Usage Mask".to_owned());
    let mut all = more.to_vec();
    all.push(Attribute(usage, None, AttributeValue::Integer(mask)));
    all.push(Attribute::Name(SAMPLE_NAME.to_owned()));
    all.push(Attribute(AttributeName("x-Cadenas-VM".to_owned()), None, vm));
    TemplateAttribute::unnamed(all)
}

/// What they would send for each of our operations.
fn theirs(operation: KmipOperation) -> RequestPayload {
    let aes = CryptographicAlgorithm::AES;
    match operation {
        KmipOperation::Create => {
            let kind = [Attribute::CryptographicAlgorithm(aes), Attribute::CryptographicLength(256)];
            RequestPayload::Create(ObjectType::SymmetricKey, attributes(&kind))
        }
        KmipOperation::Register => {
            let material = KeyValue(KeyMaterial::Bytes(SAMPLE_KEY.to_vec()), None);
            let length = Some(CryptographicLength(256));
            let block = KeyBlock(KeyFormatType::Raw, None, Some(material), Some(aes), length, None);
            let key = ManagedObject::SymmetricKey(SymmetricKey(block));
            RequestPayload::Register(ObjectType::SymmetricKey, attributes(&[]), Some(key))
        }
        KmipOperation::Locate => RequestPayload::Locate(vec![Attribute::Name(SAMPLE_NAME.to_owned())]),
        KmipOperation::Get => RequestPayload::Get(Some(id()), None, None, None),
        KmipOperation::GetAttributes => {
            let names = ["State", "Initial Date", "Activation Date", "Name"];
            RequestPayload::GetAttributes(Some(id()), Some(names.map(|name| AttributeName(name.to_owned())).to_vec()))
        }
        KmipOperation::Activate => RequestPayload::Activate(Some(id())),
        KmipOperation::Revoke => {
            RequestPayload::Revoke(Some(id()), TheirReason(RevocationReasonCode::Superseded, None), None)
        }
        KmipOperation::Destroy => RequestPayload::Destroy(Some(id())),
        KmipOperation::Query => {
            RequestPayload::Query(vec![QueryFunction::QueryOperations, QueryFunction::QueryServerInformation])
        }
        KmipOperation::DiscoverVersions => RequestPayload::DiscoverVersions(vec![]),
    }
}

/// Ours without the batch item's ID, which they leave out.
fn without_batch_id(message: &[u8]) -> Vec<u8> {
    fn strip(item: &mut Item<'_>) {
        if let Value::Structure(items) = &mut item.value {
            items.retain(|item| item.tag != Tag::UNIQUE_BATCH_ITEM_ID);
            items.iter_mut().for_each(strip);
        }
    }
    let mut message = read(message).expect("a message");
    strip(&mut message);
    write(&message).to_vec()
}

#[test]
fn every_request_is_theirs_byte_for_byte() {
    for operation in KmipOperation::ALL {
        let payload = theirs(*operation);
        let version = payload.protocol_version();
        let version = Version {
            major: u16::try_from(version.0.0).expect("a version"),
            minor: u16::try_from(version.1.0).expect("a version"),
        };
        let ours = without_batch_id(&sample_request(*operation, version, None));
        assert_eq!(hex::encode(ours), hex::encode(to_vec(payload, None).expect("written")), "{operation}");
    }
}

#[test]
fn a_user_and_password_are_written_as_they_do() {
    let password = SecretBytes::take_from(b"correct horse".to_vec());
    let ours = Credential { user: "cadenas".to_owned(), password };
    let ours = without_batch_id(&sample_request(KmipOperation::Get, Version::V1_0, Some(&ours)));
    let login = UsernameAndPasswordCredential::new("cadenas".to_owned(), Some("correct horse".to_owned()));
    let credential = CredentialType::UsernameAndPassword(login);
    let theirs = to_vec(theirs(KmipOperation::Get), Some(credential));
    assert_eq!(hex::encode(ours), hex::encode(theirs.expect("written")));
}

/// They have no type for dates in attributes, so those are left out.
#[test]
fn they_read_our_servers_answers() {
    let answer = |operation| {
        let message: ResponseMessage = from_slice(&sample_answer(operation, Version::V1_4)).expect("an answer");
        let [item] = message.batch_items.try_into().expect("one batch item");
        assert!(matches!(item.result_status, ResultStatus::Success));
        (item.operation.expect("an operation"), item.payload.expect("a payload"))
    };
    let (operation, ResponsePayload::Get(got)) = answer(KmipOperation::Get) else { panic!("not Get") };
    assert_eq!((operation, got.unique_identifier.0.as_str()), (Operation::Get, SAMPLE_ID));
    let TheirObject::SymmetricKey(key) = got.cryptographic_object else { panic!("not a symmetric key") };
    assert_eq!(key.key_block.cryptographic_length, Some(256));
    assert_eq!(key.key_block.key_value.key_material, KeyMaterial::Bytes(SAMPLE_KEY.to_vec()));

    let (_, ResponsePayload::Create(made)) = answer(KmipOperation::Create) else { panic!("not Create") };
    assert_eq!(made.unique_identifier.0, "key-2");
    let (_, ResponsePayload::Locate(found)) = answer(KmipOperation::Locate) else { panic!("not Locate") };
    assert_eq!(found.unique_identifiers, [UniqueIdentifier(SAMPLE_ID.to_owned())]);
    let (_, ResponsePayload::Revoke(done)) = answer(KmipOperation::Revoke) else { panic!("not Revoke") };
    assert_eq!(done.unique_identifier.0, SAMPLE_ID);
    let (_, ResponsePayload::Query(told)) = answer(KmipOperation::Query) else { panic!("not Query") };
    assert_eq!(told.vendor_identification.as_deref(), Some("a server in memory"));
    assert_eq!(told.operations.expect("operations").len(), KmipOperation::ALL.len());
}
