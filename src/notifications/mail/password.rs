//! The password of the mail server: one line of a file that is ours alone.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

/// Longest password, in bytes.
const PASSWORD_BYTES_MAX: u64 = 255;

/// Reads it. What is refused is told without what was read.
pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    // What is checked is what was opened: no link is followed, no pipe is waited for.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map(File::from);
    let file = file.map_err(|refused| {
        format!("{refused}; expected a file with the password, not a link to one")
    })?;
    let found = file.metadata().map_err(|refused| refused.to_string())?;
    if !found.is_file() || found.uid() != rustix::process::geteuid().as_raw() {
        return Err("expected a regular file of the user that the daemon runs as".to_owned());
    }
    if found.mode() & 0o077 != 0 {
        let mode = found.mode() & 0o7777;
        return Err(format!("found mode {mode:04o}; expected 0600 or 0400"));
    }
    let mut text = Zeroizing::new(String::new());
    let read = file.take(PASSWORD_BYTES_MAX.saturating_add(2)).read_to_string(&mut text);
    read.map_err(|refused| refused.to_string())?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let fits = u64::try_from(line.len()).is_ok_and(|length| length <= PASSWORD_BYTES_MAX);
    if line.is_empty() || !fits || line.chars().any(char::is_control) {
        return Err("expected one line of 1 to 255 bytes".to_owned());
    }
    Ok(Zeroizing::new(line.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_password_is_one_line_of_a_file_of_ours() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        let long = "x".repeat(256);
        for (content, mode, expected) in [
            ("secret\n", 0o600, Ok("secret")),
            ("secret", 0o400, Ok("secret")),
            ("secret\n", 0o640, Err("mode 0640")),
            ("secret\n", 0o604, Err("mode 0604")),
            ("", 0o600, Err("one line")),
            ("\n", 0o600, Err("one line")),
            ("a\nb\n", 0o600, Err("one line")),
            ("a\r\n", 0o600, Err("one line")),
            (&long, 0o600, Err("one line")),
        ] {
            drop(fs::remove_file(&path));
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            match (read(&path), expected) {
                (Ok(read), Ok(expected)) => assert_eq!(read.as_str(), expected),
                (Err(told), Err(expected)) => {
                    assert!(told.contains(expected) && !told.contains("secret"), "{told}");
                }
                (found, expected) => panic!("{content:?}: {found:?}, expected {expected:?}"),
            }
        }
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(read(&link).unwrap_err().contains("not a link"));
        assert!(read(directory.path()).unwrap_err().contains("regular file"));
    }
}
