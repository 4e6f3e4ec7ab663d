//! Random histories against a naive model that keeps every payment in a list and sums it.

use std::collections::HashMap;

use super::*;
use crate::domain::time::SlotWidth;

/// A small generator, so that a printed seed replays a history.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Random histories against a list of everything: no cap is ever exceeded, nothing is denied that
/// a naive sum would admit, and every id has one answer.
#[test]
fn random_histories_agree_with_a_naive_model() {
    let seed = 20_261_124;
    println!("seed {seed}");
    for history in 0..40 {
        run_history(Dice(seed + history), 500);
    }
}

fn run_history(mut dice: Dice, steps: u32) {
    let mut desk = Desk::new();
    let mut open: Vec<SigningAuthorization> = Vec::new();
    let mut posted: Vec<(Timestamp, u64)> = Vec::new();
    let mut amounts: HashMap<String, u64> = HashMap::new();
    let mut now_s = 0;
    for _ in 0..steps {
        now_s += i64::try_from(dice.roll(4_000)).unwrap();
        let now = at(now_s);
        match dice.roll(10) {
            0..=5 => {
                let id = format!("id-{}", dice.roll(400));
                let amount = 1 + dice.roll(6_000);
                let text = format!("{}.{:02}", amount / 100, amount % 100);
                let asked = payment(|p| p.amount = text);
                let first = SlotWidth::Quarter.slot_at(now.minus(Duration::from_seconds(86_400)));
                let in_window =
                    |(when, _): &&(Timestamp, u64)| SlotWidth::Quarter.slot_at(*when) >= first;
                let held: u64 = open.iter().map(|a| amounts[&a.payment().to_string()]).sum();
                let sum: u64 = posted.iter().filter(in_window).map(|(_, amount)| amount).sum();
                let count = posted.iter().filter(in_window).count() + open.len();
                let fits = amount <= 5_000 && held + sum + amount <= 10_000 && count < 5;
                match desk.submit_as("shop", &id, asked, now) {
                    Reservation::Authorised(record, authorization) => {
                        assert!(fits, "admitted {amount} beside {held} held and {sum} posted");
                        amounts.insert(record.id.to_string(), amount);
                        open.push(authorization);
                    }
                    Reservation::Denied(_) => assert!(!fits, "denied {amount}: {held} + {sum}"),
                    Reservation::Known(_) | Reservation::Conflict { .. } => {}
                    Reservation::NoSigner => panic!("there is a signer"),
                }
            }
            6..=8 if !open.is_empty() => {
                let authorization = open.swap_remove(
                    usize::try_from(dice.roll(u64::try_from(open.len()).unwrap())).unwrap(),
                );
                posted.push((now, amounts[&authorization.payment().to_string()]));
                assert_eq!(desk.working.advance(now), []);
                let posting = post(now, &mut desk.working, &signed(authorization)).unwrap();
                assert!(matches!(posting, Posting::Posted(_)));
            }
            9 if !open.is_empty() => {
                let authorization = open.pop().unwrap();
                let id = authorization.payment();
                assert!(void(now, &mut desk.working, id, VoidReason::Officer).unwrap().is_some());
                let late = post(now, &mut desk.working, &signed(authorization)).unwrap();
                assert_eq!(late, Posting::Dropped);
            }
            _ => {}
        }
    }
}
