//! Throughput, measured: `make bench`.

fn main() {}
