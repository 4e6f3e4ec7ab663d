//! What a process uses, by its threads' names, as `/proc` tells it.

use std::collections::BTreeMap;

use crate::support::Daemon;

/// CPU time by group of threads in microseconds, and memory in KiB.
#[derive(Default)]
pub(crate) struct Usage {
    cpu_us: BTreeMap<&'static str, f64>,
    pub(crate) resident_kib: u64,
    pub(crate) resident_max_kib: u64,
}

impl Usage {
    pub(crate) fn of(process: u32) -> Self {
        let mut usage = Self::default();
        for task in std::fs::read_dir(format!("/proc/{process}/task")).unwrap() {
            let stat = std::fs::read_to_string(task.unwrap().path().join("stat"));
            let Ok(stat) = stat else { continue };
            let (head, tail) = stat.rsplit_once(')').unwrap();
            let name = head.split_once('(').unwrap().1;
            let fields: Vec<&str> = tail.split_whitespace().collect();
            let ticks: f64 = [11, 12].iter().map(|i| fields[*i].parse::<f64>().unwrap()).sum();
            *usage.cpu_us.entry(group(name)).or_default() += ticks * 1e6 / ticks_per_second();
        }
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let kib = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        (usage.resident_kib, usage.resident_max_kib) = (kib("VmRSS:"), kib("VmHWM:"));
        usage
    }

    /// What was used since an earlier look; memory as it is now.
    pub(crate) fn since(mut self, before: &Self) -> Self {
        for (group, cpu) in &mut self.cpu_us {
            *cpu -= before.cpu_us.get(group).copied().unwrap_or_default();
        }
        self
    }

    pub(crate) fn cpu_us(&self, group: &str) -> f64 {
        self.cpu_us.get(group).copied().unwrap_or_default()
    }
}

fn group(thread: &str) -> &'static str {
    match thread {
        "ledger" => "ledger",
        name if name.starts_with("hsm-") => "token",
        _ => "http",
    }
}

fn ticks_per_second() -> f64 {
    let told = std::process::Command::new("getconf").arg("CLK_TCK").output().unwrap();
    String::from_utf8(told.stdout).unwrap().trim().parse().unwrap()
}

/// A figure that the daemon publishes.
pub(crate) fn metric(daemon: &Daemon, name: &str) -> f64 {
    let (_, text) = daemon.operations_text("/metrics");
    let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
