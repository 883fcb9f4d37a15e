//! Where the console listens: plain HTTP on loopback, TLS anywhere else.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener as StdListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::serve::Listener;
use pem_rfc7468::LineEnding;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{CertificateFiles, ConsoleOptions};
use crate::private_file;

/// How long a client has for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes at one time; who comes then waits.
const MOST_HANDSHAKES: usize = 64;
const OWN_CERTIFICATE: &str = "console.crt";
const OWN_KEY: &str = "console.key";

/// Why the console cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The address cannot be used.
    #[error(
        "the web console cannot listen at {address}; choose another address with --console, or none with --console none"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A certificate or private key cannot be read.
    #[error("the web console cannot use {}; give a certificate chain and its private key, both in PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The server's own certificate cannot be made.
    #[error("the web console's certificate could not be made")]
    Make(#[source] rcgen::Error),
    /// The server's own certificate cannot be kept.
    #[error("the web console's certificate could not be written to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// TLS does not take them.
    #[error("the web console's certificate and key do not work with TLS")]
    Tls(#[source] rustls::Error),
}

/// A listening console.
pub(crate) enum ConsoleListener {
    /// On loopback.
    Plain(TcpListener),
    /// Anywhere else.
    Tls(Box<TlsListener>),
}

/// Listens, and tells the address that people open.
pub(crate) async fn listen(options: &ConsoleOptions, data: &Path) -> Result<(ConsoleListener, String), ConsoleError> {
    let failed = |source| ConsoleError::Bind { address: options.address, source };
    let listener = StdListener::bind(options.address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let listener = TcpListener::from_std(listener).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    if address.ip().is_loopback() && options.certificate.is_none() {
        return Ok((ConsoleListener::Plain(listener), format!("http://{address}")));
    }
    let config = server_config(options.certificate.as_ref(), data)?;
    let base = format!("https://{}:{}", host_of(address.ip()), address.port());
    Ok((ConsoleListener::Tls(Box::new(TlsListener::new(listener, config))), base))
}

/// How people name this machine; of an address that stands for all of them, the host's name.
fn host_of(address: IpAddr) -> String {
    match address {
        address if address.is_unspecified() => host_name(),
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The certificate that was given, or the server's own, which is made at its first start.
fn server_config(given: Option<&CertificateFiles>, data: &Path) -> Result<ServerConfig, ConsoleError> {
    let (chain, key) = given.map_or_else(|| own(data), read)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(ConsoleError::Tls)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn own(data: &Path) -> Result<Identity, ConsoleError> {
    let files = CertificateFiles { certificate: data.join(OWN_CERTIFICATE), key: data.join(OWN_KEY) };
    if !files.certificate.exists() {
        make(&files)?;
    }
    read(&files)
}

fn read(files: &CertificateFiles) -> Result<Identity, ConsoleError> {
    let unusable = |path: &Path| {
        let path = path.to_owned();
        move |source| ConsoleError::Pem { path, source }
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate).and_then(Iterator::collect);
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(unusable(&files.key))?;
    Ok((chain.map_err(unusable(&files.certificate))?, key))
}

/// Makes a certificate for this host that signs itself. The certificate comes last: without it both are made again.
fn make(files: &CertificateFiles) -> Result<(), ConsoleError> {
    let names = vec![host_name(), "localhost".to_owned()];
    let mut params = CertificateParams::new(names).map_err(ConsoleError::Make)?;
    params.distinguished_name.push(DnType::CommonName, format!("Cadenas on {}", host_name()));
    params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    let key = KeyPair::generate().map_err(ConsoleError::Make)?;
    let certificate = params.self_signed(&key).map_err(ConsoleError::Make)?;
    write(&files.key, &pem("PRIVATE KEY", key.serialized_der()))?;
    write(&files.certificate, &pem("CERTIFICATE", certificate.der()))
}

fn pem(label: &str, der: &[u8]) -> String {
    pem_rfc7468::encode_string(label, LineEnding::LF, der).expect("a label of our own and a small file")
}

fn write(path: &Path, text: &str) -> Result<(), ConsoleError> {
    private_file::replace(path, text.as_bytes()).map_err(|source| ConsoleError::Write { path: path.to_owned(), source })
}

/// Accepts connections whose handshake is done; one that takes its time holds up nobody.
pub(crate) struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl TlsListener {
    fn new(tcp: TcpListener, config: ServerConfig) -> Self {
        Self { tcp, acceptor: TlsAcceptor::from(Arc::new(config)), handshakes: JoinSet::new() }
    }

    fn shake_hands(&mut self, stream: TcpStream, address: SocketAddr) {
        let handshake = tokio::time::timeout(HANDSHAKE, self.acceptor.accept(stream));
        // Who fails here is not heard of: scanners and aborted connections.
        self.handshakes.spawn(async move { Some((handshake.await.ok()?.ok()?, address)) });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
                (stream, address) = Listener::accept(&mut self.tcp), if self.handshakes.len() < MOST_HANDSHAKES => {
                    self.shake_hands(stream, address);
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn options(address: &str) -> ConsoleOptions {
        ConsoleOptions { address: address.parse().expect("an address"), certificate: None, files: vec![] }
    }

    #[tokio::test]
    async fn loopback_is_plain() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (listener, base) = listen(&options("127.0.0.1:0"), folder.path()).await.expect("listens");
        assert!(matches!(listener, ConsoleListener::Plain(_)));
        assert!(base.starts_with("http://127.0.0.1:"), "{base}");
        assert!(!folder.path().join(OWN_KEY).exists());
    }

    #[tokio::test]
    async fn elsewhere_it_is_tls_with_a_certificate_that_stays() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (listener, base) = listen(&options("0.0.0.0:0"), folder.path()).await.expect("listens");
        assert!(matches!(listener, ConsoleListener::Tls(_)));
        assert!(base.starts_with("https://"), "{base}");
        let mode = folder.path().join(OWN_KEY).metadata().expect("made").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let certificate = || fs::read(folder.path().join(OWN_CERTIFICATE)).expect("made");
        let first = certificate();
        listen(&options("0.0.0.0:0"), folder.path()).await.expect("listens again");
        assert_eq!(certificate(), first);
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_told() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let taken = StdListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("bound").to_string();
        let error = listen(&options(&address), folder.path()).await.err().expect("taken").to_string();
        assert!(error.contains(&address) && error.contains("--console"), "{error}");
    }

    #[tokio::test]
    async fn a_certificate_that_is_none_is_told_with_its_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.pem");
        fs::write(&path, "nonsense").expect("a writable folder");
        let certificate = Some(CertificateFiles { certificate: path.clone(), key: path.clone() });
        let options = ConsoleOptions { certificate, ..options("127.0.0.1:0") };
        let error = listen(&options, folder.path()).await.err().expect("nonsense").to_string();
        assert!(error.contains("x.pem"), "{error}");
    }
}
