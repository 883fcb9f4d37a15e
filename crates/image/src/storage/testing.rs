//! Storage for tests: in memory, failing, lying, or losing what was not flushed.

use std::{
    collections::BTreeSet,
    io,
    ops::Range,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::Storage;

/// Holes are told in blocks of this size, in bytes.
const BLOCK: u64 = 4096;

/// An image in memory, with holes.
#[derive(Debug, Default)]
pub struct Memory {
    content: Mutex<Content>,
}

#[derive(Debug, Default, Clone)]
struct Content {
    bytes: Vec<u8>,
    /// The blocks that were written.
    written: BTreeSet<u64>,
}

impl Memory {
    /// An empty image.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An image without holes.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        let written = (0..to_u64(bytes.len()).div_ceil(BLOCK)).collect();
        Self { content: Mutex::new(Content { bytes, written }) }
    }

    /// All bytes, zeros for holes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.content().bytes.clone()
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for Memory {
    fn len(&self) -> io::Result<u64> {
        Ok(to_u64(self.content().bytes.len()))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let content = self.content();
        let found = usize::try_from(offset).ok().and_then(|start| content.bytes.get(start..)?.get(..buf.len()));
        buf.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.content().write(offset, buf);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.content().set_len(len);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        let content = self.content();
        let len = to_u64(content.bytes.len());
        let Some(first) = content.written.range(from / BLOCK..).next().copied() else { return Ok(None) };
        let run = content.written.range(first..).zip(first..).take_while(|(block, expected)| *block == expected);
        let end = first + to_u64(run.count());
        let data = from.max(first * BLOCK)..len.min(end * BLOCK);
        Ok((data.start < data.end).then_some(data))
    }

    fn name(&self) -> String {
        "memory".to_owned()
    }
}

impl Content {
    fn write(&mut self, offset: u64, buf: &[u8]) {
        let start = usize::try_from(offset).expect("an image in memory is small");
        let end = start + buf.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[start..end].copy_from_slice(buf);
        self.written.extend(offset / BLOCK..(offset + to_u64(buf.len())).div_ceil(BLOCK));
    }

    fn set_len(&mut self, len: u64) {
        self.bytes.resize(usize::try_from(len).expect("an image in memory is small"), 0);
        self.written.split_off(&len.div_ceil(BLOCK));
    }
}

/// Works until a given number of calls were made, then every call fails.
#[derive(Debug)]
pub struct Countdown<S> {
    inner: S,
    left: AtomicU64,
    used: AtomicU64,
}

impl<S> Countdown<S> {
    /// `calls` calls succeed.
    pub fn new(inner: S, calls: u64) -> Self {
        Self { inner, left: AtomicU64::new(calls), used: AtomicU64::new(0) }
    }

    /// How many calls succeeded.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::SeqCst)
    }

    /// What it stands on.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn tick(&self) -> io::Result<()> {
        let spent = |left: u64| left.checked_sub(1);
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, spent) {
            Ok(_) => {
                self.used.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
            Err(_) => Err(io::Error::new(io::ErrorKind::StorageFull, "the countdown has ended")),
        }
    }
}

impl<S: Storage> Storage for Countdown<S> {
    fn len(&self) -> io::Result<u64> {
        self.tick()?;
        self.inner.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.tick()?;
        self.inner.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.tick()?;
        self.inner.write_at(offset, buf)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.tick()?;
        self.inner.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.tick()?;
        self.inner.sync()
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        self.tick()?;
        self.inner.next_data(from)
    }

    fn name(&self) -> String {
        self.inner.name()
    }
}

/// Reads some bits wrong.
#[derive(Debug)]
pub struct BitFlip<S> {
    inner: S,
    /// Offset of a byte, and the bits of it that are flipped.
    flips: Vec<(u64, u8)>,
}

impl<S> BitFlip<S> {
    /// `flips` are offsets of bytes, each with the bits of it to flip.
    pub fn new(inner: S, flips: Vec<(u64, u8)>) -> Self {
        Self { inner, flips }
    }
}

