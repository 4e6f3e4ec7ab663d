//! Killed at every step of one payment: before and within each commit, and around `C_Sign`.
//!
//! strace delivers the signal as the daemon enters a system call on a certain file, so each step is
//! hit for certain and not by luck.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::{Daemon, Installation, eventually, payment};

/// strace, attached to every thread of a daemon.
struct Trap(Child);

impl Trap {
    /// Kills the daemon as it enters the `nth` call of this name on this file.
    fn set(daemon: &Daemon, call: &str, file: &Path, nth: u32) -> Self {
        let mut strace = Command::new("strace")
            .args(["-f", "-o", "/dev/null", "-e", &format!("trace={call}")])
            .args(["-e", &format!("inject={call}:signal=SIGKILL:when={nth}")])
            .arg("-P")
            .arg(file)
            .args(["-p", &daemon.id().to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace; `make deps` installs it");
        let told = BufReader::new(strace.stderr.take().unwrap());
        let attached = told.lines().map_while(Result::ok).any(|line| line.contains("attached"));
        assert!(attached, "strace did not attach");
        Self(strace)
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The file of the private key on the token: SoftHSM reads it for every signature.
fn key_object(installation: &Installation) -> Vec<PathBuf> {
    let token = std::fs::read_dir(installation.path("tokens")).unwrap().next().unwrap().unwrap();
    let files = std::fs::read_dir(token.path()).unwrap().map(|entry| entry.unwrap().path());
    let is_object = |path: &PathBuf| {
        path.extension().is_some_and(|kind| kind == "object") && !path.ends_with("token.object")
    };
    files.filter(is_object).collect()
}

#[test]
fn killed_at_every_step_of_a_payment_it_is_paid_once_and_never_lost() {
    let installation = Installation::new();
    let log = installation.path("state/ledger.sqlite3-wal");
    let mut steps: Vec<(&str, PathBuf, u32)> = Vec::new();
    // One sync is the commit that reserves, the other the one that posts; the writes before them
    // are the frames of the log, header and page.
    steps.extend((1..=2).map(|nth| ("fdatasync", log.clone(), nth)));
    steps.extend((1..=24).step_by(2).map(|nth| ("pwrite64", log.clone(), nth)));
    steps.extend(key_object(&installation).into_iter().map(|file| ("openat", file, 1)));
    let (mut paid, mut killed) = (0, 0);
    for (call, file, nth) in &steps {
        let daemon = installation.start();
        let shop = installation.caller(&daemon, "shop");
        let id = format!("{call}-{nth}-{paid}");
        let asked = payment("1.00", &id);
        let trap = Trap::set(&daemon, call, file, *nth);
        let first = shop.try_pay(&id, &asked);
        drop((trap, shop));
        killed += u32::from(first.is_err());
        daemon.kill();

        let daemon = installation.start();
        let shop = installation.caller(&daemon, "shop");
        let again = shop.pay(&id, &asked);
        assert_eq!(again.status, 201, "{call} {nth}: {again:?}");
        if let Ok(first) = first {
            assert_eq!(first, again, "{call} {nth}: what was answered is answered again");
        }
        assert_eq!(shop.pay(&id, &asked), again);
        paid += 1;
        let limits = || shop.get("/v1/keys/settlement-eur/limits").body["limits"][1].clone();
        eventually("nothing is pending", || limits()["pending"] == "0.00");
        assert_eq!(limits()["posted"], format!("{paid}.00"), "{call} {nth}: paid once");
        daemon.kill();
    }
    assert!(killed >= 12, "only {killed} of {} steps were hit", steps.len());
}
