//! A client of the NBD protocol, as much of it as reading needs: fixed newstyle, `NBD_OPT_GO`, simple replies, one request at
//! a time on each connection (NetworkBlockDevice/nbd, `doc/proto.md`). What the server says is checked and bounded.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const GREETING: &[u8; 8] = b"NBDMAGIC";
const OPTION: &[u8; 8] = b"IHAVEOPT";
const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
const FIXED_NEWSTYLE: u16 = 1;
const NO_ZEROES: u16 = 2;
const OPT_GO: u32 = 7;
const REP_ACK: u32 = 1;
const REP_INFO: u32 = 3;
const INFO_EXPORT: [u8; 2] = [0, 0];
const REQUEST: u32 = 0x2560_9513;
const CMD_READ: u32 = 0;
const SIMPLE_REPLY: u32 = 0x6744_6698;
/// Every server takes requests of this length.
const LONGEST_READ: usize = 1 << 20;
/// Longer than a slow disk takes; a server that is silent for so long has hung.
const PATIENCE: Duration = Duration::from_mins(2);

/// Connections to the default export of one server.
pub(super) struct Client {
    /// `None` once it has failed: nobody knows then where in the protocol the server is.
    connections: Vec<Mutex<Option<UnixStream>>>,
    next: AtomicUsize,
    size: u64,
}

impl Client {
    /// Connects `count` times, at least once.
    pub(super) fn connect(socket: &Path, count: usize) -> io::Result<Self> {
        let (first, size) = connect(socket)?;
        let mut connections = vec![Mutex::new(Some(first))];
        for _ in 1..count {
            let (more, same_size) = connect(socket)?;
            if same_size != size {
                return Err(violation("the export has two sizes"));
            }
            connections.push(Mutex::new(Some(more)));
        }
        Ok(Self { connections, next: AtomicUsize::new(0), size })
    }

