//! Reading and changing a domain's XML.

mod disk;
mod domain;
mod edit;
mod tree;

pub use disk::{DeviceKind, DiskDevice, DiskSource};
pub use domain::{DomainXml, DomainXmlError};

#[cfg(test)]
mod tests;