impl<S: Storage> Storage for BitFlip<S> {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.inner.read_at(offset, buf)?;
        for (at, bits) in &self.flips {
            let place = at.checked_sub(offset).and_then(|at| usize::try_from(at).ok());
            if let Some(byte) = place.and_then(|place| buf.get_mut(place)) {
                *byte ^= bits;
            }
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.inner.write_at(offset, buf)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        self.inner.next_data(from)
    }
}

/// An image in memory that remembers what a power cut would take: everything since the last flush, in any part.
#[derive(Debug, Default)]
pub struct Crash {
    now: Memory,
    state: Mutex<Durable>,
}

#[derive(Debug, Default)]
struct Durable {
    content: Content,
    /// What was done since the last flush, in its order.
    pending: Vec<Change>,
    /// What the medium could hold after each flush and each change: recorded for [`Crash::every_power_cut`].
    history: Vec<(Content, Vec<Change>)>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
}

impl Crash {
    /// An image that holds `bytes`, all of them durable.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        let now = Memory::from_bytes(bytes);
        let content = now.content().clone();
        Self { now, state: Mutex::new(Durable { content, ..Durable::default() }) }
    }

    /// What a power cut now would certainly leave.
    #[must_use]
    pub fn durable_bytes(&self) -> Vec<u8> {
        self.state().content.bytes.clone()
    }

    /// What power cuts at every instant so far could have left: at each flush, every subset of the changes before it, each write
    /// whole or torn at a sector. For few changes between flushes only.
    #[must_use]
    pub fn every_power_cut(&self) -> Vec<Vec<u8>> {
        let state = self.state();
        let ongoing = (state.content.clone(), state.pending.clone());
        state.history.iter().chain([&ongoing]).flat_map(|(base, pending)| power_cuts(base, pending)).collect()
    }

    fn change(&self, change: Change) {
        self.state().pending.push(change);
    }

    fn state(&self) -> MutexGuard<'_, Durable> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for Crash {
    fn len(&self) -> io::Result<u64> {
        self.now.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.now.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.change(Change::Write { offset, bytes: buf.to_vec() });
        self.now.write_at(offset, buf)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::SetLen(len));
        self.now.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        let pending = std::mem::take(&mut state.pending);
        let base = state.content.clone();
        for change in &pending {
            change.apply(&mut state.content);
        }
        state.history.push((base, pending));
        Ok(())
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        self.now.next_data(from)
    }
}

impl Change {
    fn apply(&self, content: &mut Content) {
        match self {
            Self::Write { offset, bytes } => content.write(*offset, bytes),
            Self::SetLen(len) => content.set_len(*len),
        }
    }

    /// It whole, and a write cut off at some of the sectors that it reaches: the first, the last and six between.
    fn torn(&self) -> Vec<Self> {
        let Self::Write { offset, bytes } = self else { return vec![self.clone()] };
        let end = offset + to_u64(bytes.len());
        let cuts = offset / 512 + 1..end.div_ceil(512);
        let step = usize::try_from((cuts.end.saturating_sub(cuts.start) / 7).max(1)).expect("part of a buffer");
        let kept = cuts.step_by(step).map(|sector| sector * 512 - offset).chain([end - offset]);
        kept.map(|kept| usize::try_from(kept).expect("part of a buffer"))
            .map(|kept| Self::Write { offset: *offset, bytes: bytes[..kept].to_vec() })
            .collect()
    }
}

fn power_cuts(base: &Content, pending: &[Change]) -> Vec<Vec<u8>> {
    assert!(pending.len() <= 8, "{} changes without a flush are too many to try", pending.len());
    let mut left = vec![base.clone()];
    for change in pending {
        let torn = change.torn();
        let with = left.iter().flat_map(|content| {
            torn.iter().map(|change| {
                let mut content = content.clone();
                change.apply(&mut content);
                content
            })
        });
        let with: Vec<Content> = with.collect();
        left.extend(with);
    }
    left.into_iter().map(|content| content.bytes).collect()
}

fn to_u64(len: usize) -> u64 {
    u64::try_from(len).expect("a length in memory")
}
