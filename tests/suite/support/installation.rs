//! A complete installation in a directory of its own: token, keys, certificates, configuration,
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
/// The near half of a remote token: it talks to `p11-kit server`.
const CLIENT: &str = "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so";
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
    environment: Vec<(&'static str, PathBuf)>,
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
        let installation = Self { directory, environment: Vec::new(), authority };
        installation.authority.revoke(&installation.path("tls/revoked.pem"), &[]);
        installation.write_configuration(limits);
        installation.make_token("softhsm2.conf", "tokens", "countersign");
        installation.must(&["init"]);
        installation.make_key("settlement-eur");
        installation.make_key("audit");
        installation
    }

    /// One with two tokens, and calls that may take so long: `softhsm` with the key settlement-eur
    /// lies behind a `p11-kit server` with `remote.conf` and the socket `remote`, which the test
    /// starts; `local`, with reserve-eur and the audit key, in this process: the client of p11-kit
    /// passes no Ed25519 on.
    pub(crate) fn with_two_tokens(deadline: &str) -> Self {
        let mut installation = Self::new();
        let address = format!("unix:path={}", installation.path("remote").display());
        installation.set("P11_KIT_SERVER_ADDRESS", address);
        fs::rename(installation.path("softhsm2.conf"), installation.path("remote.conf")).unwrap();
        installation.make_token("softhsm2.conf", "tokens-local", "reserve");
        let first = format!("module = \"{MODULE}\"");
        let remote = format!("deadline = \"{deadline}\"\nmodule = \"{CLIENT}\"");
        installation.edit("countersign.toml", &first, &remote);
        let local = format!(
            "[tokens.local]\nmodule = \"{MODULE}\"\nlabel = \"reserve\"\npin_file = \"user-pin\"\n\
             deadline = \"{deadline}\"\nanchors = false\n\n[keys.reserve-eur]\ntoken = \"local\"\n\
             label = \"reserve-eur\"\nid = \"01\"\nalgorithm = \"ES256\"\n\n[log]"
        );
        installation.edit("countersign.toml", "[log]", &local);
        let policy = fs::read_to_string(installation.path("policy.toml")).unwrap();
        let (_, key) = policy.split_once("[keys.settlement-eur]").unwrap();
        let (key, _) = key.split_once("[keys.audit]").unwrap();
        let policy = format!("{policy}\n[keys.reserve-eur]{key}");
        fs::write(installation.path("policy.toml"), policy).unwrap();
        let text = fs::read_to_string(installation.config()).unwrap();
        let (before, audit) = text.split_once("[keys.audit]\nthumbprint = ").unwrap();
        let (_, audit) = audit.split_once('\n').unwrap();
        let audit = audit.replacen("token = \"softhsm\"", "token = \"local\"", 1);
        fs::write(installation.config(), format!("{before}[keys.audit]\n{audit}")).unwrap();
        installation.make_key("reserve-eur");
        installation.make_key("audit");
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

    /// Makes a key `notify` of purpose notification.
    pub(crate) fn add_notification_key(&self, algorithm: &str) {
        let key = format!(
            "[keys.notify]\ntoken = \"softhsm\"\nlabel = \"notify\"\nid = \"b0\"\n\
             algorithm = \"{algorithm}\"\n\n[log]"
        );
        self.edit("countersign.toml", "[log]", &key);
        let audit = "[keys.audit]\npurpose = \"audit\"\n";
        let both = format!("{audit}\n[keys.notify]\npurpose = \"notification\"\n");
        self.edit("policy.toml", audit, &both);
        self.make_key("notify");
    }

    /// Puts the table `notifications` with these keys and routes into the deployment file.
    pub(crate) fn add_routes(&self, keys: &str, routes: &[String]) {
        let table = format!("[notifications]\n{keys}\n{}\n[log]", routes.join("\n"));
        self.edit("countersign.toml", "[log]", &table);
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

    /// Puts something more into the environment of its daemons and commands.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<PathBuf>) {
        self.environment.push((name, value.into()));
    }

    pub(crate) fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        let mut environment = vec![
            ("SOFTHSM2_CONF", self.path("softhsm2.conf")),
            ("COUNTERSIGN_CONFIG", self.config()),
            ("COUNTERSIGN_CLIENT", self.path("client.toml")),
        ];
        environment.extend_from_slice(&self.environment);
        environment
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

[keys.audit]
token = "softhsm"
label = "audit"
id = "a0"
algorithm = "EdDSA"

[audit]
key = "audit"

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
tiers = "nobody"
limits = {limits}

[keys.audit]
purpose = "audit"
"#
        );
        fs::write(self.config(), deployment).unwrap();
        fs::write(self.path("policy.toml"), policy).unwrap();
        fs::write(self.path("user-pin"), format!("{PIN}\n")).unwrap();
        fs::set_permissions(self.path("user-pin"), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Makes a token of this label in a directory of its own, and SoftHSM's configuration for it.
    fn make_token(&self, conf: &str, directory: &str, label: &str) {
        make_token(&self.path(conf), &self.path(directory), label);
    }

    /// Generates a key and pins it.
    fn make_key(&self, name: &str) {
        let made = self.must(&["keys", "generate", name, "--json"]);
        let made: Value = serde_json::from_str(&made).unwrap();
        let table = format!("[keys.{name}]");
        let pinned = format!("{table}\nthumbprint = {}", made["thumbprint"]);
        self.edit("countersign.toml", &table, &pinned);
    }
}

/// Makes a SoftHSM token of this label in a directory, and the configuration for it.
pub(crate) fn make_token(conf: &Path, directory: &Path, label: &str) {
    fs::create_dir(directory).unwrap();
    let text = format!("directories.tokendir = {}\nlog.level = ERROR\n", directory.display());
    fs::write(conf, text).unwrap();
    let output = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", label])
        .args(["--so-pin", "87654321", "--pin", PIN])
        .env("SOFTHSM2_CONF", conf)
        .output()
        .expect("softhsm2-util; `make deps` installs it");
    assert!(output.status.success(), "{output:?}");
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
