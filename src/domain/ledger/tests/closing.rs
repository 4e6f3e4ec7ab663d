//! What a payment leaves when its row goes.

use super::*;
use crate::domain::time::SlotWidth;

/// One payment of each state; decided upon at 0, settled at 2.
fn fates() -> Vec<(&'static str, Arc<PaymentRecord>)> {
    let mut desk = Desk::new();
    let paid = desk.authorised("paid", "1.00");
    let lost = desk.authorised("lost", "2.00").payment();
    let open = desk.authorised("open", "3.00").payment();
    let Reservation::Denied(denied) = desk.submit("denied", "99.00") else { panic!("admitted") };
    let Posting::Posted(posted) = post(at(2), &mut desk.working, &signed(paid)).unwrap() else {
        panic!("dropped");
    };
    let voided = void(at(2), &mut desk.working, lost, VoidReason::Officer).unwrap().unwrap();
    let open = Arc::clone(desk.working.payment(open).unwrap());
    vec![("posted", posted), ("voided", voided), ("denied", denied), ("open", open)]
}

#[test]
fn a_payment_closes_once_it_has_been_final_for_long_enough() {
    for (name, record) in fates() {
        let closes = |seconds| Closing::of(&record, at(seconds)).is_some();
        let expected = match name {
            "denied" => [false, true, true],
            "open" => [false; 3],
            _ => [false, false, true],
        };
        assert_eq!([-1, 1, 2].map(closes), expected, "{name}");
    }
}

#[test]
fn only_what_was_posted_adds_to_later_sums_and_it_counts_until_its_day_is_over() {
    for (name, record) in fates().into_iter().filter(|(name, _)| *name != "open") {
        let closing = Closing::of(&record, at(2)).unwrap();
        if name != "posted" {
            assert_eq!(closing.shares, [], "{name}");
            continue;
        }
        let axes: Vec<Axis> = closing.shares.iter().map(|share| share.axis).collect();
        // No debtor is named.
        assert_eq!(axes, [Axis::Key, Axis::Caller, Axis::Creditor]);
        for share in &closing.shares {
            assert_eq!((share.spend, &share.key), (Spend::one(100), &key("settlement-eur")));
            // 2027-01-15T23:45:00Z.
            assert_eq!(share.slot.start_s(), 1_800_000_000 + 15 * 3_600 + 45 * 60);
            assert!(share.slot >= SlotWidth::Quarter.slot_at(at(2)));
        }
    }
}

#[test]
fn requests_are_told_apart_by_caller_and_key() {
    let of = |who: &str, id: &str| {
        RequestDigest::of(&caller(who), &IdempotencyKey::parse("id", id).unwrap())
    };
    let all =
        [of("shop", "a"), of("shop", "b"), of("free", "a"), of("shopa", "b"), of("shop", "ab")];
    let different: BTreeSet<&[u8]> =
        all.iter().map(|digest| digest.as_bytes().as_slice()).collect();
    assert_eq!(different.len(), all.len());
    assert_eq!(of("shop", "a"), of("shop", "a"));
}

#[test]
fn an_erasure_names_the_range_of_its_decisions_and_nothing_is_no_event() {
    let payments: Vec<Closing> =
        fates().iter().filter_map(|(_, record)| Closing::of(record, at(2))).collect();
    let erasure = Erasure { before: at(2), payments, is_last: false };
    let event =
        crate::domain::leaf::Event::Erased { payments: 3, before: at(2), first: 0, last: 3 };
    assert_eq!(erasure.event(), Some(event));
    let nothing = Erasure { before: at(2), payments: Vec::new(), is_last: true };
    assert_eq!(nothing.event(), None);
}
