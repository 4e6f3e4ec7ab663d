//! PINs that are read and PINs that are refused.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn file(directory: &Path, name: &str, content: &[u8], mode: u32) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn a_pin_file_of_ours_is_read_without_its_newline() {
    let directory = tempfile::tempdir().unwrap();
    let longest = vec![b'9'; PIN_BYTES_MAX];
    for (content, mode, expected) in [
        (b"123456\n".as_slice(), 0o600, b"123456".as_slice()),
        (b"123456", 0o400, b"123456"),
        (b" 1 2 ", 0o600, b" 1 2 "),
        ("pín\n".as_bytes(), 0o600, "pín".as_bytes()),
        (&longest, 0o600, &longest),
    ] {
        let path = file(directory.path(), "pin", content, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let pin = PinSource::File(path.clone()).read("gold").unwrap();
        assert_eq!(pin.as_bytes(), expected);
        assert_eq!(format!("{pin:?}"), "Pin(redacted)");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_pin_file_that_is_open_to_others_or_no_pin_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let too_long = vec![b'9'; PIN_BYTES_MAX + 1];
    for (content, mode, told) in [
        (b"123456\n".as_slice(), 0o640, "of mode 0640; expected mode 0600 or 0400"),
        (b"123456\n", 0o604, "of mode 0604"),
        (b"123456\n", 0o620, "of mode 0620"),
        (b"", 0o600, "it is empty"),
        (b"\n", 0o600, "it is empty"),
        (b"123456\r\n", 0o600, "a line break or another control character"),
        (b"123456\n\n", 0o600, "a line break or another control character"),
        (b"123\n456\n", 0o600, "a line break or another control character"),
        (&too_long, 0o600, "longer than 255 bytes"),
    ] {
        let path = file(directory.path(), "pin", content, mode);
        let refused = PinSource::File(path).read("gold").unwrap_err();
        let (message, debug) = (refused.to_string(), format!("{refused:?}"));
        assert!(message.contains(told), "{message}");
        assert!(!message.contains("123") && !debug.contains("123"), "{message} {debug}");
        assert!(!refused.waits_for_a_person());
    }
}

#[test]
fn what_is_not_a_regular_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let target = file(directory.path(), "target", b"123456", 0o600);
    let link = directory.path().join("link");
    symlink(target, &link).unwrap();
    for (path, told) in [
        (link, "a symbolic link"),
        (directory.path().to_owned(), "not a regular file"),
        (directory.path().join("absent"), "No such file"),
        (PathBuf::from("/dev/null"), "not a regular file"),
    ] {
        let refused = PinSource::File(path).read("gold").unwrap_err().to_string();
        assert!(refused.contains(told), "{refused}");
    }
}

#[test]
fn a_pipe_is_refused_without_waiting_for_a_writer() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status();
    assert!(made.unwrap().success());
    let refused = PinSource::File(pipe).read("gold").unwrap_err().to_string();
    assert!(refused.contains("not a regular file"), "{refused}");
}

#[test]
fn a_foreign_file_is_refused() {
    if !rustix::process::geteuid().is_root() {
        // Only root can give a file away; then a file of root's serves.
        let refused = read_file(Path::new("/etc/hostname"), Owner::Us).unwrap_err().to_string();
        assert!(refused.contains("owned by user 0"), "{refused}");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), "pin", b"123456", 0o600);
    std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
    for owner in [Owner::Us, Owner::System] {
        let refused = read_file(&path, owner).unwrap_err().to_string();
        assert!(refused.contains("owned by user 65534"), "{refused}");
    }
}

#[test]
fn a_credential_is_a_plain_name_in_the_directory_of_systemd() {
    let directory = tempfile::tempdir().unwrap();
    // As systemd leaves it with an ACL for the service's user.
    let path = file(directory.path(), "pin", b"123456\n", 0o440);
    let given = Some(directory.path().as_os_str().to_owned());
    assert_eq!(credential(given.clone(), "pin").unwrap(), path);
    assert_eq!(read_file(&path, Owner::System).unwrap().as_bytes(), b"123456");
    let readable_by_all = file(directory.path(), "open", b"123456\n", 0o444);
    assert!(read_file(&readable_by_all, Owner::System).is_err());
    for name in ["", ".", "..", "../pin", "/etc/passwd", "a/b"] {
        let refused = credential(given.clone(), name).unwrap_err().to_string();
        assert!(refused.contains("expected a plain name"), "{refused}");
    }
    let refused = credential(None, "pin").unwrap_err().to_string();
    assert!(refused.contains("CREDENTIALS_DIRECTORY is not set"), "{refused}");
}

#[test]
fn a_marker_stops_attempts_until_it_is_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let marker = Marker::new(directory.path(), "gold");
    marker.check().unwrap();
    marker.write().unwrap();
    let refused = marker.check().unwrap_err();
    let told = refused.to_string();
    let path = directory.path().join("pin-refused-gold");
    assert!(refused.waits_for_a_person());
    assert!(told.contains("token gold refused the PIN at 20"), "{told}");
    assert!(told.contains(path.to_str().unwrap()) && told.contains("delete"), "{told}");
    Marker::new(directory.path(), "silver").check().unwrap();
    std::fs::remove_file(&path).unwrap();
    marker.check().unwrap();
    symlink("/nowhere", &path).unwrap();
    assert!(marker.check().is_err(), "whatever has that name stops the attempt");
}

#[test]
fn without_a_place_for_the_marker_no_attempt_is_made() {
    let marker = Marker::new(Path::new("/nowhere"), "gold");
    let refused = marker.check().unwrap_err();
    assert!(refused.to_string().contains("no attempt is made"), "{refused}");
    assert!(!refused.waits_for_a_person());
    assert!(marker.write().is_err());
}
