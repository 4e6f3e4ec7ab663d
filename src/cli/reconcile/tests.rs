//! Every way in which what was executed and what was signed can differ.

use super::executed::{Line, parse};
use super::*;
use crate::cli::log::tests::sample::{Sample, whence};

fn compared(sample: &Sample, file: &str, period: [Option<&str>; 2]) -> (Comparison, String) {
    let executed = parse(file, None).unwrap();
    let path = sample.path();
    let [since, until] = period.map(|day| day.map(|day| instant(day).unwrap()));
    let reconcile = Reconcile {
        file: PathBuf::new(),
        column: None,
        since,
        until,
        whence: whence(&["--ledger", path.to_str().unwrap()]),
    };
    let output = Output::new(false);
    let comparison = compare(&reconcile, &executed, &sample.source(), &output).unwrap();
    let told = told::text(&comparison, &executed, &output);
    (comparison, told)
}

fn id(number: u8) -> String {
    Sample::payment(number).to_string()
}

#[test]
fn what_agrees_is_well() {
    let sample = Sample::told();
    let jws = |number| {
        sample.source().row(Sample::payment(number)).unwrap().unwrap().compact_jws().unwrap()
    };
    let file = format!("{}\n{}\n", jws(1), id(3));
    let (comparison, told) = compared(&sample, &file, [None, None]);
    assert_eq!(comparison.exit(), Exit::Done, "{told}");
    assert_eq!(told, "signed  2 of the 2 payments executed, 12.84 EUR");
}

#[test]
fn each_difference_is_told_with_its_own_words() {
    let sample = Sample::told();
    let jws = sample.source().row(Sample::payment(1)).unwrap().unwrap().compact_jws().unwrap();
    let (signed, _) = jws.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", "A".repeat(86));
    let both = format!("{}\n{}\n", id(1), id(3));
    for (more, exit, told) in [
        (id(9), Exit::Alarm, "the log knows no such payment"),
        (id(2), Exit::Alarm, "it was denied, says leaf 3"),
        (id(4), Exit::Alarm, "it was given up unsigned, says leaf 7"),
        (id(5), Exit::Alarm, "it was accepted and not signed so far, says leaf 10"),
        (forged, Exit::Alarm, "with another signature than the one on the record, leaf 2"),
        (id(3), Exit::Differs, "lines 2, 3"),
    ] {
        let (comparison, found) = compared(&sample, &format!("{both}{more}"), [None, None]);
        assert!(found.contains(told), "{found}");
        assert_eq!(comparison.exit(), exit, "{found}");
        assert!(comparison.never_executed.is_empty(), "{found}");
    }
}

#[test]
fn what_was_signed_within_the_period_is_missed() {
    let sample = Sample::told();
    let third = id(3);
    let all = "missing  1 payment signed and not executed, 0.50 EUR";
    for (period, told) in [
        ([None, None], all),
        ([Some("2027-01-15"), Some("2027-01-16")], all),
        ([None, Some("2027-01-15T08:03:00Z")], "signed  1 of the 1 payment executed, 12.34 EUR"),
        ([Some("2027-01-15T08:03:01Z"), None], "signed  1 of the 1 payment executed, 12.34 EUR"),
    ] {
        let (comparison, found) = compared(&sample, &third, period);
        assert!(found.starts_with(told), "{period:?}: {found}");
        let expected = if told == all { Exit::Differs } else { Exit::Done };
        assert_eq!(comparison.exit(), expected, "{found}");
    }
}

#[test]
fn one_file_has_many_forms() {
    let (a, b) = (id(1), id(2));
    let expected = [Sample::payment(1), Sample::payment(2)];
    for (file, column) in [
        (format!("{a}\n{b}"), None),
        (format!("\u{feff}{a}\r\n\r\n{b}\r\n"), None),
        (format!("payment\n{a}\n{b}\n"), None),
        (format!("amount,payment_id,note\n1.00,{a},\"a, b\"\n1.00,{b},\"say \"\"x\"\"\"\n"), None),
        (format!("amount;payment\n1,00;{a}\n1,00;{b}\n"), None),
        (format!("id\tpayment\n1\t{a}\n2\t{b}\n"), None),
        (format!("when,reference\nnow,{a}\nnow,{b}\n"), Some("reference")),
        (format!("{{\"payment\":\"{a}\"}}\n{{\"payment\":\"{b}\",\"more\":[1]}}\n"), None),
        (format!("{{\"ref\":\"{a}\",\"id\":\"7\"}}\n{{\"ref\":\"{b}\"}}\n"), Some("ref")),
    ] {
        let executed = parse(&file, column).unwrap();
        assert_eq!(executed.payments().map(|(id, _)| id).collect::<Vec<_>>(), expected, "{file}");
    }
    let twice = parse(&format!("{a}\n{a}\n"), None).unwrap();
    let line = |number| Line { number, jws: None };
    assert_eq!(twice.payments().next().unwrap().1, [line(1), line(2)]);
}

#[test]
fn what_cannot_be_read_is_refused_by_its_line() {
    let a = id(1);
    for (file, column, told) in [
        (String::new(), None, "line 1: found nothing"),
        ("\n \n".to_owned(), None, "line 1: found nothing"),
        (format!("{a}\n{}", a.to_uppercase().replace('0', "A")), None, "line 2: found"),
        (format!("{a}\nINV-1"), None, "line 2: found \"INV-1\"; expected a payment id"),
        (format!("{a}\na.b.c"), None, "line 2: found \"a.b.c\", whose payload names no payment"),
        (format!("a,b\n1,{a}"), None, "line 1: found several columns"),
        (format!("a,b\n1,{a}"), Some("c"), "line 1: expected a header with the column c"),
        (format!("payment,b\n{a},\"x"), None, "line 2: found a quote that does not end"),
        (format!("{{\"payment\":\"{a}\"}}\n{{"), None, "line 2: EOF"),
        ("{\"payment\":7}".to_owned(), None, "line 1: expected a member payment or payment_id"),
    ] {
        let refused = parse(&file, column).unwrap_err();
        assert!(refused.starts_with(told), "{file}: {refused}");
    }
}
