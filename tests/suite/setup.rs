//! Making an installation and looking it over: `softhsm-setup.sh` on SoftHSM, `countersign init`,
//! the files in `hsm-config/` that installations start from, and `countersign doctor`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::support::installation::{COUNTERSIGN, PIN, fingerprint};
use crate::support::{Installation, payment};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/softhsm-setup.sh");
const TEMPLATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/hsm-config");
const DEPLOYMENT: &str = "countersign.toml";
const LEDGER: &str = "state/ledger.sqlite3";

/// What the script makes, by mode; `*` is a directory of SoftHSM's choice.
const MADE: &[(u32, &[&str])] = &[
    (0o700, &["", "state", "tls", "tokens"]),
    (0o600, &["so-pin", "user-pin"]),
    (0o600, &["softhsm2.conf", "policy.toml", "countersign.toml"]),
    (0o600, &["client.toml", "client-batch.toml"]),
    (0o600, &["tls/ca.key", "tls/server.key", "tls/shop.key", "tls/batch.key"]),
    (0o600, &["tls/ca.pem", "tls/server.pem", "tls/shop.pem", "tls/batch.pem"]),
    (0o600, &["tls/openssl.cnf", "tls/index.txt", "tls/crlnumber", "tls/clients.crl.pem"]),
    (0o600, &[LEDGER]),
];

/// A directory that `softhsm-setup.sh` works in.
struct Place {
    scratch: tempfile::TempDir,
}

impl Place {
    /// A name for a directory that is not there yet.
    fn new() -> Self {
        let scratch = tempfile::Builder::new().prefix("csgn set up").tempdir();
        Self { scratch: scratch.unwrap() }
    }

    /// One in which the script has been.
    fn set_up() -> Self {
        let place = Self::new();
        place.must();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join("run").join(name)
    }

    fn text(&self, name: &str) -> String {
        let path = self.path(name);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    fn edit(&self, name: &str, old: &str, new: &str) {
        let text = self.text(name);
        assert!(text.contains(old), "{name} has no {old}");
        fs::write(self.path(name), text.replace(old, new)).unwrap();
    }

    /// Runs the script; it never tells a PIN.
    fn run(&self) -> (Output, String) {
        let mut command = Command::new(SCRIPT);
        command.arg(self.path("")).env("COUNTERSIGN", COUNTERSIGN).env_remove("SOFTHSM_MODULE");
        let output = command.output().unwrap();
        let told = [output.stdout.clone(), output.stderr.clone()].concat();
        let told = String::from_utf8(told).unwrap();
        for pin in ["so-pin", "user-pin"] {
            if let Ok(pin) = fs::read_to_string(self.path(pin)) {
                assert!(!told.contains(pin.trim()), "a PIN is told: {told}");
            }
        }
        (output, told)
    }

    /// Runs the script, which must succeed; tells its lines that begin with `made` or `kept`.
    fn must(&self) -> Vec<String> {
        let (output, told) = self.run();
        assert!(output.status.success(), "{told}");
        assert!(told.contains("serve --config"), "it does not tell how to start: {told}");
        let lines =
            told.lines().filter(|line| line.starts_with("made") || line.starts_with("kept"));
        lines.map(str::to_owned).collect()
    }

    /// A command on this installation.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(COUNTERSIGN);
        command.args(arguments).env("SOFTHSM2_CONF", self.path("softhsm2.conf"));
        command.env("COUNTERSIGN_CONFIG", self.path("countersign.toml"));
        command.env("COUNTERSIGN_CLIENT", self.path("client.toml"));
        command
    }

    /// Everything in it. SoftHSM counts its own accesses, which is no change of ours.
    fn contents(&self) -> Vec<(PathBuf, u32, Vec<u8>)> {
        let mut found = fingerprint(&self.path(""));
        found.retain(|(path, ..)| !path.ends_with("generation"));
        found
    }

