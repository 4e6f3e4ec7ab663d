//! `countersign doctor`: looks at everything that `serve` needs, tells all that is wrong at once,
//! and how to mend it. It repairs nothing; like `serve` it logs in to each token, once.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::clock::Clock;
use crate::config::deployment::Deployment;
use crate::config::policy;
use crate::domain::credit::credit;
use crate::domain::policy::Policy;
use crate::http::callers::CallerVerifier;
use crate::http::tls;
use crate::ledger::reader::Reader;
use crate::ledger::sqlite::Store;

use super::output::{Exit, Failure, Output};
use super::{Deployed, agreement, keys};

mod witnesses;

/// Longest that a running daemon may take to answer.
const DAEMON_WAIT_MAX: Duration = Duration::from_secs(3);

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    well: bool,
    detail: String,
}

/// Everything that was looked at.
#[derive(Default)]
struct Examination(Vec<Finding>);

impl Examination {
    fn note(&mut self, what: &str, looked: Result<String, String>) {
        let well = looked.is_ok();
        let detail = looked.unwrap_or_else(|wrong| wrong);
        self.0.push(Finding { what: what.to_owned(), well, detail });
    }

    /// The value, or a note of what is wrong with it.
    fn keep<T, E: std::fmt::Display>(
        &mut self,
        what: &str,
        read: Result<T, E>,
        told: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        match read {
            Ok(value) => {
                self.note(what, Ok(told(&value)));
                Some(value)
            }
            Err(wrong) => {
                self.note(what, Err(wrong.to_string()));
                None
            }
        }
    }
}

pub(super) fn run(deployed: &Deployed, output: &Output) -> Result<Exit, Failure> {
    let mut examination = Examination::default();
    let path = deployed.config.display().to_string();
    let deployment = Deployment::load(&deployed.config);
    if let Some(deployment) = examination.keep("deployment", deployment, |_| path) {
        let policy = policy::load(&deployment.policy);
        let policy = examination.keep("policy", policy, |policy| {
            format!("{} ({})", deployment.policy.display(), policy.version)
        });
        if let Some(policy) = policy {
            let problems = agreement::check(&deployment, &policy);
            let agreed = problems.0.is_empty();
            let told =
                if agreed { Ok("on every key".to_owned()) } else { Err(problems.to_string()) };
            examination.note("agreement", told);
            look_at_tls(&mut examination, &deployment, Arc::new(policy));
        }
        look_at_ledger(&mut examination, &deployment);
        for key in keys::look_at_keys(&deployment) {
            examination.note(&format!("key {}", key.name()), key.verdict());
        }
        witnesses::look(&mut examination, &deployment);
        look_at_daemon(&mut examination, deployment.operations.listen);
    }
    let findings = examination.0;
    output.show(&findings, |findings| told(findings, output))?;
    let well = findings.iter().all(|finding| finding.well);
    Ok(if well { Exit::Done } else { Exit::Failed })
}

fn look_at_tls(examination: &mut Examination, deployment: &Deployment, policy: Arc<Policy>) {
    let provider = tls::provider();
    let gateway = &deployment.gateway;
    let callers = CallerVerifier::load(
        &gateway.client_ca,
        gateway.client_revocations.as_deref(),
        policy,
        Clock::system(),
        Arc::clone(&provider),
    );
    let told = |_: &CallerVerifier| match &gateway.client_revocations {
        Some(path) => {
            format!("{}, revoked ones in {}", gateway.client_ca.display(), path.display())
        }
        None => format!("{}; without a revocation list", gateway.client_ca.display()),
    };
    if let Some(callers) = examination.keep("client certificates", callers, told) {
        let config = tls::gateway(&gateway.identity, Arc::new(callers), Arc::clone(&provider));
        examination
            .keep("gateway TLS", config, |_| gateway.identity.certificate.display().to_string());
    }
    let identity = &deployment.public.identity;
    let config = tls::public(identity, provider);
    examination.keep("public TLS", config, |_| identity.certificate.display().to_string());
    for (name, identity) in [("gateway", &gateway.identity), ("public", identity)] {
        let left = tls::time_left(&identity.certificate, Clock::system().now());
        let looked = match left {
            Ok(days) if days > 14 => {
                Ok(format!("{} holds {days} days", identity.certificate.display()))
            }
            Ok(days) => Err(format!(
                "{} expires in {days} days; renew it and start again",
                identity.certificate.display()
            )),
            Err(wrong) => Err(wrong.to_string()),
        };
        examination.note(&format!("{name} certificate"), looked);
    }
}

