//! A running daemon.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::Installation;
use super::installation::COUNTERSIGN;

/// A daemon that ends with its test.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) gateway: SocketAddr,
    pub(crate) public: SocketAddr,
    pub(crate) operations: SocketAddr,
    /// Everything that it has logged.
    pub(crate) log: PathBuf,
    authority: PathBuf,
}

impl Daemon {
    pub(crate) fn start(installation: &Installation) -> Self {
        let log = installation.path("daemon.log");
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let mut child = Command::new(COUNTERSIGN)
            .args(["serve", "--json"])
            .envs(installation.environment())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_default();
        let address = |name: &str| -> SocketAddr {
            let text = ready["ready"][name].as_str().unwrap_or_else(|| {
                panic!("not ready: {line}{}", std::fs::read_to_string(&log).unwrap())
            });
            text.parse().unwrap()
        };
        Self {
            gateway: address("gateway"),
            public: address("public"),
            operations: address("operations"),
            child,
            log,
            authority: installation.path("tls/authority.pem"),
        }
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
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
        let status = Command::new("kill").args([name, &self.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// What the public listener answers.
    pub(crate) fn public_json(&self, path: &str) -> Value {
        let caller = super::Caller::new(&self.authority, None, self.public);
        let answer = caller.get(path);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// A text of the public listener.
    pub(crate) fn public_text(&self, path: &str) -> String {
        let answer = super::Caller::new(&self.authority, None, self.public).get(path);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text
    }

    /// Whether the public listener has something there.
    pub(crate) fn public_status(&self, path: &str) -> u16 {
        super::Caller::new(&self.authority, None, self.public).get(path).status
    }

    /// Status and text of the operations listener.
    pub(crate) fn operations_text(&self, path: &str) -> (u16, String) {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
        let mut response = agent.get(format!("http://{}{path}", self.operations)).call().unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), text)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
