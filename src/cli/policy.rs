//! `countersign policy`: check a file, or ask what decides a payment.

use std::path::PathBuf;

use clap::Subcommand;

use crate::config::policy as file;
use crate::domain::policy::Policy;

use super::output::{Exit, Failure, Output};
use super::{Deployed, explain, simulate};

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Check a policy file as a whole and show what it says.
    Check {
        /// The policy file.
        file: PathBuf,
    },
    /// Show what changes between two policy files, and whether it tightens or loosens.
    Compare {
        /// The policy in force.
        old: PathBuf,
        /// The other one.
        new: PathBuf,
    },
    /// Replay the payments on record against another policy: what would it have denied?
    Simulate {
        /// The other policy file.
        file: PathBuf,
        #[command(flatten)]
        deployed: Deployed,
    },
    /// Show the rule that decides a given payment now, check by check.
    Explain {
        /// A JSON file with the payment, as it would be submitted; - for standard input.
        payment: PathBuf,
        /// Name of the caller that would submit it.
        #[arg(long)]
        caller: String,
        #[command(flatten)]
        deployed: Deployed,
    },
}

pub(super) fn run(command: &PolicyCommand, output: &Output) -> Result<Exit, Failure> {
    match command {
        PolicyCommand::Check { file: path } => {
            let policy = file::load(path).map_err(Failure::broken)?;
            let summary = serde_json::json!({
                "version": policy.version,
                "callers": policy.callers.len(),
                "keys": policy.keys.keys().map(ToString::to_string).collect::<Vec<_>>(),
            });
            output.show(&summary, |_| told(&policy, output))?;
            Ok(Exit::Done)
        }
        PolicyCommand::Compare { old, new } => simulate::compare(old, new, output),
        PolicyCommand::Simulate { file, deployed } => simulate::run(file, deployed, output),
        PolicyCommand::Explain { payment, caller, deployed } => {
            explain::run(payment, caller, deployed, output)
        }
    }
}

fn told(policy: &Policy, output: &Output) -> String {
    let mut lines = vec![
        format!("{}  {}", output.good("well"), output.faint(&policy.version)),
        format!("  an end-to-end id stays taken for {}", policy.duplicate_window),
    ];
    for (id, caller) in &policy.callers {
        let certificates: Vec<String> =
            caller.certificates.iter().map(ToString::to_string).collect();
        lines.push(format!("  caller {}: {}", output.strong(id.as_str()), certificates.join(", ")));
    }
    for (id, key) in &policy.keys {
        let currency = key.currency.map(|c| format!(" in {c}")).unwrap_or_default();
        let callers: Vec<&str> = key.callers.iter().map(|caller| caller.as_str()).collect();
        let callers = if callers.is_empty() { "nobody".to_owned() } else { callers.join(", ") };
        lines.push(format!(
            "  key {}: {}{currency}, for {callers}",
            output.strong(id.as_str()),
            key.purpose.name()
        ));
        for limit in &key.limits {
            let cap = match (limit.measure, key.currency) {
                (crate::domain::limits::Measure::Amount, Some(currency)) => {
                    format!("{} {currency}", currency.decimal(limit.cap))
                }
                _ => format!("{} payments", limit.cap),
            };
            lines.push(format!("    {}: at most {cap} per {}", limit.name, limit.window));
        }
        if key.limits.is_empty() && key.currency.is_some() {
            lines.push(format!("    {}", output.warning("unlimited")));
        }
    }
    lines.join("\n")
}
