//! TCP connections.

use std::{
    io,
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
};

use super::Deadline;
use crate::{Endpoint, KmipErrorKind};

/// A connection to the first of the server's addresses that takes one.
pub(crate) fn connect(endpoint: &Endpoint, deadline: Deadline) -> Result<TcpStream, KmipErrorKind> {
    let addresses = addresses(endpoint, deadline)?;
    let mut last = KmipErrorKind::UnknownHost { reason: "the name has no address".to_owned() };
    for (at, address) in addresses.iter().enumerate() {
        match connect_to(address, addresses.len() - at, deadline) {
            Ok(stream) => return Ok(stream),
            Err(kind) => last = kind,
        }
    }
    Err(last)
}

/// Each address gets its share of what is left, so that one that does not answer leaves time for the next.
fn connect_to(address: &SocketAddr, still_to_try: usize, deadline: Deadline) -> Result<TcpStream, KmipErrorKind> {
    let timeout = || KmipErrorKind::ConnectTimeout { limit: deadline.limit() };
    let share = deadline.left().ok_or_else(timeout)? / u32::try_from(still_to_try).unwrap_or(u32::MAX);
    let connected = TcpStream::connect_timeout(address, share).and_then(|stream| {
        stream.set_nodelay(true)?;
        Ok(stream)
    });
    connected.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => timeout(),
        io::ErrorKind::ConnectionRefused => KmipErrorKind::ConnectionRefused,
        _ => KmipErrorKind::Unreachable { reason: error.to_string() },
    })
}

/// The system's resolver knows no deadline, so a thread of its own asks it; one that comes too late finds nobody waiting.
fn addresses(endpoint: &Endpoint, deadline: Deadline) -> Result<Vec<SocketAddr>, KmipErrorKind> {
    if let Some(ip) = endpoint.ip() {
        return Ok(vec![SocketAddr::new(ip, endpoint.port())]);
    }
    let timeout = || KmipErrorKind::ConnectTimeout { limit: deadline.limit() };
    let (answer, answers) = channel();
    let asked = endpoint.clone();
    let resolve = move || {
        let found = (asked.host(), asked.port()).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        drop(answer.send(found));
    };
    thread::Builder::new()
        .name("kmip-resolve".to_owned())
        .spawn(resolve)
        .map_err(|error| KmipErrorKind::Unreachable { reason: error.to_string() })?;
    match answers.recv_timeout(deadline.left().ok_or_else(timeout)?) {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(error)) => Err(KmipErrorKind::UnknownHost { reason: error.to_string() }),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(timeout()),
    }
}
