//! All operations, in all versions.

use cadenas_kmip::{
    Config, Credential, KEY_BYTES, KeyState, KmipId, KmipOperation, RevocationReason, Version,
    testing::{Authority, ServerOptions, TestKeys},
};
use cadenas_secret::SecretBytes;

use crate::scene::{Scene, cluster, config, server};

const VM: &str = "7b9c8d1e-0000-4000-8000-000000000001";

#[test]
fn a_key_lives_and_dies_in_every_version() {
    for version in Version::SPOKEN {
        let scene = Scene::new();
        let cluster = scene.speaking(version);
        let id = cluster.create_key("cadenas-web01", VM).expect("made");
        let key = cluster.key(&id).expect("there");
        assert_eq!((key.material.len(), key.state, key.created), (KEY_BYTES, KeyState::Active, Some(1_700_000_000)));
        assert_eq!(key.names, ["cadenas-web01"]);
        assert_eq!(scene.server.keys().vm_of(&id).as_deref(), Some(VM));
        assert_eq!(cluster.attributes(&id).expect("there").activated, Some(1_700_000_001));
        assert_eq!(cluster.locate("cadenas-web01").expect("found"), std::slice::from_ref(&id));
        assert_eq!(cluster.locate("cadenas-web02").expect("looked for"), []);

        cluster.revoke(&id, RevocationReason::CessationOfOperation).expect("revoked");
        assert_eq!(cluster.attributes(&id).expect("there").state, KeyState::Deactivated);
        assert_eq!(cluster.key(&id).expect("still read").state, KeyState::Deactivated);
        cluster.destroy(&id).expect("destroyed");
        assert_eq!(cluster.attributes(&id).expect("there").state, KeyState::Destroyed);

        let asked = scene.server.take_full_log();
        let others: Vec<_> = asked.iter().filter(|(used, _)| *used != version).collect();
        assert!(others.is_empty(), "{version}: {others:?}");
    }
}

#[test]
fn the_newest_version_in_common_is_used() {
    for (spoken, used) in [
        (&[Version::V1_0][..], Version::V1_0),
        (&[Version::V1_1, Version::V1_0], Version::V1_1),
        (&[Version::V1_0, Version::V1_2, Version::V1_4], Version::V1_4),
        (&[Version::V2_0], Version::V2_0),
        (&Version::SPOKEN, Version::V2_0),
    ] {
        let scene = Scene::with(ServerOptions { versions: spoken.to_vec(), ..ServerOptions::default() });
        scene.cluster.locate("a").expect("looked for");
        assert_eq!(scene.server.take_full_log().last(), Some(&(used, KmipOperation::Locate)), "{spoken:?}");
    }
}

#[test]
fn no_version_in_common_names_those_of_both_sides() {
    let scene = Scene::with(ServerOptions { versions: vec![Version::V1_4, Version::V1_3], ..ServerOptions::default() });
    assert_eq!(
        scene.said(scene.speaking(Version::V1_2).locate("a")),
        "Discover Versions: no version of KMIP in common: ours are 1.2; it names none"
    );
    let scene = Scene::new();
    scene.server.fail(
        KmipOperation::DiscoverVersions,
        cadenas_kmip::testing::Fault::NoPayload,
        cadenas_kmip::testing::When::Always,
    );
    assert_eq!(
        scene.said(scene.cluster.locate("a")),
        "Discover Versions: no version of KMIP in common: ours are 2.0, 1.4, 1.3, 1.2, 1.1, 1.0; it names none"
    );
}

