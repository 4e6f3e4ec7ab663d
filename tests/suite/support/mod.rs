//! The vocabulary of the tests: installations, daemons, authorities, callers.

#[allow(dead_code, reason = "the unit tests of src/approvals use it too, and other parts of it")]
pub(crate) mod authenticator;
pub(crate) mod authority;
pub(crate) mod caller;
pub(crate) mod daemon;
pub(crate) mod installation;
pub(crate) mod mailbox;
pub(crate) mod receiver;
pub(crate) mod witness;

pub(crate) use authority::{Authority, Identity};
pub(crate) use caller::{Answer, Caller};
pub(crate) use daemon::Daemon;
pub(crate) use installation::Installation;
pub(crate) use witness::{Watcher, Watching};

use serde_json::{Value, json};

/// A payment of this amount; `reference` is its end-to-end id.
pub(crate) fn payment(amount: &str, reference: &str) -> Value {
    json!({
        "key": "settlement-eur",
        "amount": amount,
        "currency": "EUR",
        "creditor": {
            "name": "Bakery Sol",
            "account": { "iban": "ES9121000418450200051332" },
        },
        "end_to_end_id": reference,
    })
}

/// Waits for a condition, a good while.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let step = std::time::Duration::from_millis(20);
    for _ in 0..3_000 {
        if holds() {
            return;
        }
        std::thread::sleep(step);
    }
    panic!("it never happened that {what}");
}

/// Random numbers from a seed that a failing test prints.
pub(crate) struct Dice(u64);

impl Dice {
    /// From the environment variable `COUNTERSIGN_SEED`, or drawn.
    pub(crate) fn thrown() -> Self {
        let drawn = || {
            let mut bytes = [0_u8; 8];
            getrandom::fill(&mut bytes).unwrap();
            u64::from_le_bytes(bytes)
        };
        let given = std::env::var("COUNTERSIGN_SEED").ok();
        let seed = given.map_or_else(drawn, |text| text.parse().expect("COUNTERSIGN_SEED"));
        println!("replay with COUNTERSIGN_SEED={seed}");
        Self(seed)
    }

    /// The next number below `sides` (splitmix64).
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }
}
