//! The commands. Each says what it did on standard output, as text for people or as JSON for
//! scripts, and ends with an exit code that scripts can tell apart.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

mod agreement;
mod archive;
mod backup;
mod client;
mod clock;
mod doctor;
mod explain;
mod init;
mod keys;
mod limits;
mod log;
mod notifications;
mod output;
mod pay;
mod policy;
mod receipt;
mod reconcile;
mod retention;
mod serve;
mod simulate;
mod tokens;
mod witness;

use output::{Exit, Failure, Output};

const EXIT_CODES: &str = "Exit codes:
  0  done: signed, made, found well
  1  failed: something is broken, and the message says what to mend
  2  the command line is wrong
  3  denied by policy or limit
  4  refused: the request is malformed, unknown or contradicts an earlier one
  5  not now: overload, or the token or the ledger is not available; retry
  6  admitted, but not signed yet; look it up later
  7  alarm: a log, a receipt or an executed payment is not what was signed
  8  what was executed and what was signed are not the same";

/// Signs typed payments with keys that never leave an HSM, within limits that hold.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, about, after_help = EXIT_CODES, max_term_width = 100)]
struct Arguments {
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create the ledger of an installation, once.
    Init(Deployed),
    /// Copy the ledger, also beside a running daemon.
    Backup(backup::Backup),
    /// Move payments that no limit looks back to into a file; the daemon must be stopped.
    Archive(archive::Archive),
    /// Show how long payments stay in the ledger, what is due, and what has gone.
    Retention(Deployed),
    /// Run the daemon until SIGTERM or SIGINT.
    Serve(Deployed),
    /// Have a payment signed by a running daemon.
    Pay(Box<pay::Pay>),
    /// Look at payments.
    Payment {
        #[command(subcommand)]
        command: pay::PaymentCommand,
    },
    /// Show how the limits of a key stand.
    Limits(limits::Limits),
    /// Look at the keys on the tokens, or generate one.
    Keys {
        #[command(subcommand)]
        command: keys::KeysCommand,
    },
    /// Check a policy, compare two, ask what one says or would have said about payments.
    Policy {
        #[command(subcommand)]
        command: policy::PolicyCommand,
    },
    /// Look at the clock as the ledger believes it, or vouch for it.
    Clock {
        #[command(subcommand)]
        command: clock::ClockCommand,
    },
    /// Look into the log of every decision, follow it, or export it.
    Log {
        #[command(subcommand)]
        command: log::LogCommand,
    },
    /// Check what proves a payment.
    Receipt {
        #[command(subcommand)]
        command: receipt::ReceiptCommand,
    },
    /// See how gateways and people were told, and deal with what was given up.
    Notifications {
        #[command(subcommand)]
        command: notifications::NotificationsCommand,
    },
    /// Run a witness: watch the logs of other machines, and cosign what only grows.
    Witness {
        #[command(subcommand)]
        command: witness::WitnessCommand,
    },
    /// Compare what a bank or rail executed with what was signed.
    Reconcile(reconcile::Reconcile),
    /// Find out what is wrong with this installation, and how to mend it.
    Doctor(Deployed),
    /// Print the OpenAPI document of this release.
    #[command(hide = true)]
    Openapi,
}

/// Which installation a command is about.
#[derive(Debug, Args)]
struct Deployed {
    /// The deployment file.
    #[arg(
        long,
        value_name = "FILE",
        env = "COUNTERSIGN_CONFIG",
        default_value = "countersign.toml"
    )]
    config: PathBuf,
}

/// Which daemon a command talks to, and as whom.
#[derive(Debug, Args)]
struct Caller {
    /// The file that says where the daemon is and which certificate is ours.
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CLIENT", default_value = "client.toml")]
    client: PathBuf,
}

/// Reads the command line, does what it says, and tells how it went.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let output = Output::new(arguments.json);
    let done = match arguments.command {
        Command::Archive(asked) => archive::run(&asked, &output),
        Command::Retention(deployed) => retention::run(&deployed, &output),
        Command::Backup(asked) => backup::run(&asked, &output),
        Command::Init(deployed) => init::run(&deployed, &output),
        Command::Serve(deployed) => serve::run(&deployed, &output),
        Command::Pay(pay) => pay::run(&pay, &output),
        Command::Payment { command } => pay::look_up(&command, &output),
        Command::Limits(limits) => limits::run(&limits, &output),
        Command::Keys { command } => keys::run(&command, &output),
        Command::Policy { command } => policy::run(&command, &output),
        Command::Clock { command } => clock::run(&command, &output),
        Command::Log { command } => log::run(&command, &output),
        Command::Receipt { command } => receipt::run(&command, &output),
        Command::Notifications { command } => notifications::run(&command, &output),
        Command::Witness { command } => witness::run(&command, &output),
        Command::Reconcile(reconcile) => reconcile::run(&reconcile, &output),
        Command::Doctor(deployed) => doctor::run(&deployed, &output),
        Command::Openapi => openapi(&output),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output.failure(&failure);
            failure.exit.into()
        }
    }
}

fn openapi(output: &Output) -> Result<Exit, Failure> {
    let document = crate::http::document::document();
    output.line(&document.to_pretty_json().map_err(Failure::broken)?);
    Ok(Exit::Done)
}
