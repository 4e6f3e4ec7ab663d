//! What the commands that talk to a daemon need: where it is and who we are.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{ConfigError, parse, read};

/// How to reach a daemon's gateway listener.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Base URL, such as `https://localhost:8443`.
    pub url: String,
    /// PEM file of the authority that signed the daemon's certificate.
    pub server_ca: PathBuf,
    /// PEM file of our certificate, leaf first.
    pub certificate: PathBuf,
    /// PEM file of our private key.
    pub private_key: PathBuf,
}

impl Client {
    /// Reads `client.toml`; relative paths start at its directory.
    ///
    /// # Errors
    /// [`ConfigError`] if the file cannot be read or is not understood.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut client: Self = parse(path, &read(path)?)?;
        let base = path.parent().unwrap_or(Path::new("."));
        for file in [&mut client.server_ca, &mut client.certificate, &mut client.private_key] {
            *file = base.join(&*file);
        }
        Ok(client)
    }
}
