//! The deployment file: where the daemon listens, which tokens hold which keys, where it keeps its
//! state. Every key is documented in `hsm-config/softhsm.toml`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::domain::key::{Algorithm, KeyId, Kid};
use crate::domain::time::Duration;
use crate::log::note::VerifierKey;

use super::{ConfigError, Problems, parse, read};

pub(super) mod file;
pub mod notifications;

/// A checked deployment. Paths are absolute or relative to the working directory.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// Name of this installation in every order: a URL that verifiers know.
    pub issuer: String,
    /// The policy file.
    pub policy: PathBuf,
    /// Directory of ledger, lock and markers.
    pub state_dir: PathBuf,
    /// The listener for callers.
    pub gateway: Gateway,
    /// The read-only listener for everybody.
    pub public: Public,
    /// The listener for health and metrics.
    pub operations: Operations,
    /// Tokens by name.
    pub tokens: BTreeMap<String, TokenSettings>,
    /// Keys by name.
    pub keys: BTreeMap<KeyId, KeyBinding>,
    /// The log of decisions.
    pub audit: Audit,
    /// How long payments stay in the ledger.
    pub keeping: Keeping,
    /// Who cosigns the log from elsewhere.
    pub witnesses: Vec<WitnessEntry>,
    /// Who is told what.
    pub notifications: notifications::Notifications,
    /// Log lines.
    pub log: Log,
}

/// The gateway listener.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// Address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Certificate and key of the server.
    pub identity: TlsIdentity,
    /// Authority of client certificates, PEM.
    pub client_ca: PathBuf,
    /// Revocation list of that authority, PEM; read again when it changes.
    pub client_revocations: Option<PathBuf>,
    /// Most connections at a time.
    pub connections_max: usize,
}

/// The public listener.
#[derive(Debug, Clone)]
pub struct Public {
    /// Address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Certificate and key of the server.
    pub identity: TlsIdentity,
    /// Most connections at a time.
    pub connections_max: usize,
}

/// The operations listener, plain HTTP on loopback.
#[derive(Debug, Clone)]
pub struct Operations {
    /// Address, loopback only; port 0 takes a free one.
    pub listen: SocketAddr,
}

/// Certificate chain and private key of a TLS server, PEM.
#[derive(Debug, Clone)]
pub struct TlsIdentity {
    /// Chain, leaf first.
    pub certificate: PathBuf,
    /// Private key.
    pub private_key: PathBuf,
}

/// One token.
#[derive(Debug, Clone)]
pub struct TokenSettings {
    /// The PKCS#11 module.
    pub module: PathBuf,
    /// `CKA_LABEL` of the token.
    pub label: String,
    /// Serial number, where labels are not unique.
    pub serial: Option<String>,
    /// Where the user PIN comes from.
    pub pin: PinLocation,
    /// Sessions, each with a thread of its own.
    pub sessions: usize,
    /// Most signatures that may wait.
    pub queue: usize,
    /// Longest that one call may take.
    pub deadline: Duration,
    /// Whether it keeps anchors of the log. `false` for tokens without writable data objects.
    pub anchors: bool,
}

/// Where a PIN comes from. Never the command line, never the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinLocation {
    /// A file of ours with mode 0600 or 0400.
    File(PathBuf),
    /// A systemd credential (`LoadCredential=`), by name.
    Credential(String),
    /// Asked for on the terminal at start.
    Prompt,
}

/// Where a key lives, and which one it must be.
#[derive(Debug, Clone)]
pub struct KeyBinding {
    /// Name of the token.
    pub token: String,
    /// `CKA_LABEL`.
    pub label: String,
    /// `CKA_ID`.
    pub object_id: Vec<u8>,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// RFC 7638 thumbprint of the public key: the pin. Absent until the key is generated.
    pub thumbprint: Option<Kid>,
    /// Whether `CKA_DECRYPT` may be true (some modules report it for every key).
    pub waive_decrypt: bool,
}

/// The log of decisions that others check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// The key that signs its checkpoints, among those of the deployment.
    pub key: KeyId,
    /// Longest that the anchors on the tokens may be behind the log.
    pub anchor_interval: Duration,
}

/// How long payments stay in the ledger, from the day on which nothing about them changes any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keeping {
    /// What tells of people is erased after so long; `None` for never.
    pub retention: Option<Duration>,
    /// `countersign archive` moves payments that are older; `None` if there are to be no archives.
    pub archive_after: Option<Duration>,
}

/// A witness of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessEntry {
    /// Its name with us, for messages and metrics.
    pub name: String,
    /// Submission prefix, without a slash at its end: https, or http on loopback.
    pub url: String,
    /// What verifies its cosignatures.
    pub key: VerifierKey,
    /// Authority of its TLS certificate, PEM; always there with https.
    pub ca: Option<PathBuf>,
    /// Longest that it may take to answer.
    pub timeout: Duration,
    /// Whether the daemon refuses to start while it cannot be asked.
    pub required_at_start: bool,
    /// Whether signatures wait until it has cosigned their leaf.
    pub signing_waits: bool,
}

/// Log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// Least level that is written.
    pub level: tracing::Level,
    /// JSON lines instead of text.
    pub json: bool,
}

impl Deployment {
    /// Reads and checks the deployment file; relative paths start at its directory.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem of the file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let file: file::Deployment = parse(path, &read(path)?)?;
        let base = path.parent().unwrap_or(Path::new("."));
        let mut problems = Problems::default();
        let checked = file.check(base, &mut problems);
        problems.or_else(path, checked)
    }

    /// The ledger's file.
    pub fn ledger(&self) -> PathBuf {
        self.state_dir.join("ledger.sqlite3")
    }
}
