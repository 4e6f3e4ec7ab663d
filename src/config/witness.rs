//! The file of a witness: where it listens, which token holds its key, which logs it watches. Every
//! key is documented in `hsm-config/witness.toml`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::domain::key::{Algorithm, Kid};
use crate::log::note::{NoteKeyName, SignatureKind, VerifierKey};

use super::deployment::file::{self, bounded, keys};
use super::deployment::{KeyBinding, Log, TlsIdentity, TokenSettings};
use super::{ConfigError, Problems, parse, read};

/// Name of the one token, in messages.
pub const TOKEN: &str = "witness";
/// Most connections that the listener may hold.
const CONNECTIONS_MAX: usize = 65_536;
/// Most keys of one log.
const KEYS_MAX: usize = 8;

/// A checked configuration of a witness.
#[derive(Debug, Clone)]
pub struct Witness {
    /// The name in its cosignatures.
    pub name: NoteKeyName,
    /// Directory of what it remembers.
    pub state_dir: PathBuf,
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Certificate and key of the server; `None` on loopback only.
    pub identity: Option<TlsIdentity>,
    /// Most connections at a time.
    pub connections_max: usize,
    /// Its token.
    pub token: TokenSettings,
    /// Its key.
    pub key: KeyBinding,
    /// The logs that it watches, by origin, with the keys that sign for each.
    pub logs: BTreeMap<String, Vec<VerifierKey>>,
    /// Log lines.
    pub log: Log,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WitnessFile {
    name: String,
    state_dir: PathBuf,
    listener: ListenerTable,
    token: file::Token,
    key: KeyTable,
    #[serde(default)]
    origin: Vec<OriginTable>,
    #[serde(default)]
    log: file::Log,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenerTable {
    listen: SocketAddr,
    certificate: Option<PathBuf>,
    private_key: Option<PathBuf>,
    connections_max: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyTable {
    label: String,
    id: String,
    thumbprint: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OriginTable {
    name: String,
    keys: Vec<String>,
}

impl Witness {
    /// Reads and checks the file; relative paths start at its directory.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem of the file.
    pub fn load(path: &Path, logs_max: usize) -> Result<Self, ConfigError> {
        let file: WitnessFile = parse(path, &read(path)?)?;
        let base = path.parent().unwrap_or(Path::new("."));
        let mut problems = Problems::default();
        let checked = file.check(base, logs_max, &mut problems);
        problems.or_else(path, checked)
    }
}

impl WitnessFile {
    fn check(self, base: &Path, logs_max: usize, problems: &mut Problems) -> Option<Witness> {
        let name = NoteKeyName::parse(&self.name);
        if name.is_none() {
            let detail = format!(
                "found \"{}\"; expected a name without white space and plus, such as \
                 witness.example.com/w1",
                self.name
            );
            problems.note("name", detail);
        }
        let place = "listener.connections_max";
        let connections_max =
            bounded(place, self.listener.connections_max, 256, CONNECTIONS_MAX, problems);
        let listen = self.listener.listen;
        let identity = self.listener.identity(base, problems);
        let token = self.token.check(TOKEN, base, problems);
        let key = self.key.check(problems);
        let logs = origins(self.origin, logs_max, problems);
        let log = self.log.check(problems);
        Some(Witness {
            name: name?,
            state_dir: base.join(self.state_dir),
            listen,
            identity,
            connections_max,
            token,
            key,
            logs,
            log,
        })
    }
}

impl ListenerTable {
    fn identity(self, base: &Path, problems: &mut Problems) -> Option<TlsIdentity> {
        match (self.certificate, self.private_key) {
            (Some(certificate), Some(private_key)) => Some(TlsIdentity {
                certificate: base.join(certificate),
                private_key: base.join(private_key),
            }),
            (None, None) if self.listen.ip().is_loopback() => None,
            _ => {
                let detail = "expected certificate and private_key; without both only 127.0.0.1 \
                              and ::1 are listened on";
                problems.note("listener", detail);
                None
            }
        }
    }
}

impl KeyTable {
    fn check(self, problems: &mut Problems) -> KeyBinding {
        let thumbprint = self.thumbprint.as_deref();
        KeyBinding {
            token: TOKEN.to_owned(),
            label: self.label,
            object_id: keys::object_id("key", &self.id, problems),
            algorithm: Algorithm::EdDsa,
            thumbprint: thumbprint
                .and_then(|text| problems.keep(Kid::parse("key.thumbprint", text))),
            waive_decrypt: false,
        }
    }
}

fn origins(
    tables: Vec<OriginTable>,
    logs_max: usize,
    problems: &mut Problems,
) -> BTreeMap<String, Vec<VerifierKey>> {
    if tables.is_empty() || tables.len() > logs_max {
        let detail = format!("found {} logs to watch; expected 1 to {logs_max}", tables.len());
        problems.note("origin", detail);
    }
    let mut logs = BTreeMap::new();
    for (number, table) in (1..).zip(tables) {
        let place = format!("origin[{number}]");
        if table.name.is_empty() || table.name.chars().any(char::is_control) {
            let detail = format!("found {:?}; expected the first line of checkpoints", table.name);
            problems.note(format!("{place}.name"), detail);
        }
        if table.keys.is_empty() || table.keys.len() > KEYS_MAX {
            let detail = format!("found {} keys; expected 1 to {KEYS_MAX}", table.keys.len());
            problems.note(format!("{place}.keys"), detail);
        }
        let key = |text: &String| {
            let key = text.parse::<VerifierKey>().map_err(|refused| refused.to_string());
            let of_log = key.and_then(|key| match key.kind() {
                SignatureKind::CosignatureV1 => {
                    Err("it is the key of a witness; expected that of a log".to_owned())
                }
                _ => Ok(key),
            });
            of_log.map_err(|detail| problems.note(format!("{place}.keys"), detail)).ok()
        };
        let keys = table.keys.iter().filter_map(key).collect();
        if logs.insert(table.name.clone(), keys).is_some() {
            let detail = format!("found \"{}\" twice; expected one table per log", table.name);
            problems.note(format!("{place}.name"), detail);
        }
    }
    logs
}
