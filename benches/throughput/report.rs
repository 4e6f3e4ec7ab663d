//! The figures as a page that people read.

use std::fmt::Write;
use std::time::Duration;

use super::Point;

/// Everything that was measured in one run.
pub(crate) struct Report<'a> {
    pub(crate) raw: &'a [(usize, f64)],
    pub(crate) verification: Duration,
    pub(crate) points: &'a [Point],
    pub(crate) half: &'a Point,
    pub(crate) overload: &'a Point,
    pub(crate) seconds: Duration,
}

impl Report<'_> {
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        let seconds = self.seconds.as_secs_f64();
        let two_sessions = self.raw.iter().find(|(sessions, _)| *sessions == 2).unwrap().1;
        write!(
            out,
            "# Benchmarks\n\nWritten by `make bench`: daemon, token and load generator share one \
             machine, {seconds} s a line.\nThe load generator is `benches/throughput/load.rs`: \
             HTTP/1.1 with keep-alive over TLS 1.3 with a client\ncertificate, one request at a \
             time on each connection, every payment a new one. All promises are on.\n\n{}\n\n\
             ## The token by itself\n\n| sessions | `C_Sign` per second |\n|---:|---:|\n",
            machine()
        )
        .unwrap();
        for (sessions, rate) in self.raw {
            writeln!(out, "| {sessions} | {rate:.0} |").unwrap();
        }
        write!(
            out,
            "\n## Signed payments over mutual TLS\n\n| connections | payments per second | of two \
             sessions' raw rate | p50 ms | p99 ms | p99.9 ms |\n|---:|---:|---:|---:|---:|---:|\n"
        )
        .unwrap();
        for point in self.points {
            let m = &point.measured;
            writeln!(
                out,
                "| {} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} |",
                point.connections,
                m.rate(),
                m.rate() / two_sessions,
                m.percentile_ms(50.0),
                m.percentile_ms(99.0),
                m.percentile_ms(99.9)
            )
            .unwrap();
        }
        let half = &self.half.measured;
        write!(
            out,
            "\nAt half of the peak ({:.0} payments per second on 64 connections, latency counted \
             from when each was due):\np50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms.\n\n",
            half.rate(),
            half.percentile_ms(50.0),
            half.percentile_ms(99.0),
            half.percentile_ms(99.9)
        )
        .unwrap();
        let over = &self.overload.measured;
        write!(
            out,
            "Overload, {} connections that come again after 20 ms: {:.0} payments per second \
             signed, p50 {:.1} ms, p99 {:.1} ms;\n{:.0} % of the requests refused with 429, p50 \
             {:.1} ms, p99 {:.1} ms; resident {} MiB.\n\n",
            self.overload.connections,
            over.rate(),
            over.percentile_ms(50.0),
            over.percentile_ms(99.0),
            over.refused(),
            over.refusal_percentile_ms(50.0),
            over.refusal_percentile_ms(99.0),
            self.overload.usage.resident_kib / 1024
        )
        .unwrap();
        self.costs(&mut out);
        out
    }

    fn costs(&self, out: &mut String) {
        let verification = self.verification.as_secs_f64() * 1e6;
        write!(
            out,
            "## What a payment costs the daemon\n\nCPU in microseconds by the threads that spent \
             it. Verification is measured by itself and taken from the\ntoken's thread.\n\n| \
             connections | TLS, HTTP, JSON | ledger | token | verification | sum | commits per \
             payment | resident MiB |\n|---:|---:|---:|---:|---:|---:|---:|---:|\n"
        )
        .unwrap();
        for point in self.points {
            let payments = point.measured.payments() as f64;
            let per = |group: &str| point.usage.cpu_us(group) / payments;
            let (http, ledger, token) = (per("http"), per("ledger"), per("token"));
            writeln!(
                out,
                "| {} | {http:.0} | {ledger:.0} | {:.0} | {verification:.0} | {:.0} | {:.3} | \
                 {} |",
                point.connections,
                token - verification,
                http + ledger + token,
                point.commits_per_payment,
                point.usage.resident_kib / 1024
            )
            .unwrap();
        }
    }
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let memory = read("/proc/meminfo");
    let total = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    format!(
        "Machine: {cores} cores of {}, {} GiB of memory.",
        model.trim_start_matches([' ', '\t', ':']),
        total.unwrap_or_default() / (1024 * 1024)
    )
}
