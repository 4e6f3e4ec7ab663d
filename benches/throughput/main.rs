//! Signed payments per second over mutual TLS against the token's own `C_Sign` rate, in one run on
//! one machine: `make bench`. Prints a table and writes `docs/benchmarks.md`.
//!
//! The load generator is ours (`load.rs`), runs in this process on one thread and shares the
//! machine with the daemon. `COUNTERSIGN_BENCH_SECONDS` sets the length of each measurement.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::as_conversions,
    reason = "a measurement ends where something unexpected happens, and prints what it found"
)]

#[path = "../../tests/suite/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "tests need more of it")]
mod support;

mod load;
mod process;
mod raw;
mod report;

use std::time::Duration;

use load::{Load, Measured};
use process::Usage;
use report::Report;
use support::{Daemon, Installation};

/// Limits that no measurement reaches, of every kind that there is, so that their cost is in it.
const LIMITS: &str = r#"[
  { name = "single", window = "payment", amount = "50.00" },
  { name = "rate", window = "1m", count = 100000000 },
  { name = "hour", window = "1h", amount = "1000000000.00" },
  { name = "day", window = "24h", amount = "1000000000.00" },
  { name = "ever", window = "lifetime", amount = "100000000000.00" },
]"#;

/// What was measured at one number of connections.
struct Point {
    connections: usize,
    measured: Measured,
    usage: Usage,
    commits_per_payment: f64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, sessions, seconds] = arguments.as_slice()
        && mode == "raw"
    {
        return raw::child(sessions.parse().unwrap(), seconds.parse().unwrap());
    }
    let seconds = std::env::var("COUNTERSIGN_BENCH_SECONDS").ok();
    let seconds = Duration::from_secs_f64(seconds.map_or(5.0, |text| text.parse().unwrap()));
    let installation = Installation::with_limits(LIMITS);
    let sessions = std::env::var("COUNTERSIGN_BENCH_SESSIONS").unwrap_or("2".to_owned());
    installation.edit("countersign.toml", "pin_file", &format!("sessions = {sessions}\npin_file"));

    let raw = [1, 2, 4].map(|sessions| {
        let rate = raw::rate(&installation, sessions, seconds);
        println!("C_Sign, {sessions} sessions: {rate:.0} per second");
        (sessions, rate)
    });
    let verification = raw::verification();
    println!("verification: {:.1} us", verification.as_secs_f64() * 1e6);

    let daemon = installation.start();
    let mut points = Vec::new();
    for connections in connections() {
        let point = measure(&installation, &daemon, connections, seconds, None);
        println!(
            "{connections} connections: {:.0} payments per second, p50 {:.2} ms, p99 {:.2} ms",
            point.measured.rate(),
            point.measured.percentile_ms(50.0),
            point.measured.percentile_ms(99.0),
        );
        points.push(point);
    }
    let peak = points.iter().map(|point| point.measured.rate()).fold(0.0, f64::max);
    let half = measure(&installation, &daemon, 64, seconds, Some(peak / 2.0));
    println!("at half of the peak: p99 {:.2} ms", half.measured.percentile_ms(99.0));
    // As many at a time as the listener takes: a queue of 256 is full four times over.
    let overload = measure(&installation, &daemon, 1000, seconds, None);
    println!("overload: {:.0} % refused", overload.measured.refused());
    let report = Report {
        raw: &raw,
        verification,
        points: &points,
        half: &half,
        overload: &overload,
        seconds,
    };
    let text = report.text();
    println!("\n{text}");
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks.md"), text).unwrap();
}

/// Numbers of connections to measure with; `COUNTERSIGN_BENCH_CONNECTIONS` names others, for a look
/// at one of them with a profiler.
fn connections() -> Vec<usize> {
    let named = std::env::var("COUNTERSIGN_BENCH_CONNECTIONS").unwrap_or("1,16,64,256".to_owned());
    named.split(',').map(|number| number.parse().expect("a list of numbers")).collect()
}

fn measure(
    installation: &Installation,
    daemon: &Daemon,
    connections: usize,
    seconds: Duration,
    rate: Option<f64>,
) -> Point {
    let load = Load { gateway: daemon.gateway, connections, seconds, rate };
    // Connections are made, caches are filled, the first slots exist.
    Load { seconds: seconds.min(Duration::from_secs(1)), ..load.clone() }.run(installation);
    let commits = || process::metric(daemon, "countersign_ledger_commits");
    let (before, commits_before) = (Usage::of(daemon.id()), commits());
    let measured = load.run(installation);
    let usage = Usage::of(daemon.id()).since(&before);
    let commits_per_payment = (commits() - commits_before) / measured.payments() as f64;
    Point { connections, measured, usage, commits_per_payment }
}
