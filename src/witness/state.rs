//! What a witness remembers: one file with the newest checkpoint of each log, replaced as a whole.
//!
//! A new file is written, synced, renamed over the old one, and the directory synced: after a crash
//! there is the one or the other. It is made once, by `countersign witness init`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::log::note::VerifierKey;

/// Schema of the file, its first version.
const STATE_SCHEMA: &str = "countersign/witness/1";
/// The file.
const FILE: &str = "seen";
/// The file while it is being written.
const DRAFT: &str = "seen.draft";
/// Held while a witness is at work.
const LOCK: &str = "lock";

/// Why a state cannot be used. Nothing is repaired.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// There is none.
    #[error(
        "there is no state at {}; `countersign witness init` makes one with a new key. If it was \
         lost, its key must not cosign any more: a witness that forgot would vouch for a fork",
        .0.display()
    )]
    Missing(PathBuf),
    /// There is one already.
    #[error("there is a state at {} already; nothing ever overwrites one", .0.display())]
    Exists(PathBuf),
    /// Another witness has it.
    #[error("another witness holds {}; stop it first", .0.display())]
    Locked(PathBuf),
    /// The file is not what was written.
    #[error(
        "{} is not as a witness wrote it: {found}; it must not cosign any more", path.display()
    )]
    Torn {
        /// The file.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// It belongs to another witness.
    #[error(
        "the state is that of the witness {recorded}; the configuration has {configured}: put the \
         name and key back that belong to it, or make a new witness"
    )]
    OtherWitness {
        /// Key in the state.
        recorded: String,
        /// Key of the configuration and the token.
        configured: String,
    },
    /// A head that is not what was signed.
    #[error("the head of the log {origin} in the state is not one that was cosigned: {reason}")]
    Unlike {
        /// The log.
        origin: String,
        /// What does not fit.
        reason: String,
    },
    /// The file system failed.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An earlier writing failed so that nobody knows which file is there.
    #[error("{0}; start the witness again when the disk is well")]
    Unknown(String),
    /// The thread that wrote has gone.
    #[error("a writing was broken off inside; start the witness again")]
    Interrupted,
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    schema: String,
    witness: String,
    logs: BTreeMap<String, String>,
}

/// What is remembered, in memory as in the file.
#[derive(Debug)]
pub struct State {
    directory: PathBuf,
    witness: String,
    logs: BTreeMap<String, String>,
    unknown: Option<String>,
    _lock: File,
}

impl State {
    /// Sees to it that there is a directory, and no state in it.
    ///
    /// # Errors
    /// [`StateError::Exists`] or [`StateError::Io`].
    pub fn make_place(directory: &Path) -> Result<(), StateError> {
        let io = |source| StateError::Io { path: directory.to_owned(), source };
        if !directory.exists() {
            fs::DirBuilder::new().mode(0o700).create(directory).map_err(io)?;
        }
        let file = directory.join(FILE);
        if file.exists() { Err(StateError::Exists(file)) } else { Ok(()) }
    }

