//! PINs as a type: where they come from, and the marker that keeps a wrong one from being tried
//! again.
//!
//! A PIN never comes from the command line or the environment, never appears in a message, and is
//! wiped when it is dropped. This module does not log in; it knows nothing about PKCS#11.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

mod marker;
#[cfg(test)]
mod tests;

pub use marker::Marker;

/// Longest PIN, in bytes.
const PIN_BYTES_MAX: usize = 255;

/// A PIN in memory: redacted, wiped on drop, not cloneable.
pub struct Pin(Zeroizing<Vec<u8>>);

impl Pin {
    /// Takes the bytes of a PIN, without a trailing newline.
    fn from_line(line: &[u8], origin: &str) -> Result<Self, PinError> {
        let pin = line.strip_suffix(b"\n").unwrap_or(line);
        let refuse = |detail| Err(PinError::Content { origin: origin.to_owned(), detail });
        if pin.is_empty() {
            return refuse("it is empty");
        }
        if pin.len() > PIN_BYTES_MAX {
            return refuse("it is longer than 255 bytes");
        }
        // A carriage return or a second line would be sent to the token and cost an attempt.
        if pin.iter().any(u8::is_ascii_control) {
            return refuse("it contains a line break or another control character");
        }
        Ok(Self(Zeroizing::new(pin.to_vec())))
    }

    /// The bytes, for `C_Login` alone.
    pub(in crate::hsm) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(redacted)")
    }
}

/// Where a PIN comes from. It is read when it is needed and forgotten after the login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinSource {
    /// A file of ours with mode 0600 or 0400.
    File(PathBuf),
    /// A systemd credential (`LoadCredential=`, `LoadCredentialEncrypted=`), by name.
    Credential(String),
    /// Asked for on the terminal.
    Prompt,
}

impl PinSource {
    /// Reads the PIN; `token` is named in the prompt.
    ///
    /// # Errors
    /// [`PinError`], which never repeats what was read.
    pub fn read(&self, token: &str) -> Result<Pin, PinError> {
        match self {
            Self::File(path) => read_file(path, Owner::Us),
            Self::Credential(name) => {
                let directory = std::env::var_os("CREDENTIALS_DIRECTORY");
                read_file(&credential(directory, name)?, Owner::System)
            }
            Self::Prompt => prompt(token),
        }
    }
}

/// Why a PIN was not read, or is not tried.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The source cannot be opened or read.
    #[error("cannot read the PIN from {origin}: {source}")]
    Unreadable {
        /// The file, or the terminal.
        origin: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not one that may hold a PIN.
    #[error("the PIN file {} is {found}; expected {expected}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What it must be.
        expected: &'static str,
    },
    /// What was read cannot be a PIN. It is not repeated here.
    #[error("the PIN from {origin} is not used: {detail}; expected one line of 1 to 255 bytes")]
    Content {
        /// The file, or the terminal.
        origin: String,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// There is no such credential.
    #[error("there is no systemd credential {name:?}: {detail}")]
    NoCredential {
        /// Its configured name.
        name: String,
        /// Why.
        detail: &'static str,
    },
    /// An earlier attempt was refused by the token, and nobody has been there since.
    #[error(
        "token {token} refused the PIN at {since}; no further attempt is made: correct the PIN \
         source, then delete {} and start again", marker.display()
    )]
    RefusedBefore {
        /// Name of the token.
        token: String,
        /// When.
        since: String,
        /// The file that says so.
        marker: PathBuf,
    },
    /// A refusal could not be written down, so no attempt is made.
    #[error(
        "cannot use {} to note a refused PIN: {source}; no attempt is made",
        directory.display()
    )]
    MarkerDirectory {
        /// The state directory.
        directory: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl PinError {
    /// Whether a person must act before it is tried again; a source that cannot be read may be
    /// read again at any time, since that costs no attempt.
    pub fn waits_for_a_person(&self) -> bool {
        matches!(self, Self::RefusedBefore { .. })
    }
}

/// Whose file it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Ours, and closed to everybody else.
    Us,
    /// Ours or root's. systemd leaves credentials with root and lets the service in by an ACL,
    /// whose mask `stat` shows as group bits; the directory keeps everybody else out.
    System,
}

fn read_file(path: &Path, owner: Owner) -> Result<Pin, PinError> {
    let unreadable = |source| PinError::Unreadable { origin: path.display().to_string(), source };
    // What is checked is what was opened: no link is followed, no pipe is waited for, and the
    // name is not looked at again.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(opened) => File::from(opened),
        Err(rustix::io::Errno::LOOP) => {
            return Err(PinError::File {
                path: path.to_owned(),
                found: "a symbolic link".to_owned(),
                expected: "the name of the file itself",
            });
        }
        Err(refused) => return Err(unreadable(refused.into())),
    };
    check_file(path, &file.metadata().map_err(unreadable)?, owner)?;
    // Two bytes more than a PIN may have: its newline, and one that tells that it is too long.
    let mut buffer = Zeroizing::new([0_u8; PIN_BYTES_MAX + 2]);
    let mut filled = 0;
    while let Some(free) = buffer.get_mut(filled..).filter(|free| !free.is_empty()) {
        match file.read(free) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(refused) if refused.kind() == ErrorKind::Interrupted => {}
            Err(refused) => return Err(unreadable(refused)),
        }
    }
    Pin::from_line(buffer.get(..filled).unwrap_or_default(), &path.display().to_string())
}

fn check_file(path: &Path, found: &std::fs::Metadata, owner: Owner) -> Result<(), PinError> {
    let refuse =
        |found: String, expected| Err(PinError::File { path: path.to_owned(), found, expected });
    if !found.is_file() {
        return refuse("not a regular file".to_owned(), "a regular file");
    }
    let us = rustix::process::geteuid().as_raw();
    if found.uid() != us && !(owner == Owner::System && found.uid() == 0) {
        let told = format!("owned by user {}", found.uid());
        return refuse(told, "a file owned by the user that the daemon runs as");
    }
    let closed_to_others = match owner {
        Owner::Us => 0o077,
        Owner::System => 0o037,
    };
    if found.mode() & closed_to_others != 0 {
        let told = format!("of mode {:04o}", found.mode() & 0o7777);
        return refuse(told, "mode 0600 or 0400");
    }
    Ok(())
}

fn credential(directory: Option<OsString>, name: &str) -> Result<PathBuf, PinError> {
    let refuse = |detail| PinError::NoCredential { name: name.to_owned(), detail };
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err(refuse("expected a plain name"));
    }
    let detail = "CREDENTIALS_DIRECTORY is not set; start the daemon with LoadCredential=";
    directory.map(|directory| Path::new(&directory).join(name)).ok_or_else(|| refuse(detail))
}

fn prompt(token: &str) -> Result<Pin, PinError> {
    let origin = "the terminal";
    let typed = rpassword::prompt_password(format!("PIN of token {token}: "))
        .map_err(|source| PinError::Unreadable { origin: origin.to_owned(), source })?;
    Pin::from_line(Zeroizing::new(typed).as_bytes(), origin)
}