    fn mode(&self, name: &str) -> u32 {
        let path = self.path(name);
        let found = fs::metadata(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        found.permissions().mode() & 0o7777
    }
}

/// A daemon that ends with its test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn everything_is_in_place_and_closed_to_others() {
    let place = Place::new();
    let lines = place.must();
    assert!(lines.iter().all(|line| line.starts_with("made")), "{lines:?}");
    for (mode, names) in MADE {
        for name in *names {
            assert_eq!(place.mode(name), *mode, "{name}: {:o}", place.mode(name));
        }
    }
    for (path, mode, _) in place.contents() {
        assert_eq!(mode & 0o077, 0, "{} is open to others", path.display());
        assert!(path.extension().is_none_or(|end| end != "new"), "{} is left", path.display());
    }
    assert_ne!(place.text("so-pin"), place.text("user-pin"));
    let doctor = place.command(&["doctor"]).output().unwrap();
    let found = String::from_utf8(doctor.stdout).unwrap();
    assert!(doctor.status.success() && found.contains("everything is well"), "{found}");
}

#[test]
fn a_second_run_keeps_everything_as_it_is() {
    let place = Place::set_up();
    let before = place.contents();
    let lines = place.must();
    assert!(lines.iter().all(|line| line.starts_with("kept")), "{lines:?}");
    let after = place.contents();
    let changed: Vec<_> =
        after.iter().filter(|file| !before.contains(file)).map(|f| &f.0).collect();
    assert!(after == before, "changed: {changed:?}");
}

#[test]
fn what_was_deleted_and_can_be_made_again_is_and_nothing_else() {
    let place = Place::set_up();
    let before = place.contents();
    for name in ["client.toml", "policy.toml", "tls/clients.crl.pem"] {
        fs::remove_file(place.path(name)).unwrap();
        let lines = place.must();
        let made: Vec<_> = lines.iter().filter(|line| line.starts_with("made")).collect();
        assert_eq!(made, [&format!("made  {name}")]);
    }
    let kept = |files: Vec<(PathBuf, u32, Vec<u8>)>| {
        let kept = files.into_iter().filter(|(path, ..)| !path.starts_with(place.path("tls")));
        kept.collect::<Vec<_>>()
    };
    assert!(kept(place.contents()) == kept(before), "token, ledger and configuration are kept");
}

#[test]
fn what_cannot_be_made_again_is_refused_and_nothing_is_touched() {
    let cases: &[(&str, &str)] = &[
        ("so-pin", "found the token directory tokens, but no so-pin"),
        ("user-pin", "found the token directory tokens, but no user-pin"),
        ("tokens", "found settlement-eur pinned in countersign.toml, but not the token directory"),
        (LEDGER, "found settlement-eur pinned in countersign.toml, but no ledger"),
        ("tls/server.key", "found tls/server.pem, but not its private key"),
    ];
    let place = Place::set_up();
    let before = place.contents();
    for (missing, told) in cases {
        let aside = place.scratch.path().join("aside");
        fs::rename(place.path(missing), &aside).unwrap();
        let (output, found) = place.run();
        assert_eq!(output.status.code(), Some(1), "without {missing}: {found}");
        assert!(found.contains(told) && found.contains("put"), "without {missing}: {found}");
        assert!(!place.path(missing).exists(), "{missing} was made again");
        fs::rename(&aside, place.path(missing)).unwrap();
    }
    assert!(place.contents() == before, "a refusal changed something");
    place.must();
}

