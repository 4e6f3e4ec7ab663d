//! Log lines: where they go and what never gets into them.
//!
//! Instrumentation observes, it never decides. Standard output belongs to the commands' results,
//! so lines go to standard error.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::deployment::Log;

/// Crates whose lines may carry secrets or traffic at their finest levels. They are capped below
/// every configured level: `yubikey` writes whole APDUs, PIN included, at trace level.
const CAPPED: [(&str, LevelFilter); 4] = [
    ("yubikey", LevelFilter::INFO),
    ("cryptoki", LevelFilter::INFO),
    ("rustls", LevelFilter::INFO),
    ("hyper", LevelFilter::INFO),
];

/// Sends log lines to standard error, once per process.
///
/// # Errors
/// The subscriber's message if one is installed already.
pub fn init(log: Log) -> Result<(), String> {
    let level = LevelFilter::from_level(log.level);
    let capped = CAPPED.map(|(target, most)| (target, most.min(level)));
    let filter = Targets::new().with_default(level).with_targets(capped);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry();
    let installed = match log.json {
        true => registry.with(lines.json().flatten_event(true)).with(filter).try_init(),
        false => registry.with(lines).with(filter).try_init(),
    };
    installed.map_err(|refused| refused.to_string())
}
