//! A lock file of ours against a second daemon on the same ledger.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::OpenError;

/// Held as long as the value lives; the system releases it when the process dies.
pub(super) struct Lock(#[allow(dead_code, reason = "kept open: closing releases the lock")] File);

impl Lock {
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        let mut options = File::options();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(path).map_err(io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::Locked(path.to_owned())),
            Err(refused) => Err(io(refused.into())),
        }
    }
}