#[test]
fn a_directory_that_is_not_ours_alone_is_refused() {
    let place = Place::new();
    fs::create_dir(place.path("")).unwrap();
    fs::set_permissions(place.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let (output, told) = place.run();
    assert!(output.status.code() == Some(1) && told.contains("mode 755"), "{told}");
    fs::set_permissions(place.path(""), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(place.path("letter"), "dear").unwrap();
    let (output, told) = place.run();
    assert!(output.status.code() == Some(1) && told.contains("in use for something"), "{told}");
    assert_eq!(fs::read_dir(place.path("")).unwrap().count(), 1, "nothing was put beside it");
}

#[test]
fn the_daemon_starts_from_it_and_signs_a_payment() {
    let place = Place::set_up();
    for port in ["8443", "8444", "9090"] {
        place.edit("countersign.toml", &format!("127.0.0.1:{port}"), "127.0.0.1:0");
    }
    let mut serve = place.command(&["serve", "--json"]);
    serve.stdout(Stdio::piped()).stderr(fs::File::create(place.path("log")).unwrap());
    let mut serving = Serving(serve.spawn().unwrap());
    let mut line = String::new();
    let stdout = serving.0.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap_or_default();
    let gateway = ready["ready"]["gateway"].as_str();
    let gateway = gateway.unwrap_or_else(|| panic!("not ready: {line}{}", place.text("log")));
    let (_, port) = gateway.rsplit_once(':').expect("a port");
    for (client, caller) in [("client.toml", "shop"), ("client-batch.toml", "batch")] {
        place.edit(client, "8443", port);
        let wanted = "pay --key settlement-eur --amount 12.34 --currency EUR --creditor-name Sol \
                      --iban ES9121000418450200051332 --json";
        let mut pay = place.command(&wanted.split_whitespace().collect::<Vec<_>>());
        pay.args(["--end-to-end-id", caller]).arg("--client").arg(place.path(client));
        let paid = pay.output().unwrap();
        let told = String::from_utf8([paid.stdout, paid.stderr].concat()).unwrap();
        let answer: Value = serde_json::from_str(&told).unwrap_or_default();
        assert_eq!(answer["state"], "signed", "as {caller}: {told}");
        assert!(place.text("countersign.toml").contains(answer["kid"].as_str().unwrap()), "{told}");
    }
    let log = place.text("log");
    assert!(!log.contains(place.text("user-pin").trim()), "the PIN is logged");
}

#[test]
fn every_template_of_a_deployment_is_understood() {
    let scratch = tempfile::tempdir().unwrap();
    for name in ["softhsm.toml", "pkcs11.toml"] {
        let copy = scratch.path().join(name);
        fs::copy(Path::new(TEMPLATES).join(name), &copy).unwrap();
        for arguments in [&["doctor", "--json"][..], &["keys", "list", "--json"]] {
            let mut command = Command::new(COUNTERSIGN);
            command.args(arguments).arg("--config").arg(&copy);
            let output = command.env_remove("SOFTHSM2_CONF").output().unwrap();
            let told = String::from_utf8(output.stdout).unwrap();
            // A file that is refused is an error; what is wrong with the machine is a finding.
            let found: Vec<Value> = serde_json::from_str(&told)
                .unwrap_or_else(|_| panic!("{name}, {arguments:?}: {told}"));
            if let Some(deployment) = found.iter().find(|found| found["what"] == "deployment") {
                assert_eq!(deployment["well"], true, "{name}: {deployment}");
            }
            assert!(told.contains("settlement-eur"), "{name}, {arguments:?}: {told}");
        }
    }
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 2, "looking leaves nothing behind");
}

#[test]
fn every_policy_and_every_preset_is_well() {
    let presets = fs::read_dir(Path::new(TEMPLATES).join("presets")).unwrap();
    let mut policies: Vec<PathBuf> = presets.map(|entry| entry.unwrap().path()).collect();
    assert!(!policies.is_empty(), "there is a preset");
    policies.push(Path::new(TEMPLATES).join("policy.toml"));
    for policy in policies {
        let output = Command::new(COUNTERSIGN).args(["policy", "check"]).arg(&policy).output();
        let output = output.unwrap();
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{}: {told}", policy.display());
        assert!(told.contains("settlement-eur: settlement in EUR"), "{told}");
    }
}

#[test]
fn init_never_overwrites_a_ledger() {
    let installation = Installation::new();
    let before = fingerprint(&installation.path(""));
    let again = installation.run(&["init"]);
    let told = String::from_utf8(again.stderr).unwrap();
    assert_eq!(again.status.code(), Some(1), "{told}");
    assert!(told.contains("already; nothing ever overwrites one"), "{told}");
    assert!(fingerprint(&installation.path("")) == before, "init changed something");
}

#[test]
fn init_makes_no_ledger_beside_the_log_of_a_lost_one() {
    let installation = Installation::new();
    let daemon = installation.start();
    let paid = installation.caller(&daemon, "shop").pay("k", &payment("1.00", "BEFORE"));
    assert_eq!(paid.status, 201, "{paid:?}");
    daemon.kill();
    fs::remove_file(installation.path(LEDGER)).unwrap();
    let before = fingerprint(&installation.path("state"));
    let output = installation.run(&["init"]);
    let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(1), "SQLite would replay the old log: {told}");
    assert!(told.contains("ledger.sqlite3-wal"), "{told}");
    assert!(fingerprint(&installation.path("state")) == before, "init changed something");
}

