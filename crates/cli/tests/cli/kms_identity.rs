//! What the key servers of a standard provider know it by: a certificate, a user.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    kms::{certificate, cluster, new_cluster},
    passwords::private,
    program::{Ended, run_with_input},
    server::Server,
    terminal::Terminal,
};

const IDENTITY: [&str; 3] = ["provider", "identity", "cluster"];
const USER: [&str; 5] = ["provider", "user", "cluster", "--user", "cadenas"];

#[test]
fn a_new_certificate_is_printed_alone_and_explained_beside() {
    let made = made();
    let server = Server::that_says(made.clone());
    let ended = run(&server, &["--self-signed"]);
    assert_eq!((ended.status, ended.out.as_str()), (Some(0), PEM));
    assert!(ended.err.contains("cluster is CN=cadenas to its key servers"), "{}", ended.err);
    assert!(
        ended.err.contains("SHA-256 CC:CC:") && ended.err.contains("cadenas provider test cluster"),
        "{}",
        ended.err
    );
    assert_eq!(server.asked(), ["POST /providers/cluster:set-identity"]);
    assert_eq!(server.requests()[0].body, json!("self-signed"));
    let quiet = run(&server, &["--self-signed", "-q"]);
    assert_eq!((quiet.out.as_str(), quiet.err.as_str()), (PEM, ""));
    let json = run(&server, &["--self-signed", "-o", "json"]);
    assert_eq!((serde_json::from_str::<Value>(&json.out).expect("JSON"), json.err.as_str()), (made, ""));
}

#[test]
fn a_request_is_written_to_a_file_that_was_not_there() {
    let csr = "-----BEGIN CERTIFICATE REQUEST-----\n";
    let server = Server::that_says(json!({ "csr": csr }));
    let file = server.folder().join("cadenas.csr");
    let said = run(&server, &["--csr", "--out", "cadenas.csr"]).ok();
    assert!(said.starts_with("cadenas.csr is written. Have the request signed"), "{said}");
    assert!(said.contains("cadenas provider identity cluster --signed FILE"), "{said}");
    assert_eq!(
        (server.requests()[0].body.clone(), fs::read_to_string(&file).expect("there")),
        (json!("csr"), csr.to_owned())
    );
    let told = run(&server, &["--csr", "--out", "cadenas.csr"]).refused(1);
    assert!(told.contains("is there already"), "{told}");
    assert_eq!(server.asked().len(), 1, "nothing more was asked");
    run(&server, &["--csr", "--out", "cadenas.csr", "--force"]).ok();
}

#[test]
fn a_certificate_that_was_signed_is_sent() {
    let server = Server::that_says(made());
    fs::write(server.folder().join("signed.pem"), PEM).expect("written");
    let said = run(&server, &["--signed", "signed.pem"]).ok();
    assert!(said.starts_with("cluster is CN=cadenas to its key servers; that certificate expires 2"), "{said}");
    assert_eq!(server.requests()[0].body, json!({ "signed": { "certificate": PEM } }));
}

#[test]
fn a_certificate_and_its_key_from_elsewhere_are_sent() {
    let server = Server::that_says(made());
    with_files(&server);
    let args = ["--certificate", "c.pem", "--key", "k.pem"];
    let ended = run(&server, &args);
    assert_eq!((ended.status, ended.err.as_str()), (Some(0), ""));
    assert!(!ended.out.contains("PRIVATE"), "{}", ended.out);
    let expected = json!({ "uploaded": { "certificate": PEM, "key": KEY.trim_end() } });
    assert_eq!(server.requests()[0].body, expected);
    let socket = server.socket().display().to_string();
    let args = [&IDENTITY[..], &["--certificate", "c.pem", "--key", "-", "--socket", &socket]].concat();
    run_with_input(server.folder(), &args, KEY.as_bytes()).ok();
    assert_eq!(server.requests()[1].body, expected);
}