    /// Makes an empty one, durable when this returns, and its directory if it is not there.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn create(directory: &Path, witness: &VerifierKey) -> Result<(), StateError> {
        Self::make_place(directory)?;
        let mut state = Self {
            directory: directory.to_owned(),
            witness: witness.to_string(),
            logs: BTreeMap::new(),
            unknown: None,
            _lock: lock(directory)?,
        };
        state.replace(BTreeMap::new())
    }

    /// Opens the state of this witness, and keeps others out of it.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn open(directory: &Path, witness: &VerifierKey) -> Result<Self, StateError> {
        let path = directory.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(_) => {
                let lock = lock(directory)?;
                // Read again: nobody else writes now.
                fs::read(&path).map(|bytes| (bytes, lock))
            }
            Err(source) => Err(source),
        };
        let (bytes, lock) = bytes.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => StateError::Missing(path.clone()),
            _ => StateError::Io { path: path.clone(), source },
        })?;
        let torn = |found: &str| StateError::Torn { path: path.clone(), found: found.to_owned() };
        let text = String::from_utf8(bytes).map_err(|_| torn("it is not UTF-8"))?;
        let parts = text.strip_suffix('\n').and_then(|text| text.split_once('\n'));
        let (json, told) = parts.ok_or_else(|| torn("it has not two lines"))?;
        if told != digest(json) {
            return Err(torn("its digest is that of something else"));
        }
        let written: Written =
            serde_json::from_str(json).map_err(|refused| torn(&refused.to_string()))?;
        if written.schema != STATE_SCHEMA {
            return Err(torn(&format!("schema {}; expected {STATE_SCHEMA}", written.schema)));
        }
        if written.witness != witness.to_string() {
            let (recorded, configured) = (written.witness, witness.to_string());
            return Err(StateError::OtherWitness { recorded, configured });
        }
        let (directory, witness) = (directory.to_owned(), written.witness);
        Ok(Self { directory, witness, logs: written.logs, unknown: None, _lock: lock })
    }

    /// Every log that was ever cosigned, with its newest note.
    pub fn notes(&self) -> impl Iterator<Item = (&String, &String)> {
        self.logs.iter()
    }

    /// The newest note of a log.
    pub fn note(&self, origin: &str) -> Option<&str> {
        self.logs.get(origin).map(String::as_str)
    }

    /// Why nothing can be remembered until the next start.
    pub fn trouble(&self) -> Option<&str> {
        self.unknown.as_deref()
    }

    /// Remembers the newest note of a log; durable when this returns. After an error the old one
    /// still holds, in memory and, as far as anybody knows, in the file.
    ///
    /// # Errors
    /// [`StateError::Io`], and [`StateError::Unknown`] for good once it is not known which file is
    /// there.
    pub fn put(&mut self, origin: &str, note: String) -> Result<(), StateError> {
        if let Some(unknown) = &self.unknown {
            return Err(StateError::Unknown(unknown.clone()));
        }
        let mut logs = self.logs.clone();
        logs.insert(origin.to_owned(), note);
        self.replace(logs)
    }

    fn replace(&mut self, logs: BTreeMap<String, String>) -> Result<(), StateError> {
        let (draft, file) = (self.directory.join(DRAFT), self.directory.join(FILE));
        let written = Written {
            schema: STATE_SCHEMA.to_owned(),
            witness: self.witness.clone(),
            logs: logs.clone(),
        };
        let text = serde_json::to_string(&written)
            .map_err(|refused| StateError::Io { path: file.clone(), source: refused.into() })?;
        // A file of its own for each writing: nothing is built on a sync that failed.
        drop(fs::remove_file(&draft));
        let write = || -> io::Result<()> {
            let mut options = File::options();
            let mut made = options.create_new(true).write(true).mode(0o600).open(&draft)?;
            made.write_all(format!("{text}\n{}\n", digest(&text)).as_bytes())?;
            made.sync_all()
        };
        write().map_err(|source| StateError::Io { path: draft.clone(), source })?;
        let sync = |directory: &Path| File::open(directory).and_then(|opened| opened.sync_all());
        let placed = fs::rename(&draft, &file).and_then(|()| sync(&self.directory));
        if let Err(source) = placed {
            let refused = StateError::Io { path: file, source };
            self.unknown = Some(refused.to_string());
            return Err(refused);
        }
        self.logs = logs;
        Ok(())
    }
}

fn digest(json: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(json))
}

/// Held as long as the file is open; the system releases it when the process dies.
fn lock(directory: &Path) -> Result<File, StateError> {
    let path = directory.join(LOCK);
    let io = |source| StateError::Io { path: path.clone(), source };
    let mut options = File::options();
    options.create(true).truncate(false).write(true).mode(0o600);
    let file = options.open(&path).map_err(io)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StateError::Locked(path)),
        Err(refused) => Err(io(refused.into())),
    }
}

#[cfg(test)]
mod tests;
