//! A complete installation in a directory of its own: token, key, certificates, configuration,
//! ledger. Nothing is left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::{Authority, Caller, Daemon};

/// The binary under test.
pub(crate) const COUNTERSIGN: &str = env!("CARGO_BIN_EXE_countersign");
/// SoftHSM.
pub(crate) const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// The user PIN of every test token; odd enough to be searched for in log lines.
pub(crate) const PIN: &str = "73910426-pin-8835";

/// Limits that no test reaches by accident.
pub(crate) const WIDE: &str = r#"[
  { name = "single", window = "payment", amount = "50.00" },
  { name = "day", window = "24h", amount = "100000.00" },
]"#;

/// An installation.
pub(crate) struct Installation {
    directory: tempfile::TempDir,
    pub(crate) authority: Authority,
}

impl Installation {
    /// One with wide limits.
    pub(crate) fn new() -> Self {
        Self::with_limits(WIDE)
    }

    /// One whose key has these limits, as the policy writes them.
    pub(crate) fn with_limits(limits: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("csgn").tempdir().unwrap();
        let tls = directory.path().join("tls");
        fs::create_dir(&tls).unwrap();
        let authority = Authority::new(&tls, "authority");
        authority.server("server");
        for name in ["shop", "batch"] {
            authority.caller(name);
        }
        let installation = Self { directory, authority };
        installation.authority.revoke(&installation.path("tls/revoked.pem"), &[]);
        installation.write_configuration(limits);
        installation.make_token();
        installation.must(&["init"]);
        installation.make_key();
        installation
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("countersign.toml")
    }

    /// Changes a text of a file, which must be there.
    pub(crate) fn edit(&self, file: &str, old: &str, new: &str) {
        let path = self.path(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "{file} has no {old}");
        fs::write(&path, text.replacen(old, new, 1)).unwrap();
    }

    /// Runs one of our commands on this installation.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(COUNTERSIGN);
        command.args(arguments).envs(self.environment()).env_remove("CREDENTIALS_DIRECTORY");
        command.output().unwrap()
    }

    /// Runs a command that must succeed.
    pub(crate) fn must(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{arguments:?}: {told}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 3] {
        [
            ("SOFTHSM2_CONF", self.path("softhsm2.conf")),
            ("COUNTERSIGN_CONFIG", self.config()),
            ("COUNTERSIGN_CLIENT", self.path("client.toml")),
        ]
    }

    /// Starts the daemon and waits until it listens.
    pub(crate) fn start(&self) -> Daemon {
        Daemon::start(self)
    }

    /// A caller by the name of its certificate.
    pub(crate) fn caller(&self, daemon: &Daemon, name: &str) -> Caller {
        let files = super::Identity {
            certificate: self.path(&format!("tls/{name}.crt.pem")),
            private_key: self.path(&format!("tls/{name}.key.pem")),
            serial: Vec::new(),
        };
        Caller::new(&self.path("tls/authority.pem"), Some(&files), daemon.gateway)
    }

    /// Writes `client.toml` for our own commands.
    pub(crate) fn write_client(&self, daemon: &Daemon) {
        let text = format!(
            "url = \"https://localhost:{}\"\nserver_ca = \"tls/authority.pem\"\n\
             certificate = \"tls/shop.crt.pem\"\nprivate_key = \"tls/shop.key.pem\"\n",
            daemon.gateway.port()
        );
        fs::write(self.path("client.toml"), text).unwrap();
    }

    fn write_configuration(&self, limits: &str) {
        let deployment = format!(
            r#"issuer = "https://pay.test.example"
policy = "policy.toml"
state_dir = "state"

[gateway]
listen = "127.0.0.1:0"
certificate = "tls/server.crt.pem"
private_key = "tls/server.key.pem"
client_ca = "tls/authority.pem"
client_revocations = "tls/revoked.pem"

[public]
listen = "127.0.0.1:0"
certificate = "tls/server.crt.pem"
private_key = "tls/server.key.pem"

[operations]
listen = "127.0.0.1:0"

[tokens.softhsm]
module = "{MODULE}"
label = "countersign"
pin_file = "user-pin"

[keys.settlement-eur]
token = "softhsm"
label = "settlement-eur"
id = "01"
algorithm = "ES256"

[log]
level = "info"
"#
        );
        let policy = format!(
            r#"schema = "countersign/policy/1"
duplicate_window = "400d"

[callers.shop]
certificates = ["uri:spiffe://test.example/shop"]

[callers.batch]
certificates = ["uri:spiffe://test.example/batch"]

[keys.settlement-eur]
purpose = "settlement"
currency = "EUR"
callers = ["shop", "batch"]
validity = "1h"
limits = {limits}
"#
        );
        fs::write(self.config(), deployment).unwrap();
        fs::write(self.path("policy.toml"), policy).unwrap();
        fs::write(self.path("user-pin"), format!("{PIN}\n")).unwrap();
        fs::set_permissions(self.path("user-pin"), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn make_token(&self) {
        fs::create_dir(self.path("tokens")).unwrap();
        let conf = format!(
            "directories.tokendir = {}\nlog.level = ERROR\n",
            self.path("tokens").display()
        );
        fs::write(self.path("softhsm2.conf"), conf).unwrap();
        let output = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", "countersign"])
            .args(["--so-pin", "87654321", "--pin", PIN])
            .env("SOFTHSM2_CONF", self.path("softhsm2.conf"))
            .output()
            .expect("softhsm2-util; `make deps` installs it");
        assert!(output.status.success(), "{output:?}");
    }

    fn make_key(&self) {
        let made = self.must(&["keys", "generate", "settlement-eur", "--json"]);
        let made: Value = serde_json::from_str(&made).unwrap();
        let pin = format!("algorithm = \"ES256\"\nthumbprint = {}", made["thumbprint"]);
        self.edit("countersign.toml", "algorithm = \"ES256\"", &pin);
    }
}

/// Whether anything in a directory has changed is told by this.
pub(crate) fn fingerprint(directory: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                left.push(path);
            } else {
                found.push((path.clone(), metadata.permissions().mode(), fs::read(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
