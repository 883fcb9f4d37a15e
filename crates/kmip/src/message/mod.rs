//! What stands around an operation: header and batch item (1.4, 6 and 7).
//!
//! A message carries one batch item. Servers may take several, but not all do, and none of our operations comes in numbers.

mod fields;
mod request;
mod response;

pub(crate) use fields::{FieldError, Fields, bytes, date_time, enumeration, text};
#[cfg(feature = "testing")]
pub(crate) use request::protocol_version;
pub(crate) use request::{Envelope, write_request};
pub(crate) use response::{read_response, read_version};
