//! A server on a loopback port.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};

use super::{
    Authority, Certified, Fault, TestKeys, When,
    fault::Faults,
    service::{Asked, Refusal, asked, serve},
    wire::{answer, spoiled},
};
use crate::{Endpoint, KmipOperation, Version, ttlv::announced_len};

/// How long a silent server stays silent; longer than any test waits.
const SILENCE: Duration = Duration::from_mins(1);

/// What a server is able to.
#[derive(Clone)]
pub struct ServerOptions {
    /// How it answers on the wire.
    pub tls: Tls,
    /// Which client certificates it takes.
    pub clients: Clients,
    /// The versions of KMIP that it speaks, in its order.
    pub versions: Vec<Version>,
    /// The operations that it does not have.
    pub lacking: Vec<KmipOperation>,
    /// Whether it takes custom attributes and vendor attributes.
    pub takes_custom_attributes: bool,
    /// The only user and password that it takes, if it wants one.
    pub user: Option<(&'static str, &'static str)>,
    /// What it calls itself.
    pub vendor: &'static str,
}

/// How a server answers on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// In TLS 1.2 or 1.3.
    Any,
    /// In TLS 1.2 alone.
    Only12,
    /// In TLS 1.3 alone.
    Only13,
    /// Without TLS, with these bytes, and then no more.
    Plain(&'static [u8]),
    /// Never.
    Silent,
}

/// Which client certificates a server takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clients {
    /// It asks for none.
    All,
    /// Those of the CA with this certificate (DER).
    Of(Vec<u8>),
}

/// Able to all that we use, for anyone.
impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            tls: Tls::Any,
            clients: Clients::All,
            versions: Version::SPOKEN.to_vec(),
            lacking: Vec::new(),
            takes_custom_attributes: true,
            user: None,
            vendor: "a server in memory",
        }
    }
}

/// A server that listens until it is stopped or dropped.
pub struct TestServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
}

/// What a server's threads have in common.
struct Shared {
    options: ServerOptions,
    config: Arc<ServerConfig>,
    keys: TestKeys,
    state: Mutex<State>,
    /// Counts connections from the start, so that each has a number.
    accepted: AtomicU64,
}

#[derive(Default)]
struct State {
    stopped: bool,
    faults: Faults,
    log: Vec<(Version, KmipOperation)>,
    open: BTreeMap<u64, TcpStream>,
}

impl TestServer {
    /// A server that shows this certificate and keeps these keys.
    #[must_use]
    pub fn start(certified: &Certified, keys: &TestKeys, options: ServerOptions) -> Self {
        let shared = Arc::new(Shared {
            config: Arc::new(server_config(certified, &options)),
            options,
            keys: keys.clone(),
            state: Mutex::default(),
            accepted: AtomicU64::new(0),
        });
        let mut server = Self { shared, address: (Ipv4Addr::LOCALHOST, 0).into(), accepting: None };
        server.restart();
        server
    }

    /// A server of `authority` for this machine, with keys of its own, able to everything.
    #[must_use]
    pub fn good(authority: &Authority) -> Self {
        Self::start(
            &authority.server(&["localhost", "127.0.0.1"], super::Dates::Now),
            &TestKeys::default(),
            ServerOptions::default(),
        )
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        self.address.to_string().parse().expect("an address")
    }

    /// Its keys.
    #[must_use]
    pub fn keys(&self) -> &TestKeys {
        &self.shared.keys
    }

    /// Answers this operation wrongly from now on.
    pub fn fail(&self, operation: KmipOperation, fault: Fault, when: When) {
        self.shared.state().faults.add(operation, fault, when);
    }

    /// Answers everything properly again.
    pub fn mend(&self) {
        self.shared.state().faults.clear();
    }

    /// The operations that it was asked for since the last time, in their order, without those that only find out what it can.
    #[must_use]
    pub fn take_log(&self) -> Vec<KmipOperation> {
        let asked = self.take_full_log();
        let chatter = [KmipOperation::DiscoverVersions, KmipOperation::Query];
        asked.into_iter().map(|(_, operation)| operation).filter(|operation| !chatter.contains(operation)).collect()
    }

    /// Everything that it was asked for since the last time, and in which version.
    #[must_use]
    pub fn take_full_log(&self) -> Vec<(Version, KmipOperation)> {
        std::mem::take(&mut self.shared.state().log)
    }

