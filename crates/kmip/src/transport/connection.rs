//! A connection on which one message goes out and one comes back.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

use rustls::Stream;
use zeroize::Zeroizing;

use super::{
    Deadline, TlsSettings,
    deadline::DeadlineStream,
    failure::Stage,
    tls::{TlsStream, last_words},
};
use crate::{
    Endpoint, KmipErrorKind, NotACertificate, ServerCertificate, TlsReport,
    ttlv::{HEADER_BYTES, announced_len},
};

/// How every answer begins: the tag Response Message and the type Structure.
const RESPONSE: [u8; 4] = [0x42, 0x00, 0x7b, 0x01];

/// A TLS connection to a server. After an error it is of no use: nobody knows what is still on its way.
pub(crate) struct Connection {
    stream: TlsStream,
}

impl Connection {
    /// Agrees on TLS over an open TCP connection.
    pub(crate) fn new(
        tcp: TcpStream,
        endpoint: &Endpoint,
        settings: &TlsSettings,
        deadline: Deadline,
    ) -> Result<Self, KmipErrorKind> {
        Ok(Self { stream: settings.handshake(tcp, endpoint, deadline)? })
    }

    /// Sends a request and reads the answer, both within `limit`. The answer may hold a key: its buffer is wiped when it is
    /// dropped, and has its final size from the start.
    pub(crate) fn exchange(&mut self, request: &[u8], limit: Duration) -> Result<Zeroizing<Vec<u8>>, KmipErrorKind> {
        let deadline = Deadline::after(limit);
        self.stream.tcp.set_deadline(deadline);
        let situation = self.stream.situation(Stage::Messages, deadline);
        self.send(request).map_err(|error| situation.kind(&error))?;

        let mut header = [0; HEADER_BYTES];
        let found = self.fill(&mut header).map_err(|error| situation.kind(&error))?;
        let expected = check_header(header, found)?;
        let mut answer = Zeroizing::new(vec![0; expected]);
        let (head, body) = answer.split_at_mut(HEADER_BYTES);
        head.copy_from_slice(&header);
        let found = HEADER_BYTES + self.fill(body).map_err(|error| situation.kind(&error))?;
        if found < expected { Err(KmipErrorKind::Truncated { found, expected }) } else { Ok(answer) }
    }

    /// What TLS agreed on.
    pub(crate) fn report(&self) -> Result<TlsReport, NotACertificate> {
        let tls = &self.stream.tls;
        let chain = tls.peer_certificates().unwrap_or_default().iter().map(|der| der.to_vec()).collect();
        let version = tls.protocol_version().and_then(|version| version.as_str()).unwrap_or_default();
        let cipher = tls.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or_default();
        Ok(TlsReport {
            version: version.to_owned(),
            cipher: cipher.to_owned(),
            certificate: ServerCertificate::from_chain(chain)?,
            asked_for_client_certificate: self.stream.asked(),
        })
    }

    fn send(&mut self, request: &[u8]) -> io::Result<()> {
        let mut stream = self.both();
        match stream.write_all(request).and_then(|()| stream.flush()) {
            Ok(()) => Ok(()),
            Err(error) => Err(last_words(&mut self.stream.tls, &mut self.stream.tcp).unwrap_or(error)),
        }
    }

    /// Reads until `buf` is full or the server has closed the connection; returns how much came.
    fn fill(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut at = 0;
        while at < buf.len() {
            match self.both().read(&mut buf[at..]) {
                Ok(0) => break,
                Ok(count) => at += count,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(at)
    }

    fn both(&mut self) -> Stream<'_, rustls::ClientConnection, DeadlineStream> {
        Stream::new(&mut self.stream.tls, &mut self.stream.tcp)
    }
}

/// The length of the answer that begins so, of which `found` bytes came.
fn check_header(header: [u8; HEADER_BYTES], found: usize) -> Result<usize, KmipErrorKind> {
    if found == 0 {
        return Err(KmipErrorKind::Closed);
    }
    if !RESPONSE.starts_with(&header[..found.min(RESPONSE.len())]) {
        return Err(KmipErrorKind::NotKmip);
    }
    if found < HEADER_BYTES {
        return Err(KmipErrorKind::Truncated { found, expected: HEADER_BYTES });
    }
    Ok(announced_len(header)?)
}
