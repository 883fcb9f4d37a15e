//! TTLV: tag, type, length, value, the encoding of KMIP's messages (1.4, 9.1; the type Date-Time Extended is from 2.0).
//!
//! Every item begins with 8 bytes: a tag of 3, a type of 1 and the value's length of 4, all big-endian. Values are padded to a
//! multiple of 8 bytes. [`read`] checks every length against what is there before it does anything with it, and gives a tree
//! that borrows from the message: nothing of a secret is copied. [`write()`] makes the one canonical form.

mod item;
mod reader;
mod tag;
mod writer;

pub use item::{Item, Value};
pub use reader::{HEADER_BYTES, MAX_DEPTH, MAX_ITEMS, MAX_MESSAGE_BYTES, TtlvError, announced_len, read};
pub use tag::Tag;
pub use writer::write;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod vectors;
