//! The web console's sessions, and the links that begin them.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A link into the web console. It works once, and not for long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsoleLink {
    /// What to open in a browser: the console's address with the token in its fragment, which browsers send to nobody.
    #[schema(value_type = String)]
    pub url: SecretUrl,
    /// Until when it works.
    #[schema(value_type = String, format = DateTime)]
    pub expires: Timestamp,
}

/// An address that lets whoever has it in; it is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretUrl(pub String);

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretUrl")
    }
}

/// Begins a session with a link's token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenSession {
    /// The token.
    pub token: String,
}

impl fmt::Debug for OpenSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenSession")
    }
}

/// A session in the web console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Who is signed in: whoever asked for the link.
    pub user: String,
    /// The host's name.
    pub host: String,
    /// When it ends at the latest; it ends earlier when it is not used.
    #[schema(value_type = String, format = DateTime)]
    pub expires: Timestamp,
}
