//! A witness of our own, on a token of its own, in a directory of its own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use super::installation::{COUNTERSIGN, MODULE, PIN, make_token};
use super::{Authority, Installation};

/// A witness, at work or not.
pub(crate) struct Watcher {
    directory: tempfile::TempDir,
    /// What verifies its cosignatures.
    pub(crate) key: String,
    authority: Authority,
}

/// A witness at work; it ends with its test.
pub(crate) struct Watching {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Watcher {
    /// One that watches these logs: origin and key.
    pub(crate) fn of(logs: &[(&str, &str)]) -> Self {
        let directory = tempfile::Builder::new().prefix("csgn").tempdir().unwrap();
        let authority = Authority::new(directory.path(), "authority");
        authority.server("server");
        let mut watcher = Self { directory, key: String::new(), authority };
        make_token(&watcher.path("softhsm2.conf"), &watcher.path("tokens"), "witness");
        fs::write(watcher.path("user-pin"), format!("{PIN}\n")).unwrap();
        fs::set_permissions(watcher.path("user-pin"), fs::Permissions::from_mode(0o600)).unwrap();
        let mut text = format!(
            "name = \"witness.test.example/w1\"\nstate_dir = \"seen\"\n\n[listener]\n\
             listen = \"127.0.0.1:0\"\n\n[token]\nmodule = \"{MODULE}\"\nlabel = \"witness\"\n\
             pin_file = \"user-pin\"\n\n[key]\nlabel = \"witness\"\nid = \"77\"\n"
        );
        for (origin, key) in logs {
            text.push_str(&format!("\n[[origin]]\nname = \"{origin}\"\nkeys = [\"{key}\"]\n"));
        }
        fs::write(watcher.path("witness.toml"), text).unwrap();
        // The wrong-PIN marker lies in the state directory, which `init` makes.
        let made = watcher.run(&["init", "--json"]);
        let told = String::from_utf8(made.stderr).unwrap();
        assert!(made.status.success(), "{told}");
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        watcher.edit("[key]\n", &format!("[key]\nthumbprint = {}\n", made["thumbprint"]));
        made["key"].as_str().unwrap().clone_into(&mut watcher.key);
        watcher
    }

    /// One that watches the log of an installation.
    pub(crate) fn over(installation: &Installation) -> Self {
        let key = installation.must(&["log", "key"]);
        let key = key.trim();
        Self::of(&[(key.split('+').next().unwrap(), key)])
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Changes a text of its file, which must be there.
    pub(crate) fn edit(&self, old: &str, new: &str) {
        let text = fs::read_to_string(self.path("witness.toml")).unwrap();
        assert!(text.contains(old), "no {old}");
        fs::write(self.path("witness.toml"), text.replacen(old, new, 1)).unwrap();
    }

    /// Lets it be talked to over TLS alone.
    pub(crate) fn secure(&self) {
        let identity = "listen = \"127.0.0.1:0\"\ncertificate = \"server.crt.pem\"\n\
                        private_key = \"server.key.pem\"";
        self.edit("listen = \"127.0.0.1:0\"", identity);
        self.authority.server("server");
    }

    /// Runs one of its commands.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(COUNTERSIGN);
        command
            .arg("witness")
            .args(arguments)
            .arg("--config")
            .arg(self.path("witness.toml"))
            .env("SOFTHSM2_CONF", self.path("softhsm2.conf"));
        command
    }

    /// Starts it. The first start takes a free port, later ones the same again.
    pub(crate) fn start(&self) -> Watching {
        let log = self.path("witness.log");
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let mut child =
            self.command(&["serve", "--json"]).stdout(Stdio::piped()).stderr(file).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_default();
        let address = ready["ready"]["listener"]
            .as_str()
            .unwrap_or_else(|| panic!("not ready: {line}{}", fs::read_to_string(&log).unwrap()));
        let watching = Watching { child, address: address.parse().unwrap() };
        if fs::read_to_string(self.path("witness.toml")).unwrap().contains("127.0.0.1:0\"") {
            self.edit("127.0.0.1:0\"", &format!("{address}\""));
        }
        watching
    }

    /// The entry for the deployment of whom it watches, with more lines.
    pub(crate) fn entry(&self, watching: &Watching, more: &str) -> String {
        let secure = fs::read_to_string(self.path("witness.toml")).unwrap().contains("private_key");
        let place = match secure {
            false => format!("url = \"http://{}\"", watching.address),
            true => format!(
                "url = \"https://localhost:{}/\"\nca = \"{}\"",
                watching.address.port(),
                self.path("authority.pem").display()
            ),
        };
        format!("[[witness]]\nname = \"second\"\n{place}\nkey = \"{}\"\n{more}\n\n[log]", self.key)
    }
}

impl Watching {
    /// Posts to `add-checkpoint` in plain HTTP: status, media type, text.
    pub(crate) fn post(&self, body: &[u8]) -> Option<(u16, String, String)> {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
        let url = format!("http://{}/add-checkpoint", self.address);
        let mut response = agent.post(url).send(body).ok()?;
        let media_type = response.headers().get("content-type")?.to_str().unwrap().to_owned();
        let text = response.body_mut().read_to_string().ok()?;
        Some((response.status().as_u16(), media_type, text))
    }

    /// Gets a path in plain HTTP: status and text.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
        let mut response = agent.get(format!("http://{}{path}", self.address)).call().unwrap();
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }

    /// `kill -9`, as the power goes.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop and waits until it has; tells its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.signal("-TERM");
        self.child.wait().unwrap().code()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
