//! A key server that others wrote: `PyKMIP`, of a test's own.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    command::{eventually, run, try_run_with},
    testbed_file,
};

const START_TIMEOUT: Duration = Duration::from_mins(1);

/// What the server runs: `PyKMIP`'s own program would write its log in /var/log.
const SERVER: &str = "\
import sys
from kmip.services.server import KmipServer
with KmipServer(config_path=sys.argv[1], log_path=sys.argv[2]) as server:
    server.serve()
";

/// What a script runs in: `client` is `PyKMIP`'s own, connected; `objects` and `enums` are its words.
const CLIENT: &str = "\
import sys
from kmip.core import enums
from kmip.pie import objects
from kmip.pie.client import ProxyKmipClient
port, cert, key, ca = sys.argv[1:]
with ProxyKmipClient(hostname='127.0.0.1', port=int(port), cert=cert, key=key, ca=ca,
                     ssl_version='PROTOCOL_TLSv1_2') as client:
    exec(sys.stdin.read())
";

/// Changes a key in the database, as no client can.
const SET_STATE: &str = "\
import sys, sqlalchemy
from sqlalchemy.orm import Session
from kmip.core import enums
from kmip.pie import objects
path, uid, state = sys.argv[1:]
with Session(sqlalchemy.create_engine('sqlite:///' + path)) as session:
    session.query(objects.SymmetricKey).filter_by(unique_identifier=int(uid)).one().state = enums.State[state]
    session.commit()
";

/// A `PyKMIP` server on a loopback port: TLS 1.2 alone, KMIP 1.0 to 1.4 and 2.0, and by its default policy a key belongs to
/// the client whose certificate made it, by its common name. It and its processes die with this value or the test's
/// thread. Stopped and started again, it has the same port, certificates and keys.
pub struct PyKmip {
    folder: TempDir,
    port: u16,
    process: Option<Child>,
}

/// The files of a client's certificate.
#[derive(Debug, Clone)]
pub struct KmsClient {
    /// In PEM.
    pub certificate: PathBuf,
    /// In PEM, PKCS#8.
    pub key: PathBuf,
}

