//! International bank account numbers (ISO 13616): country, length, mod-97 checksum.

use crate::domain::text::{Malformed, excerpt};

/// Country code and total length, from the SWIFT IBAN registry, in alphabetical order.
const LENGTHS: &[(&str, usize)] = &[
    ("AD", 24),
    ("AE", 23),
    ("AL", 28),
    ("AT", 20),
    ("AZ", 28),
    ("BA", 20),
    ("BE", 16),
    ("BG", 22),
    ("BH", 22),
    ("BI", 27),
    ("BR", 29),
    ("BY", 28),
    ("CH", 21),
    ("CR", 22),
    ("CY", 28),
    ("CZ", 24),
    ("DE", 22),
    ("DJ", 27),
    ("DK", 18),
    ("DO", 28),
    ("EE", 20),
    ("EG", 29),
    ("ES", 24),
    ("FI", 18),
    ("FK", 18),
    ("FO", 18),
    ("FR", 27),
    ("GB", 22),
    ("GE", 22),
    ("GI", 23),
    ("GL", 18),
    ("GR", 27),
    ("GT", 28),
    ("HN", 28),
    ("HR", 21),
    ("HU", 28),
    ("IE", 22),
    ("IL", 23),
    ("IQ", 23),
    ("IS", 26),
    ("IT", 27),
    ("JO", 30),
    ("KW", 30),
    ("KZ", 20),
    ("LB", 28),
    ("LC", 32),
    ("LI", 21),
    ("LT", 20),
    ("LU", 20),
    ("LV", 21),
    ("LY", 25),
    ("MC", 27),
    ("MD", 24),
    ("ME", 22),
    ("MK", 19),
    ("MN", 20),
    ("MR", 27),
    ("MT", 31),
    ("MU", 30),
    ("NI", 28),
    ("NL", 18),
    ("NO", 15),
    ("OM", 23),
    ("PK", 24),
    ("PL", 28),
    ("PS", 29),
    ("PT", 25),
    ("QA", 29),
    ("RO", 24),
    ("RS", 22),
    ("RU", 33),
    ("SA", 24),
    ("SC", 31),
    ("SD", 18),
    ("SE", 24),
    ("SI", 19),
    ("SK", 24),
    ("SM", 27),
    ("SO", 23),
    ("ST", 25),
    ("SV", 28),
    ("TL", 23),
    ("TN", 24),
    ("TR", 26),
    ("UA", 29),
    ("VA", 22),
    ("VG", 24),
    ("XK", 20),
    ("YE", 30),
];

/// Reads an IBAN in electronic or printed form (groups of four, any case) into electronic form.
///
/// # Errors
/// [`Malformed`] with rule `characters`, `country`, `length` or `checksum`, in this order.
pub(super) fn parse(field: &str, text: &str) -> Result<String, Malformed> {
    let refuse = |rule, expected: String| {
        Malformed::new(field, rule, format!("found {}; expected {expected}", excerpt(text)))
    };
    let electronic: String =
        text.chars().filter(|c| *c != ' ').map(|c| c.to_ascii_uppercase()).collect();
    if electronic.is_empty() || !electronic.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Err(refuse("characters", "letters, digits and grouping spaces".to_owned()));
    }
    let country = electronic.get(..2).unwrap_or(&electronic);
    let Some((_, length)) = LENGTHS.iter().find(|(known, _)| *known == country) else {
        return Err(refuse("country", "the country code of an IBAN country".to_owned()));
    };
    if electronic.len() != *length {
        let expected = format!("{length} characters for {country}, found {}", electronic.len());
        return Err(refuse("length", expected));
    }
    if !checksum_holds(&electronic) {
        return Err(refuse("checksum", "an IBAN whose check digits hold (mod 97)".to_owned()));
    }
    Ok(electronic)
}

/// Whether a text, spaces and case aside, is an IBAN.
pub(super) fn is_iban(text: &str) -> bool {
    parse("", text).is_ok()
}

/// ISO 7064 mod 97-10 over the rearranged number, digit by digit.
fn checksum_holds(electronic: &str) -> bool {
    let (head, tail) = electronic.split_at(4);
    // 00, 01 and 99 are congruent to 97, 98 and 02: they would be second spellings of an account.
    let check_digits_proper = head.get(2..).is_some_and(|digits| {
        digits.bytes().all(|b| b.is_ascii_digit()) && ("02"..="98").contains(&digits)
    });
    let remainder = tail.chars().chain(head.chars()).try_fold(0_u32, |sum, c| {
        let value = c.to_digit(36)?;
        let shift = if value > 9 { 100_u32 } else { 10 };
        sum.checked_mul(shift)?.checked_add(value)?.checked_rem(97)
    });
    check_digits_proper && remainder == Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ibans_are_read_into_electronic_form() {
        for (text, electronic) in [
            ("ES9121000418450200051332", "ES9121000418450200051332"),
            ("ES91 2100 0418 4502 0005 1332", "ES9121000418450200051332"),
            ("de89370400440532013000", "DE89370400440532013000"),
            ("GB82 WEST 1234 5698 7654 32", "GB82WEST12345698765432"),
            ("NO9386011117947", "NO9386011117947"),
            ("BE97000000000002", "BE97000000000002"),
            ("MT84MALT011000012345MTLCAST001S", "MT84MALT011000012345MTLCAST001S"),
        ] {
            assert_eq!(parse("iban", text).unwrap(), electronic);
        }
    }

    #[test]
    fn wrong_ibans_are_refused_by_the_first_rule_they_break() {
        for (text, rule) in [
            ("", "characters"),
            ("ES91-2100-0418", "characters"),
            ("ＥＳ9121000418450200051332", "characters"),
            ("E", "country"),
            ("US9121000418450200051332", "country"),
            ("ES912100041845020005133", "length"),
            ("ES91210004184502000513321", "length"),
            ("ES9221000418450200051332", "checksum"),
            ("ES9121000418450200051323", "checksum"),
            ("ESAA21000418450200051332", "checksum"),
            ("BE00000000000002", "checksum"),
        ] {
            let refused = parse("iban", text).unwrap_err();
            assert_eq!(refused.rule, rule, "{text}: {refused}");
        }
    }
}
