//! The file as it is written.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::Problems;
use super::{PinLocation, TlsIdentity, TokenSettings};
use crate::domain::time::Duration;

pub(in crate::config) mod keys;
mod notifications;
mod witnesses;

/// Most sessions that may be opened on one token.
const SESSIONS_MAX: usize = 64;
/// Most signatures that may wait for one token.
const QUEUE_MAX: usize = 65_536;
/// Most connections that one listener may hold.
const CONNECTIONS_MAX: usize = 65_536;

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
    keys: BTreeMap<String, keys::Key>,
    audit: Option<keys::AuditTable>,
    #[serde(default)]
    witness: Vec<witnesses::Entry>,
    #[serde(default)]
    ledger: Ledger,
    #[serde(default)]
    notifications: notifications::NotificationsTable,
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
pub(in crate::config) struct Token {
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
    anchors: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Log {
    level: Option<String>,
    format: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Ledger {
    retention: Option<String>,
    archive_after: Option<String>,
}

impl Deployment {
    pub(super) fn check(self, base: &Path, problems: &mut Problems) -> Option<super::Deployment> {
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
        let keys = keys::check(self.keys, &tokens, problems);
        let audit = keys::check_audit(self.audit, &keys, problems);
        let notifications = self.notifications.check(&keys, base, problems);
        let gateway = self.gateway.check(base, problems);
        let public = self.public.check(base, problems);
        let witnesses = witnesses::check(self.witness, base, problems);
        let keeping = self.ledger.check(problems);
        let log = self.log.check(problems);
        Some(super::Deployment {
            issuer: self.issuer,
            policy: base.join(self.policy),
            state_dir: base.join(self.state_dir),
            gateway,
            public,
            operations: super::Operations { listen: self.operations.listen },
            tokens,
            keys,
            audit: audit?,
            witnesses,
            keeping,
            notifications,
            log,
        })
    }
}

pub(in crate::config) fn bounded(
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
            identity: TlsIdentity {
                certificate: base.join(self.certificate),
                private_key: base.join(self.private_key),
            },
            client_ca: base.join(self.client_ca),
            client_revocations: self.client_revocations.map(|path| base.join(path)),
            connections_max: bounded(place, self.connections_max, 1024, CONNECTIONS_MAX, problems),
        }
    }
}

impl Public {
    fn check(self, base: &Path, problems: &mut Problems) -> super::Public {
        let place = "public.connections_max";
        super::Public {
            listen: self.listen,
            identity: TlsIdentity {
                certificate: base.join(self.certificate),
                private_key: base.join(self.private_key),
            },
            connections_max: bounded(place, self.connections_max, 256, CONNECTIONS_MAX, problems),
        }
    }
}

impl Token {
    pub(in crate::config) fn check(
        self,
        name: &str,
        base: &Path,
        problems: &mut Problems,
    ) -> TokenSettings {
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
            queue: bounded(&place("queue"), self.queue, 256, QUEUE_MAX, problems),
            deadline: deadline.unwrap_or(Duration::from_seconds(5)),
            anchors: self.anchors.unwrap_or(true),
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

impl Ledger {
    fn check(self, problems: &mut Problems) -> super::Keeping {
        let mut read = |name: &str, text: Option<String>| {
            text.and_then(|text| problems.keep(Duration::parse(&format!("ledger.{name}"), &text)))
        };
        let retention = read("retention", self.retention);
        let archive_after = read("archive_after", self.archive_after);
        if let (Some(erased), Some(archived)) = (retention, archive_after)
            && archived >= erased
        {
            problems.note(
                "ledger.archive_after",
                format!(
                    "found {archived}, but payments are erased after {erased} (ledger.retention); \
                     expected less, or no archive_after: nothing would be left to archive"
                ),
            );
        }
        super::Keeping { retention, archive_after }
    }
}

impl Log {
    pub(in crate::config) fn check(self, problems: &mut Problems) -> super::Log {
        let level = self.level.as_deref().unwrap_or("info");
        let parsed = level.parse().unwrap_or_else(|_| {
            let detail = format!("found \"{level}\"; expected error, warn, info, debug or trace");
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
