//! The wrong-PIN marker: a file that outlives the process, so that a service which is started
//! again and again tries a wrong PIN once and not until the token is locked.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rustix::fs::Access;

use crate::domain::time::Timestamp;

use super::PinError;

/// The marker of one token: `pin-refused-<token>` in the state directory.
#[derive(Debug, Clone)]
pub struct Marker {
    token: String,
    directory: PathBuf,
}

impl Marker {
    /// The marker of `token` in `state_dir`; nothing is read or written yet.
    pub fn new(state_dir: &Path, token: &str) -> Self {
        Self { token: token.to_owned(), directory: state_dir.to_owned() }
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.directory.join(format!("pin-refused-{}", self.token))
    }

    /// Refuses if the file exists, or if it could not be written should the attempt fail. Called
    /// before every `C_Login`.
    ///
    /// # Errors
    /// [`PinError::RefusedBefore`], [`PinError::MarkerDirectory`].
    pub fn check(&self) -> Result<(), PinError> {
        // A dangling link is a marker too: whatever has that name stops the attempt.
        match std::fs::symlink_metadata(self.path()) {
            Ok(found) => Err(PinError::RefusedBefore {
                token: self.token.clone(),
                since: found.modified().map(told).unwrap_or_else(|_| "an unknown time".to_owned()),
                marker: self.path(),
            }),
            Err(absent) if absent.kind() == std::io::ErrorKind::NotFound => {
                let usable = Access::WRITE_OK | Access::EXEC_OK;
                rustix::fs::access(&self.directory, usable)
                    .map_err(|refused| self.unusable(refused.into()))
            }
            Err(refused) => Err(self.unusable(refused)),
        }
    }

    /// Writes the file durably: content and name are synced before this returns.
    ///
    /// # Errors
    /// [`PinError::MarkerDirectory`].
    pub fn write(&self) -> Result<(), PinError> {
        self.write_synced().map_err(|refused| self.unusable(refused))
    }

    fn write_synced(&self) -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(self.path())?;
        let text = format!(
            "Token {} refused its PIN. Correct the PIN source, then delete this file.\n",
            self.token
        );
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        File::open(&self.directory)?.sync_all()
    }

    fn unusable(&self, source: std::io::Error) -> PinError {
        PinError::MarkerDirectory { directory: self.directory.clone(), source }
    }
}

fn told(modified: std::time::SystemTime) -> String {
    let since_epoch = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    let ms = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_unix_ms(ms).to_string()
}