impl PyKmip {
    /// Makes its certificates and starts it.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("cadenas-kms-").tempdir().expect("a temporary folder");
        let mut server = Self { folder, port: free_port(), process: None };
        server.make_authority();
        server.make_certificate("server", "serverAuth", &["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
        fs::copy(server.ca(), server.path("clients.crt")).expect("a small file");
        server.write_configuration();
        server.restart();
        server
    }

    /// A second server with the same keys and certificates, as in a cluster. It needs the folder of the first.
    #[must_use]
    pub fn twin(&self) -> Self {
        let folder = tempfile::Builder::new().prefix("cadenas-kms-").tempdir().expect("a temporary folder");
        for file in fs::read_dir(self.folder.path()).expect("our own").map(|entry| entry.expect("readable").path()) {
            if file.extension().is_some_and(|extension| extension == "crt" || extension == "key") {
                fs::copy(&file, folder.path().join(file.file_name().expect("a file"))).expect("a small file");
            }
        }
        let mut twin = Self { folder, port: free_port(), process: None };
        twin.write_configuration_with(&self.path("keys.sqlite"));
        twin.restart();
        twin
    }

    /// Ends it without a warning; all connections break.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
            // The server itself dies a moment after its namespace's keeper.
            eventually(
                START_TIMEOUT,
                || TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).ok().map(drop),
                || "PyKMIP does not end".to_owned(),
            );
        }
    }

    /// Starts it again, where it was and with what it had.
    pub fn restart(&mut self) {
        self.stop();
        // The namespace's first process takes all others with it. PyKMIP has two helpers, which would outlive it.
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child=KILL"])
            .arg(python())
            .args(["-W", "ignore", "-c", SERVER])
            .args([self.path("server.conf"), self.path("server.log")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run setpriv: {error}"));
        self.process = Some(process);
        eventually(
            START_TIMEOUT,
            || TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok().map(drop),
            || format!("PyKMIP does not answer: {}", self.log()),
        );
    }

    /// Where it answers: `127.0.0.1` and a port.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate of its CA, in PEM. The CA signs clients too.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.path("ca.crt")
    }

    /// The server's own certificate, in PEM.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.path("server.crt")
    }

    /// The certificate of the client with this name; it is made the first time.
    #[must_use]
    pub fn client(&self, name: &str) -> KmsClient {
        let client =
            KmsClient { certificate: self.path(&format!("{name}.crt")), key: self.path(&format!("{name}.key")) };
        if !client.certificate.exists() {
            self.make_certificate(name, "clientAuth", &[]);
        }
        client
    }

    /// What its CA makes of a certificate request, both in PEM.
    #[must_use]
    pub fn sign(&self, request: &str) -> String {
        let (ca, key) = (self.ca(), self.path("ca.key"));
        let mut openssl = Command::new("openssl");
        openssl.args(["x509", "-req", "-days", "30", "-copy_extensions", "copyall", "-CAcreateserial"]);
        openssl.arg("-CA").arg(ca).arg("-CAkey").arg(key);
        try_run_with(&mut openssl, request.as_bytes()).ok()
    }

    /// Makes a certificate of a client's own, in PEM, known to it, which takes a restart.
    pub fn trust(&mut self, certificate: &str) {
        let file = OpenOptions::new().append(true).open(self.path("clients.crt"));
        file.expect("it is there").write_all(certificate.as_bytes()).expect("a small file");
        self.restart();
    }

    /// Runs a Python script as the client with this name, by `PyKMIP`'s own client library, and returns what it printed. The
    /// script finds `client` (a connected `ProxyKmipClient`), `objects` and `enums`.
    #[must_use]
    pub fn script(&self, name: &str, script: &str) -> String {
        let files = self.client(name);
        let mut python = Command::new(python());
        python.args(["-W", "ignore", "-c", CLIENT, &self.port.to_string()]);
        python.arg(files.certificate).arg(files.key).arg(self.ca());
        try_run_with(&mut python, script.as_bytes()).ok()
    }

    /// Puts a key into a state, as `DEACTIVATED`, in the database.
    pub fn set_state(&self, id: &str, state: &str) {
        let mut python = Command::new(python());
        python.args(["-W", "ignore", "-c", SET_STATE]).arg(self.path("keys.sqlite")).args([id, state]);
        drop(try_run_with(&mut python, b"").ok());
    }

    /// What it wrote in its log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("server.log")).unwrap_or_default()
    }

    fn make_authority(&self) {
        let (key, certificate) = (self.path("ca.key"), self.ca());
        let extensions = ["-addext", "keyUsage=critical,keyCertSign"];
        openssl_req("PyKMIP CA", &key, &certificate, &extensions);
    }

    /// A certificate with this common name and purpose; its files bear the name.
    fn make_certificate(&self, name: &str, purpose: &str, more: &[&str]) {
        let (ca, ca_key) = (self.ca().display().to_string(), self.path("ca.key").display().to_string());
        let purpose = format!("extendedKeyUsage={purpose}");
        let mut args = vec!["-CA", &ca, "-CAkey", &ca_key];
        args.extend(["-addext", "basicConstraints=critical,CA:FALSE", "-addext", &purpose]);
        args.extend(more);
        openssl_req(name, &self.path(&format!("{name}.key")), &self.path(&format!("{name}.crt")), &args);
    }

    fn write_configuration(&self) {
        self.write_configuration_with(&self.path("keys.sqlite"));
    }

    fn write_configuration_with(&self, database: &Path) {
        let path = |name| self.path(name).display().to_string();
        let configuration = format!(
            "[server]\nhostname=127.0.0.1\nport={}\ncertificate_path={}\nkey_path={}\nca_path={}\nauth_suite=TLS1.2\n\
             policy_path={}\ndatabase_path={}\nenable_tls_client_auth=True\nlogging_level=INFO\n",
            self.port,
            path("server.crt"),
            path("server.key"),
            path("clients.crt"),
            path("policies"),
            database.display(),
        );
        fs::create_dir(self.path("policies")).expect("a fresh folder");
        fs::write(self.path("server.conf"), configuration).expect("a small file");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for PyKmip {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Python with `PyKMIP`, as `e2e/setup.sh` made it.
fn python() -> PathBuf {
    testbed_file("pykmip/bin/python")
}

/// A P-256 key and a certificate for it. `PyKMIP`'s ciphers with RSA are all of a kind that nobody else speaks any more.
fn openssl_req(common_name: &str, key: &Path, certificate: &Path, more: &[&str]) {
    let (key, certificate) = (key.display().to_string(), certificate.display().to_string());
    let subject = format!("/CN={common_name}");
    let kind = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"];
    let files = ["-subj", &subject, "-keyout", &key, "-out", &certificate];
    run("openssl", [&kind[..], &files, more].concat());
}

/// A port that is free for the moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
