//! Answers that are none, and verdicts. Each has its own message.

use cadenas_kmip::{
    CryptographicAlgorithm, KeyState, KmipErrorKind, KmipId, KmipOperation, ResultReason,
    testing::{Fault, ServerOptions, Tls, When},
};

use crate::scene::Scene;

fn scene_with_key() -> (Scene, KmipId) {
    let scene = Scene::new();
    let id = scene.cluster.create_key("cadenas-web01", "vm").expect("made");
    (scene, id)
}

/// What reading a key says when the server answers Get like this.
fn said_to_get(fault: Fault) -> String {
    let (scene, id) = scene_with_key();
    scene.server.fail(KmipOperation::Get, fault, When::Always);
    scene.said(scene.cluster.key(&id))
}

#[test]
fn each_kind_of_wrong_answer_is_named() {
    for (fault, said) in [
        (Fault::OverLong, "the answer has 4294967296 bytes, and at most 1048576 are read"),
        (Fault::Deep, "the answer is nested more than 32 levels deep"),
        (Fault::NoBatchItem, "the answer has no batch item"),
        (Fault::TwoBatchItems, "the answer is malformed: it has 2 batch items, and one was asked for"),
        (Fault::OtherOperation, "the answer is to another request: it is for Query"),
        (Fault::OtherBatchId, "the answer is to another request: its batch item has another ID"),
        (Fault::OtherKey, "the answer is to another request: it is about another key"),
        (Fault::OtherVersion, "the answer is to another request: it is in version 3.0, and the request was in 2.0"),
        (Fault::Garbled, "the answer is malformed: Response Header has the type 0x7f, which does not exist"),
        (Fault::NoPayload, "the answer is malformed: Response Payload has no Object Type"),
        (Fault::Web, "what answers there does not speak KMIP: is it the right port?"),
        (Fault::HangUp, "the connection was closed before an answer came"),
        (Fault::HangUpBefore, "the connection was closed before an answer came"),
        (Fault::ShortKey, "the key has 128 bits, and not 256"),
        (Fault::OtherAlgorithm(CryptographicAlgorithm::TRIPLE_DES), "the key is not for AES but for 3DES"),
    ] {
        assert_eq!(said_to_get(fault.clone()), format!("Get: {said}"), "{fault:?}");
    }
}

#[test]
fn each_verdict_of_a_server_is_named() {
    for (reason, said) in [
        (ResultReason::PERMISSION_DENIED, "permission denied: it says \"no\""),
        (ResultReason::NOT_AUTHORISED, "permission denied: it says \"no\""),
        (ResultReason::AUTHENTICATION_NOT_SUCCESSFUL, "it does not accept who we are: it says \"no\""),
        (ResultReason::ITEM_NOT_FOUND, "it has no such key: it says \"no\""),
        (ResultReason::OBJECT_NOT_FOUND, "it has no such key: it says \"no\""),
        (ResultReason::OPERATION_NOT_SUPPORTED, "it does not support the operation: it says \"no\""),
        (ResultReason::WRONG_KEY_LIFECYCLE_STATE, "the key's state does not allow it: it says \"no\""),
        (ResultReason::SERVER_LIMIT_EXCEEDED, "it refuses with Server Limit Exceeded: it says \"no\""),
    ] {
        assert_eq!(said_to_get(Fault::Refuse(reason, "no")), format!("Get: {said}"), "{reason}");
    }
}

#[test]
fn a_server_cannot_write_on_the_terminal() {
    let said = said_to_get(Fault::Refuse(ResultReason::PERMISSION_DENIED, "\u{1b}[2J\r\nall is well"));
    assert_eq!(said, "Get: permission denied: it says \"?[2J??all is well\"");
}

#[test]
fn a_verdict_without_words_stands_alone() {
    let said = said_to_get(Fault::Refuse(ResultReason::PERMISSION_DENIED, ""));
    assert_eq!(said, "Get: permission denied");
}

#[test]
fn an_answer_that_is_cut_off_says_how_much_came() {
    let (scene, id) = scene_with_key();
    scene.server.fail(KmipOperation::Get, Fault::Cut, When::Always);
    let kind = scene.cluster.key(&id).expect_err("cut off").kind;
    let KmipErrorKind::Truncated { found, expected } = kind else { panic!("{kind:?}") };
    assert!(found > 8 && found == expected / 2, "{found} of {expected}");
    assert_eq!(kind.to_string(), format!("the answer ends after {found} of {expected} bytes"));
}

#[test]
fn an_operation_that_the_server_lacks_is_named() {
    let scene = Scene::with(ServerOptions { lacking: vec![KmipOperation::Revoke], ..ServerOptions::default() });
    let id = scene.cluster.create_key("cadenas-web01", "vm").expect("made");
    let said = scene.said(scene.cluster.revoke(&id, cadenas_kmip::RevocationReason::Superseded));
    assert_eq!(said, "Revoke: it does not support the operation: it says \"no Revoke\"");
}

#[test]
fn a_deactivated_key_is_given_with_its_state() {
    let (scene, id) = scene_with_key();
    for state in [KeyState::Deactivated, KeyState::Compromised, KeyState::PreActive] {
        scene.server.keys().set_state(&id, state);
        assert_eq!(scene.cluster.key(&id).expect("given").state, state);
    }
}

#[test]
fn what_is_not_a_key_server_is_told_apart() {
    let plain = |bytes| Scene::with(ServerOptions { tls: Tls::Plain(bytes), ..ServerOptions::default() });
    for greeting in [
        &b"SSH-2.0-OpenSSH_9.2p1\r\n"[..],
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"220 mail ESMTP\r\n",
        b"\0\0\0\0\0\0\0\0",
    ] {
        let scene = plain(greeting);
        assert_eq!(
            scene.said(scene.cluster.locate("a")),
            "TLS handshake: what answers there does not speak TLS: is it the right port?"
        );
    }
    let scene = plain(b"");
    assert_eq!(scene.said(scene.cluster.locate("a")), "TLS handshake: the connection was closed before an answer came");
    let scene = Scene::new();
    scene.server.fail(KmipOperation::DiscoverVersions, Fault::Web, When::Always);
    assert_eq!(
        scene.said(scene.cluster.locate("a")),
        "Discover Versions: what answers there does not speak KMIP: is it the right port?"
    );
}

#[test]
fn an_error_does_not_show_the_key() {
    let (scene, id) = scene_with_key();
    let material = hex::encode(scene.cluster.key(&id).expect("there").material.expose());
    scene.server.fail(KmipOperation::Get, Fault::OtherBatchId, When::Always);
    let error = scene.cluster.key(&id).expect_err("another ID");
    assert!(!format!("{error:?} {error}").contains(&material[..8]));
}