    /// How many connections it took from the start.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Closes all connections, and goes on listening.
    pub fn hang_up(&self) {
        for (_, connection) in std::mem::take(&mut self.shared.state().open) {
            // The other side may have closed it first.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Closes all connections and the port. The keys stay.
    pub fn stop(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        self.shared.state().stopped = true;
        // Wakes it up.
        drop(TcpStream::connect(self.address));
        accepting.join().expect("it does not panic");
        self.hang_up();
    }

    /// Listens again, on the port that it had.
    pub fn restart(&mut self) {
        self.stop();
        let listener = TcpListener::bind(self.address).expect("the port is free");
        self.address = listener.local_addr().expect("it is bound");
        self.shared.state().stopped = false;
        let shared = Arc::clone(&self.shared);
        self.accepting = Some(thread::spawn(move || accept(&listener, &shared)));
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for connection in listener.incoming().map_while(Result::ok) {
        if shared.state().stopped {
            return;
        }
        let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
        shared.state().open.insert(number, connection.try_clone().expect("another handle"));
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // The client may go at any time.
            drop(talk(connection, &shared));
            shared.state().open.remove(&number);
        });
    }
}

fn talk(mut tcp: TcpStream, shared: &Shared) -> io::Result<()> {
    match shared.options.tls {
        Tls::Silent => {
            thread::sleep(SILENCE);
            return Ok(());
        }
        Tls::Plain(bytes) => {
            tcp.write_all(bytes)?;
            // What the client sends is read, or else closing resets the connection before it has read ours.
            tcp.shutdown(Shutdown::Write)?;
            return io::copy(&mut tcp, &mut io::sink()).map(drop);
        }
        Tls::Any | Tls::Only12 | Tls::Only13 => {}
    }
    let tls = ServerConnection::new(Arc::clone(&shared.config)).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(tls, tcp);
    loop {
        let request = receive(&mut stream)?;
        if !respond(&mut stream, &request, shared)? {
            stream.conn.send_close_notify();
            stream.flush()?;
            return stream.sock.shutdown(Shutdown::Both);
        }
    }
}

fn receive(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut header = [0; 8];
    stream.read_exact(&mut header)?;
    let mut message = vec![0; announced_len(header).map_err(io::Error::other)?];
    message[..8].copy_from_slice(&header);
    stream.read_exact(&mut message[8..])?;
    Ok(message)
}

/// Answers; returns whether the connection stays open.
fn respond(stream: &mut impl Write, request: &[u8], shared: &Shared) -> io::Result<bool> {
    let asked = asked(request);
    let fault = note(&asked, shared);
    if fault == Some(Fault::HangUpBefore) {
        return Ok(false);
    }
    let done = match &fault {
        Some(Fault::Refuse(reason, said)) => Err(Refusal(*reason, (*said).to_owned())),
        _ => serve(&shared.options, &shared.keys, request, &asked),
    };
    let proper = answer(&asked, done);
    let Some(fault) = fault else {
        return send(stream, &crate::ttlv::write(&proper)).map(|()| true);
    };
    let bytes = spoiled(&fault, &asked, proper);
    match fault {
        Fault::HangUp => Ok(false),
        Fault::Cut => send(stream, &bytes[..bytes.len() / 2]).map(|()| false),
        Fault::Web => send(stream, &bytes).map(|()| false),
        Fault::Late(time) => {
            thread::sleep(time);
            send(stream, &bytes).map(|()| true)
        }
        Fault::Drip(time) => drip(stream, &bytes, time).map(|()| true),
        _ => send(stream, &bytes).map(|()| true),
    }
}

fn note(asked: &Asked, shared: &Shared) -> Option<Fault> {
    let mut state = shared.state();
    state.log.push((asked.version, asked.operation));
    state.faults.take(asked.operation)
}

fn send(stream: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
}

fn drip(stream: &mut impl Write, bytes: &[u8], time: Duration) -> io::Result<()> {
    bytes.iter().try_for_each(|byte| {
        thread::sleep(time);
        send(stream, &[*byte])
    })
}

fn server_config(certified: &Certified, options: &ServerOptions) -> ServerConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions: &[&SupportedProtocolVersion] = match options.tls {
        Tls::Only12 => &[&TLS12],
        Tls::Only13 => &[&TLS13],
        _ => &[&TLS12, &TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions);
    let builder = builder.expect("cipher suites for all versions");
    let chain = certified.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.key.expose()));
    let key = aws_lc_rs::sign::any_supported_type(&key).expect("a private key");
    let builder = match &options.clients {
        Clients::All => builder.with_no_client_auth(),
        Clients::Of(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from(ca.clone())).expect("a CA");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a CA"))
        }
    };
    // Not checked: a server may show a certificate whose key it does not have.
    builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key))))
}
