//! Money: a currency with its pinned exponent, an amount in minor units, checked sums.
//!
//! Inside, an amount is an integer of minor units (cents, yen, fils); the decimal form exists
//! only at the edges. There is no floating point and no arithmetic that can wrap.

use std::fmt;

use super::text::{Malformed, excerpt};

mod iso4217;

/// Largest amount of one payment, in minor units: 10^15.
pub const AMOUNT_MAX: u64 = 1_000_000_000_000_000;

/// A currency of ISO 4217 with the number of decimals of its minor unit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency {
    code: &'static str,
    exponent: u8,
}

impl Currency {
    /// Looks up an upper-case alphabetic code.
    ///
    /// # Errors
    /// [`Malformed`] with rule `currency` if the code is not in the table of this release.
    pub fn parse(field: &str, code: &str) -> Result<Self, Malformed> {
        iso4217::CURRENCIES
            .iter()
            .find(|(known, _)| *known == code)
            .map(|(code, exponent)| Self { code, exponent: *exponent })
            .ok_or_else(|| {
                let detail = format!(
                    "found {}; expected an ISO 4217 code in capitals, such as \"EUR\"",
                    excerpt(code)
                );
                Malformed::new(field, "currency", detail)
            })
    }

    /// The three-letter code.
    pub fn code(self) -> &'static str {
        self.code
    }

    /// Number of decimals of the minor unit: 0 for JPY, 2 for EUR, 3 for BHD.
    pub fn exponent(self) -> u8 {
        self.exponent
    }

    /// Minor units as a decimal string in the currency's own scale: 1234 EUR is `12.34`.
    pub fn decimal(self, minor_units: u64) -> String {
        let decimals = usize::from(self.exponent);
        if decimals == 0 {
            return minor_units.to_string();
        }
        let digits = format!("{minor_units:0>width$}", width = decimals.saturating_add(1));
        let (whole, fraction) = digits.split_at(digits.len().saturating_sub(decimals));
        format!("{whole}.{fraction}")
    }

    /// The reverse of [`Currency::decimal`]: exactly the canonical form, nothing else.
    ///
    /// # Errors
    /// [`Malformed`] with rule `amount`: signs, exponents, white space, leading zeros, other
    /// digits than ASCII, a wrong number of decimals, or more than 64 bits.
    pub fn minor_units(self, field: &str, text: &str) -> Result<u64, Malformed> {
        let refuse = |expected: String| {
            Malformed::new(field, "amount", format!("found {}; expected {expected}", excerpt(text)))
        };
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        let read = digits.parse::<u64>().ok();
        match read {
            Some(minor_units) if self.decimal(minor_units) == text => Ok(minor_units),
            _ => Err(refuse(format!(
                "a decimal string like \"{}\": digits, {} without sign, exponent, leading zero \
                 or white space",
                self.decimal(1234),
                match self.exponent {
                    0 => "no decimals,".to_owned(),
                    n => format!("a point and {n} decimals,"),
                },
            ))),
        }
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

/// The amount of one payment: 1 to [`AMOUNT_MAX`] minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(u64);

impl Amount {
    /// Parses the canonical decimal string of an amount.
    ///
    /// # Errors
    /// [`Malformed`] with rule `amount` (see [`Currency::minor_units`]), `zero` or `too_large`.
    pub fn parse(field: &str, text: &str, currency: Currency) -> Result<Self, Malformed> {
        match currency.minor_units(field, text)? {
            0 => {
                let detail = "found zero; expected an amount above zero";
                Err(Malformed::new(field, "zero", detail))
            }
            n if n > AMOUNT_MAX => {
                let most = currency.decimal(AMOUNT_MAX);
                let detail = format!("found {}; expected at most {most}", excerpt(text));
                Err(Malformed::new(field, "too_large", detail))
            }
            n => Ok(Self(n)),
        }
    }

    /// Minor units, 1 to [`AMOUNT_MAX`].
    pub fn minor_units(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::parse("currency", code).unwrap()
    }

    #[test]
    fn canonical_amounts_are_read_in_the_currency_own_scale() {
        for (text, code, minor_units) in [
            ("12.34", "EUR", 1234),
            ("0.01", "EUR", 1),
            ("100.00", "EUR", 10_000),
            ("1", "JPY", 1),
            ("1500", "JPY", 1500),
            ("1.234", "BHD", 1234),
            ("100.00", "HUF", 10_000),
            ("10000000000000.00", "EUR", AMOUNT_MAX),
        ] {
            let amount = Amount::parse("amount", text, currency(code)).unwrap();
            assert_eq!(amount.minor_units(), minor_units, "{text} {code}");
            assert_eq!(currency(code).decimal(minor_units), text);
        }
    }

    #[test]
    fn every_other_spelling_of_an_amount_is_refused() {
        for (text, code, rule) in [
            ("", "EUR", "amount"),
            ("1", "EUR", "amount"),
            ("1.0", "EUR", "amount"),
            ("1.000", "EUR", "amount"),
            ("01.00", "EUR", "amount"),
            (".50", "EUR", "amount"),
            ("1.", "EUR", "amount"),
            ("1e3", "EUR", "amount"),
            ("+1", "EUR", "amount"),
            ("+1.00", "EUR", "amount"),
            (" 1", "EUR", "amount"),
            (" 1.00", "EUR", "amount"),
            ("1.00 ", "EUR", "amount"),
            ("-1", "EUR", "amount"),
            ("-1.00", "EUR", "amount"),
            ("1,00", "EUR", "amount"),
            ("1.0.0", "EUR", "amount"),
            ("1_000.00", "EUR", "amount"),
            ("１.００", "EUR", "amount"),
            ("١.٠٠", "EUR", "amount"),
            ("0x10", "JPY", "amount"),
            ("1.00", "JPY", "amount"),
            ("1.00", "BHD", "amount"),
            ("99999999999999999999.00", "EUR", "amount"),
            ("0.00", "EUR", "zero"),
            ("0", "JPY", "zero"),
            ("10000000000000.01", "EUR", "too_large"),
        ] {
            let refused = Amount::parse("amount", text, currency(code)).unwrap_err();
            assert_eq!(refused.rule, rule, "{text:?} {code}: {refused}");
        }
    }

    #[test]
    fn currencies_are_capitals_of_the_table() {
        for code in ["eur", "EURO", "", "XAU", "XXX", "ZZZ", "ＥＵＲ"] {
            assert_eq!(Currency::parse("currency", code).unwrap_err().rule, "currency", "{code}");
        }
        for (code, exponent) in [("HUF", 2), ("ISK", 0), ("KWD", 3), ("VND", 0), ("CHF", 2)] {
            assert_eq!(currency(code).exponent(), exponent, "{code}");
        }
    }

    proptest::proptest! {
        #[test]
        fn decimal_and_minor_units_are_inverse(minor_units: u64, pick: proptest::sample::Index) {
            let (code, _) = iso4217::CURRENCIES[pick.index(iso4217::CURRENCIES.len())];
            let text = currency(code).decimal(minor_units);
            assert_eq!(currency(code).minor_units("amount", &text).unwrap(), minor_units);
        }

        #[test]
        fn what_parses_is_printed_as_it_was_read(text in "[0-9.+e -]{0,12}") {
            if let Ok(read) = currency("EUR").minor_units("amount", &text) {
                assert_eq!(currency("EUR").decimal(read), text);
            }
        }
    }
}