#[test]
fn a_key_made_elsewhere_is_read_back() {
    for version in Version::SPOKEN {
        let scene = Scene::new();
        let cluster = scene.speaking(version);
        let material = SecretBytes::random(KEY_BYTES);
        let id = cluster.register("imported", VM, &material).expect("taken");
        let key = cluster.key(&id).expect("there");
        assert!(key.material.equals(material.expose()));
        assert_eq!(key.state, KeyState::PreActive);
        assert_eq!(scene.server.keys().vm_of(&id).as_deref(), Some(VM));
        cluster.activate(&id).expect("activated");
        cluster.activate(&id).expect("active already");
        cluster.revoke(&id, RevocationReason::KeyCompromise).expect("revoked");
        assert_eq!(cluster.key(&id).expect("there").state, KeyState::Compromised);
    }
}

#[test]
fn a_key_of_another_length_is_not_registered() {
    let scene = Scene::new();
    let said = scene.said(scene.cluster.register("short", VM, &SecretBytes::random(16)));
    assert_eq!(said, "Register: the key has 128 bits, and not 256");
    assert_eq!(scene.server.connections(), 0);
}

#[test]
fn a_server_that_takes_no_attributes_of_our_own_is_asked_again_without() {
    for version in [Version::V1_4, Version::V2_0] {
        let scene = Scene::with(ServerOptions { takes_custom_attributes: false, ..ServerOptions::default() });
        let cluster = scene.speaking(version);
        let id = cluster.create_key("cadenas-web01", VM).expect("made");
        assert_eq!(scene.server.keys().vm_of(&id), None);
        let asked = scene.server.take_log();
        assert_eq!(asked, [KmipOperation::Create, KmipOperation::Create, KmipOperation::Activate]);
        cluster.register("imported", VM, &SecretBytes::random(KEY_BYTES)).expect("taken");
    }
}

#[test]
fn a_user_and_password_go_along_with_every_request() {
    let authority = Authority::new("test CA");
    let options = ServerOptions { user: Some(("cadenas", "correct horse")), ..ServerOptions::default() };
    let server = server(&authority, &TestKeys::default(), options);
    let with = |password: &str| {
        let password = SecretBytes::take_from(password.as_bytes().to_vec());
        let credential = Some(Credential { user: "cadenas".to_owned(), password });
        cadenas_kmip::Cluster::new(Config { credential, ..config(&[&server], authority.trust()) }).expect("fits")
    };
    let id = with("correct horse").create_key("cadenas-web01", VM).expect("made");
    for refused in [with("battery staple"), cluster(&[&server], authority.trust())] {
        let error = refused.key(&id).expect_err("not the password").to_string();
        let expected = format!(
            "key server {}: Discover Versions: it does not accept who we are: it says \"who are you?\"",
            server.endpoint()
        );
        assert_eq!(error, expected);
    }
}

#[test]
fn an_unknown_key_is_not_found() {
    let scene = Scene::new();
    let id: KmipId = "no-such-key".parse().expect("an identifier");
    let expected = "it has no such key: it says \"no key no-such-key\"";
    assert_eq!(scene.said(scene.cluster.key(&id)), format!("Get: {expected}"));
    assert_eq!(scene.said(scene.cluster.attributes(&id)), format!("Get Attributes: {expected}"));
    assert_eq!(scene.said(scene.cluster.activate(&id)), format!("Activate: {expected}"));
    assert_eq!(scene.said(scene.cluster.destroy(&id)), format!("Destroy: {expected}"));
}

#[test]
fn a_key_that_cannot_be_put_into_use_is_removed_again() {
    use cadenas_kmip::{
        ResultReason,
        testing::{Fault, When},
    };
    let scene = Scene::new();
    let refuse = Fault::Refuse(ResultReason::PERMISSION_DENIED, "not you");
    scene.server.fail(KmipOperation::Activate, refuse, When::Always);
    let said = scene.said(scene.cluster.create_key("cadenas-web01", VM));
    assert_eq!(said, "Activate: permission denied: it says \"not you\"");
    let [id] = scene.cluster.locate("cadenas-web01").expect("looked for").try_into().expect("one");
    assert_eq!(scene.cluster.attributes(&id).expect("there").state, KeyState::Destroyed);
}
