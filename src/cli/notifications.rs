//! `countersign notifications`: how gateways and people were told, and what becomes of what was
//! given up.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::config::deployment::Deployment;
use crate::http::notifications::{DeadLetterAnswer, LISTED_MAX, LettersRequest};
use crate::ledger::reader::Reader;

use super::Deployed;
use super::output::{Exit, Failure, Output};

/// Longest that the daemon may take to answer.
const DAEMON_WAIT_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Subcommand)]
pub(super) enum NotificationsCommand {
    /// List how far each route came and its dead letters; also beside a stopped daemon.
    List(Deployed),
    /// Have the dead letters of a route tried once more, and what it waits with at once.
    Retry(Chosen),
    /// Take dead letters off the list: nobody is told of these events any more.
    Drop(Chosen),
}

#[derive(Debug, Args)]
pub(super) struct Chosen {
    /// Name of the route, under [notifications.to] in the deployment file.
    route: String,
    /// Id of one event; all dead letters of the route without it.
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    #[command(flatten)]
    deployed: Deployed,
}

pub(super) fn run(command: &NotificationsCommand, output: &Output) -> Result<Exit, Failure> {
    match command {
        NotificationsCommand::List(deployed) => list(deployed, output),
        NotificationsCommand::Retry(chosen) => ask("retry", chosen, output),
        NotificationsCommand::Drop(chosen) => ask("drop", chosen, output),
    }
}

fn list(deployed: &Deployed, output: &Output) -> Result<Exit, Failure> {
    let deployment = Deployment::load(&deployed.config).map_err(Failure::broken)?;
    let reader = Reader::open(&deployment.ledger()).map_err(Failure::broken)?;
    let progress = reader.progress().map_err(Failure::broken)?;
    let size = reader.log_size().map_err(Failure::broken)?;
    let letters = reader.dead_letters(LISTED_MAX).map_err(Failure::broken)?;
    let letters: Vec<DeadLetterAnswer> = letters.into_iter().map(Into::into).collect();
    let routes: Vec<Value> = progress
        .iter()
        .map(|route| {
            serde_json::json!({
                "route": route.route,
                "configured":
                    deployment.notifications.routes.iter().any(|known| known.name == route.route),
                "told_up_to": route.next,
                "log_size": size,
                "failed_attempts": route.attempts,
                "due_at": route.due_at.to_string(),
                "failure": route.failure,
            })
        })
        .collect();
    let listed = serde_json::json!({ "routes": routes, "dead_letters": letters });
    output.show(&listed, |_| {
        let mut lines = Vec::new();
        for route in &progress {
            let waits = match &route.failure {
                None => "nothing is stuck".to_owned(),
                Some(failure) => format!(
                    "stuck at leaf {} after {} attempts, again at {}: {failure}",
                    route.next, route.attempts, route.due_at
                ),
            };
            lines.push(format!("{}: {waits}", output.strong(&route.route)));
        }
        for letter in &letters {
            let DeadLetterAnswer { route, event, kind, died_at, attempts, reason } = letter;
            let dead = output.bad("dead");
            lines.push(format!(
                "{dead} {route} {event} {kind}, given up {died_at} after {attempts} attempts: \
                 {reason}"
            ));
        }
        if lines.is_empty() {
            lines.push("nobody is told anything".to_owned());
        }
        lines.join("\n")
    })?;
    Ok(Exit::Done)
}

/// Asks the running daemon, which alone writes to its ledger.
fn ask(what: &str, chosen: &Chosen, output: &Output) -> Result<Exit, Failure> {
    let deployment = Deployment::load(&chosen.deployed.config).map_err(Failure::broken)?;
    let listen = deployment.operations.listen;
    let agent = ureq::Agent::config_builder()
        .proxy(None)
        .http_status_as_error(false)
        .timeout_global(Some(DAEMON_WAIT_MAX))
        .build()
        .new_agent();
    let asked = LettersRequest { route: chosen.route.clone(), event: chosen.event.clone() };
    let answer = agent.post(format!("http://{listen}/notifications/{what}")).send_json(&asked);
    let mut answer = answer.map_err(|refused| Failure {
        message: format!("no daemon answers on {listen}: {refused}; start it first"),
        exit: Exit::Unavailable,
    })?;
    let status = answer.status().as_u16();
    if (200..300).contains(&status) {
        let done = serde_json::json!({ "asked": what, "route": chosen.route });
        output.show(&done, |_| match what {
            "retry" => "they are tried now; `notifications list` tells how they fare".to_owned(),
            _ => "they are gone from the list".to_owned(),
        })?;
        return Ok(Exit::Done);
    }
    let problem: Value = answer.body_mut().read_json().unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or("it did not say why");
    let exit = if status < 500 { Exit::Refused } else { Exit::Unavailable };
    Err(Failure { message: format!("the daemon answered {status}: {detail}"), exit })
}
