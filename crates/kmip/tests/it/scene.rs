//! A server and a client of it.

use std::time::Duration;

use cadenas_kmip::{
    Cluster, Config, Endpoint, KmipError, Timeouts, Trust, Version,
    testing::{Authority, Dates, ServerOptions, TestKeys, TestServer},
};

/// Nothing that a test waits for takes as long, even on a busy machine; but no time alone is so long that it holds a test up.
pub(crate) const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(20),
    call: Duration::from_secs(20),
    first_backoff: Duration::from_secs(1),
    longest_backoff: Duration::from_secs(2),
};

/// One server, and a client that trusts its CA.
pub(crate) struct Scene {
    pub(crate) authority: Authority,
    pub(crate) server: TestServer,
    pub(crate) cluster: Cluster,
}

impl Scene {
    /// A server that is able to everything.
    pub(crate) fn new() -> Self {
        Self::with(ServerOptions::default())
    }

    pub(crate) fn with(options: ServerOptions) -> Self {
        let authority = Authority::new("test CA");
        let server = server(&authority, &TestKeys::default(), options);
        let cluster = cluster(&[&server], authority.trust());
        Self { authority, server, cluster }
    }

    /// A client that offers only this version.
    pub(crate) fn speaking(&self, version: Version) -> Cluster {
        Cluster::offering(config(&[&self.server], self.authority.trust()), &[version]).expect("a configuration")
    }

    /// What a message about this server begins with.
    pub(crate) fn prefix(&self) -> String {
        format!("key server {}: ", self.server.endpoint())
    }

    /// What is said about an error, without the server's name, which must be in it.
    pub(crate) fn said<T: std::fmt::Debug>(&self, result: Result<T, KmipError>) -> String {
        let text = result.expect_err("a failure").to_string();
        text.strip_prefix(&self.prefix()).unwrap_or_else(|| panic!("no server: {text}")).to_owned()
    }
}

/// A server for this machine.
pub(crate) fn server(authority: &Authority, keys: &TestKeys, options: ServerOptions) -> TestServer {
    TestServer::start(&authority.server(&["localhost", "127.0.0.1"], Dates::Now), keys, options)
}

pub(crate) fn cluster(servers: &[&TestServer], trust: Trust) -> Cluster {
    Cluster::new(config(servers, trust)).expect("a configuration")
}

pub(crate) fn config(servers: &[&TestServer], trust: Trust) -> Config {
    config_at(servers.iter().map(|server| server.endpoint()).collect(), trust)
}

pub(crate) fn config_at(endpoints: Vec<Endpoint>, trust: Trust) -> Config {
    Config { endpoints, trust, identity: None, credential: None, timeouts: TIMEOUTS }
}