#[test]
fn init_makes_what_serve_then_takes() {
    let installation = Installation::new();
    fs::remove_dir_all(installation.path("state")).unwrap();
    let made: Value = serde_json::from_str(&installation.must(&["init", "--json"])).unwrap();
    let ledger = installation.path(LEDGER);
    assert_eq!(made["ledger"].as_str(), ledger.to_str(), "{made}");
    for (path, mode) in [(installation.path("state"), 0o700), (ledger, 0o600)] {
        let found = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(found, mode, "{}: {found:o}", path.display());
    }
    installation.start();
}

/// Lets the doctor look; tells what it says, which is never the PIN.
fn doctor(installation: &Installation, code: i32, told: &[&str]) {
    let output = installation.run(&["doctor"]);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{told:?}: {said}");
    assert!(!said.contains(PIN), "the PIN is told: {said}");
    for part in told {
        assert!(said.contains(part), "{part:?} is not told: {said}");
    }
}

#[test]
fn the_doctor_finds_everything_well_with_and_without_a_daemon() {
    let installation = Installation::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let operations = format!("[operations]\nlisten = \"{free}\"");
    installation.edit(DEPLOYMENT, "[operations]\nlisten = \"127.0.0.1:0\"", &operations);
    let idle = format!("none answers on {free}");
    doctor(&installation, 0, &["everything is well", &idle]);
    let daemon = installation.start();
    doctor(&installation, 0, &["everything is well", &format!("ready on {free}")]);
    let paid = installation.caller(&daemon, "shop").pay("k", &payment("1.00", "A"));
    assert_eq!(paid.status, 201, "{paid:?}");
    assert_eq!(daemon.stop(), Some(0));
    doctor(&installation, 0, &["everything is well", &idle]);
    installation.start();
}

#[test]
fn the_doctor_tells_what_is_wrong_and_repairs_nothing() {
    let cases: &[(fn(&Installation), &str, &[&str])] = &[
        (|i| fs::remove_file(i.path(LEDGER)).unwrap(), "ledger", &["`countersign init`"]),
        (|i| mode(i, "state", 0o755), "state directory", &["mode 755", "chmod 700"]),
        (|i| i.edit("policy.toml", "50.00", "0.00"), "policy", &["found zero"]),
        (|i| i.edit(DEPLOYMENT, "revoked", "no"), "client certificates", &["no.pem"]),
    ];
    for (spoil, what, told) in cases {
        let installation = Installation::new();
        spoil(&installation);
        let ledger = fs::read(installation.path(LEDGER)).ok();
        doctor(&installation, 1, &[told, &["one thing is wrong"][..]].concat());
        let found = installation.run(&["doctor", "--json"]);
        let found: Vec<Value> = serde_json::from_slice(&found.stdout).unwrap();
        let wrong: Vec<_> = found.iter().filter(|found| found["well"] != true).collect();
        assert!(wrong.len() == 1 && wrong[0]["what"] == *what, "expected {what}: {wrong:?}");
        assert!(fs::read(installation.path(LEDGER)).ok() == ledger, "{what}: the ledger changed");
    }
    let installation = Installation::new();
    mode(&installation, "user-pin", 0o644);
    let told = ["key audit", "key settlement-eur", "mode 0644; expected mode 0600", "2 things are"];
    doctor(&installation, 1, &told);
    let installation = Installation::new();
    installation.edit(DEPLOYMENT, "thumbprint = \"", "# thumbprint = \"");
    let deployment = fs::read_to_string(installation.config()).unwrap();
    let (_, key) = deployment.split_once("# thumbprint = ").expect("a thumbprint");
    let pin = format!("put thumbprint = {}", key.lines().next().unwrap_or_default());
    let told = ["keys.settlement-eur.thumbprint: missing", "is not pinned", &pin, "2 things are"];
    doctor(&installation, 1, &told);
}

fn mode(installation: &Installation, name: &str, mode: u32) {
    fs::set_permissions(installation.path(name), fs::Permissions::from_mode(mode)).unwrap();
}