#[test]
fn a_bad_key_file_is_told_and_nothing_is_sent() {
    let server = Server::that_says(made());
    with_files(&server);
    let long = b"x".repeat(20_000);
    let cases: [(&str, &[u8], &str); 3] = [
        ("empty", b"", "the private key in empty is empty"),
        ("k.der", b"\x30\x82\xff", "the private key in k.der is not UTF-8 text\n  give it in PEM"),
        ("long", &long, "the private key in long is longer than 16384 bytes"),
    ];
    for (name, content, expected) in cases {
        private(&server.folder().join(name), content);
        let told = run(&server, &["--certificate", "c.pem", "--key", name]).refused(1);
        assert!(told.contains(expected), "{told}");
    }
    fs::write(server.folder().join("c.der"), b"\x30\x82\xff").expect("written");
    let told = run(&server, &["--certificate", "c.der", "--key", "k.pem"]).refused(1);
    assert!(told.contains("c.der is not text; certificates are taken in PEM"), "{told}");
    assert_eq!(server.asked(), [""; 0]);
}

#[test]
fn an_identity_comes_from_one_place() {
    let server = Server::that_says(made());
    for args in [
        &[][..],
        &["--self-signed", "--csr"],
        &["--certificate", "c.pem"],
        &["--key", "k.pem"],
        &["--csr", "--key", "k.pem"],
        &["--signed", "s.pem", "--out", "o"],
        &["--csr", "--force"],
    ] {
        run(&server, args).refused(2);
    }
    assert_eq!(server.asked(), [""; 0]);
}

#[test]
fn a_users_password_comes_from_a_file_or_from_a_person() {
    let server = Server::that_says(cluster());
    private(&server.folder().join("pw"), b"horse\n");
    let said = server.run(&[&USER[..], &["--password-file", "pw"]].concat()).ok();
    assert_eq!(said, "cluster asks its key servers as cadenas\n");
    let mut person = Terminal::run(&USER, |command| {
        command.env("CADENAS_SOCKET", server.socket());
    });
    person.expect("Password of cadenas at the key servers of cluster: ").type_line("horse");
    let (status, shown) = person.end();
    assert_eq!(status, Some(0), "{shown}");
    assert!(!shown.contains("horse"), "{shown}");
    for request in server.requests() {
        assert_eq!(request.path, "/providers/cluster:set-user");
        assert_eq!(request.body, json!({ "user": "cadenas", "password": "horse" }));
    }
}

#[test]
fn without_a_terminal_or_a_file_no_user_is_set() {
    let server = Server::that_says(cluster());
    let told = server.run(&USER).refused(2);
    assert!(told.contains("--password-file FILE") && !told.contains("--no-password"), "{told}");
    private(&server.folder().join("pw"), b"\xff");
    let told = server.run(&[&USER[..], &["--password-file", "pw"]].concat()).refused(1);
    assert!(told.contains("the password in pw is not UTF-8 text"), "{told}");
    assert_eq!(server.asked(), [""; 0]);
}

#[test]
fn a_user_can_be_taken_away() {
    let server = Server::that_says(new_cluster());
    let said = server.run(&["provider", "user", "cluster", "--none"]).ok();
    assert_eq!(said, "cluster asks its key servers without a user\n");
    assert_eq!(server.requests()[0].body, json!({}));
    for args in [&[][..], &["--none", "--user", "cadenas"], &["--none", "--password-file", "pw"]] {
        server.run(&[&["provider", "user", "cluster"], args].concat()).refused(2);
    }
}

const PEM: &str = "-----BEGIN CERTIFICATE-----\ncadenas\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";

fn made() -> Value {
    json!({ "certificate": certificate("cadenas", 'c', 300) })
}

fn with_files(server: &Server) {
    fs::write(server.folder().join(Path::new("c.pem")), PEM).expect("written");
    private(&server.folder().join("k.pem"), KEY.as_bytes());
}

fn run(server: &Server, args: &[&str]) -> Ended {
    server.run(&[&IDENTITY[..], args].concat())
}