    /// Bytes of the export.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Fills `buf` from `offset`.
    pub(super) fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let mut connection = self.free();
        let mut at = offset;
        for part in buf.chunks_mut(LONGEST_READ) {
            let stream = connection.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            match read(stream, at, part) {
                Ok(0) => {}
                Ok(error) => return Err(io::Error::from_raw_os_error(error)),
                Err(error) => {
                    *connection = None;
                    return Err(error);
                }
            }
            at += u64::try_from(part.len()).expect("a length in memory");
        }
        Ok(())
    }

    /// A connection that nobody uses, or the next one as soon as it is free.
    fn free(&self) -> MutexGuard<'_, Option<UnixStream>> {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.connections.len();
        let mut in_turn = (0..count).map(|step| &self.connections[start.wrapping_add(step) % count]);
        let free = in_turn.find_map(|connection| connection.try_lock().ok());
        free.unwrap_or_else(|| self.connections[start % count].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn connect(socket: &Path) -> io::Result<(UnixStream, u64)> {
    let mut stream = connected(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let size = negotiate(&mut stream)?;
    Ok((stream, size))
}

/// A socket has its name a moment before its server listens, and refuses until then.
fn connected(socket: &Path) -> io::Result<UnixStream> {
    const MOMENT: Duration = Duration::from_secs(10);
    let start = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && start.elapsed() < MOMENT => {
                thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

/// The handshake; returns the default export's size in bytes.
fn negotiate(stream: &mut (impl Read + Write)) -> io::Result<u64> {
    if take::<8>(stream)? != *GREETING || take::<8>(stream)? != *OPTION {
        return Err(violation("no NBD server of the newstyle answers"));
    }
    let flags = u16::from_be_bytes(take(stream)?);
    if flags & FIXED_NEWSTYLE == 0 {
        return Err(violation("the server does not know the fixed newstyle"));
    }
    let mut hello = Vec::with_capacity(32);
    hello.extend_from_slice(&u32::from(flags & (FIXED_NEWSTYLE | NO_ZEROES)).to_be_bytes());
    hello.extend_from_slice(OPTION);
    // The default export, whose name is empty, and no information beyond what is always told.
    for number in [OPT_GO, 6, 0] {
        hello.extend_from_slice(&number.to_be_bytes());
    }
    hello.extend_from_slice(&0_u16.to_be_bytes());
    stream.write_all(&hello)?;
    export_size(stream)
}

fn export_size(stream: &mut impl Read) -> io::Result<u64> {
    const MOST_REPLIES: usize = 16;
    let mut size = None;
    for _ in 0..MOST_REPLIES {
        match option_reply(stream)? {
            (REP_ACK, _) => return size.ok_or_else(|| violation("the server does not say how long the disk is")),
            (REP_INFO, body) => match body.split_first_chunk() {
                Some((&INFO_EXPORT, told)) if told.len() == 10 => {
                    size = told.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
                }
                _ => {}
            },
            (kind, _) => return Err(violation(&format!("the server refuses the export (reply {kind:#x})"))),
        }
    }
    Err(violation("the server does not come to an end"))
}

fn option_reply(stream: &mut impl Read) -> io::Result<(u32, Vec<u8>)> {
    const LONGEST: usize = 4096;
    let (magic, option) = (u64::from_be_bytes(take(stream)?), u32::from_be_bytes(take(stream)?));
    if (magic, option) != (OPTION_REPLY, OPT_GO) {
        return Err(violation("the server answers something else"));
    }
    let kind = u32::from_be_bytes(take(stream)?);
    let len = usize::try_from(u32::from_be_bytes(take(stream)?)).unwrap_or(usize::MAX);
    if len > LONGEST {
        return Err(violation("the server's answer is too long"));
    }
    let mut body = vec![0; len];
    stream.read_exact(&mut body)?;
    Ok((kind, body))
}

/// One request of a bounded length. Returns the server's error number, 0 if there is none: NBD's are Linux's.
fn read(stream: &mut (impl Read + Write), offset: u64, buf: &mut [u8]) -> io::Result<i32> {
    let mut request = Vec::with_capacity(28);
    request.extend_from_slice(&REQUEST.to_be_bytes());
    request.extend_from_slice(&CMD_READ.to_be_bytes());
    // With one request at a time, its place serves as its cookie.
    request.extend_from_slice(&offset.to_be_bytes());
    request.extend_from_slice(&offset.to_be_bytes());
    request.extend_from_slice(&u32::try_from(buf.len()).expect("bounded by the caller").to_be_bytes());
    stream.write_all(&request)?;
    let (magic, error) = (u32::from_be_bytes(take(stream)?), u32::from_be_bytes(take(stream)?));
    if magic != SIMPLE_REPLY || take(stream)? != offset.to_be_bytes() {
        return Err(violation("the server answers another request"));
    }
    if error == 0 {
        stream.read_exact(buf)?;
    }
    i32::try_from(error).map_err(|_| violation("the server fails with an error that does not exist"))
}

fn take<const LEN: usize>(stream: &mut impl Read) -> io::Result<[u8; LEN]> {
    let mut bytes = [0; LEN];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn violation(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("NBD: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server says, whatever it is asked.
    struct Recorded<'a>(&'a [u8]);

    impl Read for Recorded<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.0.read(buf)
        }
    }

    impl Write for Recorded<'_> {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            Ok(buf.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_size_is_what_the_server_says() {
        assert_eq!(negotiate(&mut Recorded(&handshake())).expect("agreed"), 0x1234_5600);
    }

    #[test]
    fn a_server_that_says_something_else_is_an_error() {
        let good = handshake();
        for len in 0..good.len() {
            negotiate(&mut Recorded(&good[..len])).expect_err("cut");
        }
        // Greeting, option magic, flags, reply magic, option, kind, length; what it says of the export.
        for at in [0, 8, 17, 18, 29, 33, 34, 39] {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            negotiate(&mut Recorded(&bad)).expect_err("another protocol");
        }
        let endless = [&good[..18], &good[18..50].repeat(100)].concat();
        negotiate(&mut Recorded(&endless)).expect_err("endless");
    }

    #[test]
    fn a_reply_is_data_or_an_error_and_to_the_request() {
        let reply = |magic: u32, error: u32, cookie: u64, data: &[u8]| {
            let start = [&magic.to_be_bytes()[..], &error.to_be_bytes(), &cookie.to_be_bytes()].concat();
            let mut buf = [0; 4];
            read(&mut Recorded(&[&start, data].concat()), 77, &mut buf).map(|error| (error, buf))
        };
        assert_eq!(reply(SIMPLE_REPLY, 0, 77, b"data").expect("read"), (0, *b"data"));
        assert_eq!(reply(SIMPLE_REPLY, 5, 77, b"").expect("answered"), (5, [0; 4]));
        reply(SIMPLE_REPLY, 0, 78, b"data").expect_err("another request");
        reply(SIMPLE_REPLY + 1, 0, 77, b"data").expect_err("another kind of reply");
        reply(SIMPLE_REPLY, 0, 77, b"dat").expect_err("cut");
        reply(SIMPLE_REPLY, u32::MAX, 77, b"data").expect_err("no such error");
    }

    fn handshake() -> Vec<u8> {
        let mut bytes = [&GREETING[..], OPTION, &3_u16.to_be_bytes()].concat();
        let mut export = INFO_EXPORT.to_vec();
        export.extend_from_slice(&0x1234_5600_u64.to_be_bytes());
        export.extend_from_slice(&[0, 3]);
        for (kind, body) in [(REP_INFO, export), (REP_ACK, vec![])] {
            bytes.extend_from_slice(&OPTION_REPLY.to_be_bytes());
            bytes.extend_from_slice(&OPT_GO.to_be_bytes());
            bytes.extend_from_slice(&kind.to_be_bytes());
            bytes.extend_from_slice(&u32::try_from(body.len()).expect("short").to_be_bytes());
            bytes.extend_from_slice(&body);
        }
        bytes
    }
}
