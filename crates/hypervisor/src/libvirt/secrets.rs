//! Secrets that libvirt holds for the length of one call.

use uuid::Uuid;
use virt::{
    connect::Connect,
    error::{Error, ErrorNumber},
    secret::Secret,
};

use super::connection::{Connection, Subject};
use crate::{DiskSecret, HypervisorError};

/// How the usage of every secret of ours begins. The rest is never the same twice.
const USAGE_PREFIX: &str = "cadenas-start/";

/// The secrets of one start; dropping this removes them from libvirt, as far as they were set.
pub(super) struct OneTimeSecrets<'a> {
    connection: &'a Connection,
    defined: Vec<Uuid>,
}

impl<'a> OneTimeSecrets<'a> {
    /// Gives libvirt the secrets, in its memory only (`ephemeral`), for nobody to read back (`private`).
    pub(super) fn define(
        connection: &'a Connection,
        secrets: &[DiskSecret],
        domain: &str,
    ) -> Result<Self, HypervisorError> {
        let mut defined = Self { connection, defined: Vec::with_capacity(secrets.len()) };
        for secret in secrets {
            // Before the call: one that fails half-way must be removed as well.
            defined.defined.push(secret.uuid);
            connection.call("give a passphrase to", Subject::Name(domain), |connect| define_one(connect, secret))?;
        }
        Ok(defined)
    }
}

impl Drop for OneTimeSecrets<'_> {
    fn drop(&mut self) {
        for &uuid in &self.defined {
            let removed = self
                .connection
                .call("remove the passphrase of", Subject::Other("a disk"), |connect| remove_ours(connect, uuid));
            if let Err(error) = removed {
                // They are in the daemon's memory only, and open a key slot that is erased right after.
                tracing::warn!(secret = %uuid, %error, "libvirt keeps a one-time secret until it restarts");
            }
        }
    }
}

fn define_one(connect: &Connect, secret: &DiskSecret) -> Result<(), Error> {
    remove_ours(connect, secret.uuid)?;
    let usage = format!("{USAGE_PREFIX}{}{}", Uuid::new_v4(), secret.path);
    let xml = format!(
        "<secret ephemeral='yes' private='yes'><uuid>{}</uuid><usage type='volume'><volume>{}</volume></usage></secret>",
        secret.uuid,
        quick_xml::escape::escape(&usage)
    );
    connect.define_secret_xml(&xml, 0)?.set_value(secret.value.expose(), 0)
}

/// Removes a secret, if it is there and one of ours.
fn remove_ours(connect: &Connect, uuid: Uuid) -> Result<(), Error> {
    match connect.lookup_secret_by_uuid(uuid) {
        Ok(secret) if is_ours(&secret)? => secret.undefine(),
        Ok(_foreign) => Ok(()),
        Err(error) if error.code().is(ErrorNumber::NoSecret) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Reads the usage from the XML: `Secret::usage_id` of virt 0.5 frees a string that is libvirt's.
fn is_ours(secret: &Secret) -> Result<bool, Error> {
    Ok(secret.xml_desc(0)?.contains(&format!("<volume>{USAGE_PREFIX}")))
}