fn look_at_ledger(examination: &mut Examination, deployment: &Deployment) {
    examination.note("state directory", closed_to_others(&deployment.state_dir));
    let path = deployment.ledger();
    let reader = Store::examine(&path, &deployment.issuer).and_then(|()| Reader::open(&path));
    let told = |_: &Reader| deployment.ledger().display().to_string();
    let Some(reader) = examination.keep("ledger", reader, told) else { return };
    let reading = Clock::system().read();
    let clock = reader.mark().map_err(|wrong| wrong.to_string()).and_then(|mark| {
        let told = format!("it says {}; the newest record is of {}", reading.wall, mark.newest);
        credit(&mark, &reading).map(|_| told).map_err(|fault| fault.to_string())
    });
    examination.note("clock", clock);
    examination.note("notifications", notified(&reader));
    let in_doubt = reader.count_in_doubt();
    examination.keep("payments in doubt", in_doubt, |count| match count {
        0 => "none".to_owned(),
        n => format!("{n}; they count, and are signed again when daemon and token run"),
    });
}

/// Whether everybody was told what they are to be told.
fn notified(reader: &Reader) -> Result<String, String> {
    let progress = reader.progress().map_err(|wrong| wrong.to_string())?;
    let dead = reader.dead_letters(1).map_err(|wrong| wrong.to_string())?;
    let stuck = progress.iter().filter_map(|route| Some((route, route.failure.as_ref()?)));
    let stuck = stuck.map(|(route, failure)| {
        let attempts = route.attempts;
        format!("{} is not taken after {attempts} attempts: {failure}", route.route)
    });
    let dead = dead.first().map(|letter| {
        let (route, reason) = (&letter.route, &letter.reason);
        format!("{route} has dead letters ({reason}); see `countersign notifications list`")
    });
    let wrong: Vec<String> = stuck.chain(dead).collect();
    match wrong.is_empty() {
        true => Ok(format!("{} routes, none is stuck", progress.len())),
        false => Err(wrong.join("\n")),
    }
}

fn closed_to_others(directory: &Path) -> Result<String, String> {
    let found = std::fs::metadata(directory).map_err(|refused| {
        format!("{}: {refused}; `countersign init` creates it", directory.display())
    })?;
    let mode = found.mode() & 0o777;
    let us = rustix::process::geteuid().as_raw();
    if found.uid() != us {
        let owner = found.uid();
        return Err(format!("{} belongs to user {owner}, we are {us}", directory.display()));
    }
    if mode & 0o077 != 0 {
        return Err(format!(
            "{} has mode {mode:03o}, it is open to others; chmod 700 {}",
            directory.display(),
            directory.display()
        ));
    }
    Ok(format!("{} (mode {mode:03o})", directory.display()))
}

fn look_at_daemon(examination: &mut Examination, listen: SocketAddr) {
    if listen.port() == 0 {
        return;
    }
    let agent = ureq::Agent::config_builder()
        .proxy(None)
        .http_status_as_error(false)
        .timeout_global(Some(DAEMON_WAIT_MAX))
        .build()
        .new_agent();
    let looked = match agent.get(format!("http://{listen}/health/ready")).call() {
        Err(_) => Ok(format!("none answers on {listen}")),
        Ok(mut response) => match response.body_mut().read_json::<serde_json::Value>() {
            Ok(ready) if ready["ready"] == serde_json::Value::Bool(true) => {
                Ok(format!("ready on {listen}"))
            }
            Ok(ready) => Err(format!("runs on {listen}, but is not ready: {}", reasons(&ready))),
            Err(refused) => Err(format!("{listen} is not a countersign daemon: {refused}")),
        },
    };
    examination.note("daemon", looked);
}

fn reasons(ready: &serde_json::Value) -> String {
    let parts = ready["parts"].as_array().into_iter().flatten();
    let told = parts.filter_map(|part| {
        Some(format!("{}: {}", part["name"].as_str()?, part["reason"].as_str()?))
    });
    told.collect::<Vec<_>>().join("; ")
}

fn told(findings: &[Finding], output: &Output) -> String {
    let mut lines: Vec<String> = findings
        .iter()
        .map(|finding| {
            let mark = match finding.well {
                true => output.good("well "),
                false => output.bad("wrong"),
            };
            let detail = finding.detail.replace('\n', "\n           ");
            format!("{mark}  {:<20}  {detail}", finding.what)
        })
        .collect();
    let wrong = findings.iter().filter(|finding| !finding.well).count();
    lines.push(match wrong {
        0 => output.good("everything is well"),
        1 => output.bad("one thing is wrong"),
        n => output.bad(&format!("{n} things are wrong")),
    });
    lines.join("\n")
}
