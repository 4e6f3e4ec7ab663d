//! The deployment file: where the daemon listens, which tokens hold which keys, where it keeps its
//! state. Every key is documented in `hsm-config/softhsm.toml`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::domain::key::{KeyId, Kid};
use crate::domain::time::Duration;

use super::{ConfigError, Problems, parse, read};

/// Most sessions that may be opened on one token.
const SESSIONS_MAX: usize = 64;
/// Most signatures that may wait for one token.
const QUEUE_MAX: usize = 65_536;
/// Most connections that one listener may hold.
const CONNECTIONS_MAX: usize = 65_536;

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
    /// RFC 7638 thumbprint of the public key: the pin. Absent until the key is generated.
    pub thumbprint: Option<Kid>,
    /// Whether `CKA_DECRYPT` may be true (some modules report it for every key).
    pub waive_decrypt: bool,
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
        problems.or_else(path, Some(checked))
    }

    /// The ledger's file.
    pub fn ledger(&self) -> PathBuf {
        self.state_dir.join("ledger.sqlite3")
    }
}

mod file {
    //! The file as it is written.

    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Deployment {
        issuer: String,
        policy: PathBuf,
        state_dir: PathBuf,
        gateway: Gateway,
        public: Public,
        operations: Operations,
        tokens: BTreeMap<String, Token>,
        keys: BTreeMap<String, Key>,
        #[serde(default)]
        log: Log,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Gateway {
        listen: SocketAddr,
        certificate: PathBuf,
        private_key: PathBuf,
        client_ca: PathBuf,
        client_revocations: Option<PathBuf>,
        connections_max: Option<usize>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Public {
        listen: SocketAddr,
        certificate: PathBuf,
        private_key: PathBuf,
        connections_max: Option<usize>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Operations {
        listen: SocketAddr,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Token {
        module: PathBuf,
        label: String,
        serial: Option<String>,
        pin_file: Option<PathBuf>,
        pin_credential: Option<String>,
        #[serde(default)]
        pin_prompt: bool,
        sessions: Option<usize>,
        queue: Option<usize>,
        deadline: Option<String>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Key {
        token: String,
        label: String,
        id: String,
        algorithm: String,
        thumbprint: Option<String>,
        #[serde(default)]
        waive: Vec<String>,
    }

    #[derive(Deserialize, Default)]
    #[serde(deny_unknown_fields)]
    struct Log {
        level: Option<String>,
        format: Option<String>,
    }

    impl Deployment {
        pub(super) fn check(self, base: &Path, problems: &mut Problems) -> super::Deployment {
            if !self.issuer.starts_with("https://") || self.issuer.len() > 200 {
                problems.note("issuer", "expected an https URL of at most 200 characters");
            }
            if !self.operations.listen.ip().is_loopback() {
                let found = self.operations.listen;
                problems.note(
                    "operations.listen",
                    format!("found {found}; it is not authenticated, so expected 127.0.0.1 or ::1"),
                );
            }
            let tokens: BTreeMap<_, _> = self
                .tokens
                .into_iter()
                .map(|(name, token)| {
                    let checked = token.check(&name, base, problems);
                    (name, checked)
                })
                .collect();
            let keys: BTreeMap<_, _> = self
                .keys
                .into_iter()
                .filter_map(|(name, key)| {
                    let place = format!("keys.{name}");
                    let id = problems.keep(KeyId::parse(&place, &name))?;
                    Some((id, key.check(&place, &tokens, problems)))
                })
                .collect();
            same_object_twice(&keys, problems);
            super::Deployment {
                issuer: self.issuer,
                policy: base.join(self.policy),
                state_dir: base.join(self.state_dir),
                gateway: self.gateway.check(base, problems),
                public: self.public.check(base, problems),
                operations: super::Operations { listen: self.operations.listen },
                tokens,
                keys,
                log: self.log.check(problems),
            }
        }
    }

    fn same_object_twice(keys: &BTreeMap<KeyId, KeyBinding>, problems: &mut Problems) {
        for (id, key) in keys {
            let twin = keys.iter().find(|(other, k)| {
                *other < id && (&k.token, &k.object_id) == (&key.token, &key.object_id)
            });
            if let Some((other, _)) = twin {
                let detail = format!("names the same object as keys.{other}; one key, one purpose");
                problems.note(format!("keys.{id}"), detail);
            }
        }
    }

    fn bounded(
        place: &str,
        found: Option<usize>,
        default: usize,
        most: usize,
        problems: &mut Problems,
    ) -> usize {
        let value = found.unwrap_or(default);
        if value == 0 || value > most {
            problems.note(place, format!("found {value}; expected 1 to {most}"));
        }
        value
    }

    impl Gateway {
        fn check(self, base: &Path, problems: &mut Problems) -> super::Gateway {
            let place = "gateway.connections_max";
            super::Gateway {
                listen: self.listen,
                identity: super::TlsIdentity {
                    certificate: base.join(self.certificate),
                    private_key: base.join(self.private_key),
                },
                client_ca: base.join(self.client_ca),
                client_revocations: self.client_revocations.map(|path| base.join(path)),
                connections_max: bounded(
                    place,
                    self.connections_max,
                    1024,
                    CONNECTIONS_MAX,
                    problems,
                ),
            }
        }
    }

    impl Public {
        fn check(self, base: &Path, problems: &mut Problems) -> super::Public {
            let place = "public.connections_max";
            super::Public {
                listen: self.listen,
                identity: super::TlsIdentity {
                    certificate: base.join(self.certificate),
                    private_key: base.join(self.private_key),
                },
                connections_max: bounded(
                    place,
                    self.connections_max,
                    256,
                    CONNECTIONS_MAX,
                    problems,
                ),
            }
        }
    }

    impl Token {
        fn check(self, name: &str, base: &Path, problems: &mut Problems) -> TokenSettings {
            let place = |key: &str| format!("tokens.{name}.{key}");
            let plain = !name.is_empty()
                && name.len() <= 32
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            if !plain {
                let detail = "expected a name of 1 to 32 lower-case letters, digits and hyphens";
                problems.note(format!("tokens.{name}"), detail);
            }
            let deadline = self.deadline.as_deref().unwrap_or("5s");
            let deadline = problems.keep(Duration::parse(&place("deadline"), deadline));
            TokenSettings {
                module: base.join(&self.module),
                sessions: bounded(&place("sessions"), self.sessions, 1, SESSIONS_MAX, problems),
                queue: bounded(&place("queue"), self.queue, 1024, QUEUE_MAX, problems),
                deadline: deadline.unwrap_or(Duration::from_seconds(5)),
                pin: self.pin(&place("pin_file"), base, problems),
                label: self.label,
                serial: self.serial,
            }
        }

        fn pin(&self, place: &str, base: &Path, problems: &mut Problems) -> PinLocation {
            match (&self.pin_file, &self.pin_credential, self.pin_prompt) {
                (Some(path), None, false) => PinLocation::File(base.join(path)),
                (None, Some(name), false) if !name.is_empty() && !name.contains('/') => {
                    PinLocation::Credential(name.clone())
                }
                (None, None, true) => PinLocation::Prompt,
                _ => {
                    let detail = "expected exactly one of pin_file = \"path\", \
                                  pin_credential = \"name\" and pin_prompt = true";
                    problems.note(place, detail);
                    PinLocation::Prompt
                }
            }
        }
    }

    impl Key {
        fn check(
            self,
            place: &str,
            tokens: &BTreeMap<String, TokenSettings>,
            problems: &mut Problems,
        ) -> KeyBinding {
            if !tokens.contains_key(&self.token) {
                let known: Vec<&str> = tokens.keys().map(String::as_str).collect();
                let detail = format!("found \"{}\"; expected one of {known:?}", self.token);
                problems.note(format!("{place}.token"), detail);
            }
            if self.algorithm != "ES256" {
                let detail = format!("found \"{}\"; expected \"ES256\"", self.algorithm);
                problems.note(format!("{place}.algorithm"), detail);
            }
            for waived in self.waive.iter().filter(|attribute| *attribute != "decrypt") {
                let detail =
                    format!("found \"{waived}\"; only \"decrypt\" can be waived, nothing else");
                problems.note(format!("{place}.waive"), detail);
            }
            let thumbprint = self.thumbprint.as_deref().and_then(|text| {
                problems.keep(Kid::parse(&format!("{place}.thumbprint"), text))
            });
            let object_id = hexadecimal(&self.id);
            if object_id.as_ref().is_none_or(|id| id.is_empty() || id.len() > 32) {
                let detail = format!("found \"{}\"; expected CKA_ID as hexadecimal", self.id);
                problems.note(format!("{place}.id"), detail);
            }
            KeyBinding {
                token: self.token,
                label: self.label,
                object_id: object_id.unwrap_or_default(),
                thumbprint,
                waive_decrypt: self.waive.iter().any(|attribute| attribute == "decrypt"),
            }
        }
    }

    fn hexadecimal(text: &str) -> Option<Vec<u8>> {
        let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
        digits?
            .chunks(2)
            .map(|pair| match pair {
                [high, low] => u8::try_from(high * 16 + low).ok(),
                _ => None,
            })
            .collect()
    }

    impl Log {
        fn check(self, problems: &mut Problems) -> super::Log {
            let level = self.level.as_deref().unwrap_or("info");
            let parsed = level.parse().unwrap_or_else(|_| {
                let detail =
                    format!("found \"{level}\"; expected error, warn, info, debug or trace");
                problems.note("log.level", detail);
                tracing::Level::INFO
            });
            let format = self.format.as_deref().unwrap_or("text");
            if !matches!(format, "text" | "json") {
                problems.note("log.format", format!("found \"{format}\"; expected text or json"));
            }
            super::Log { level: parsed, json: format == "json" }
        }
    }
}
