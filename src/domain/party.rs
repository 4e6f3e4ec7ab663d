//! Who is paid and who pays: creditor, account, debtor.
//!
//! An account is an IBAN or one of a closed set of other schemes, each with a canonical form.
//! Limits, lists and duplicates compare canonical forms, so that two spellings of one account are
//! one account.

use std::fmt;

use super::text::{Malformed, excerpt, identifier, readable};

mod iban;

/// Longest name of a creditor, in characters (ISO 20022 `Max140Text`).
pub const NAME_CHARS_MAX: usize = 140;
/// Longest identifier of a debtor, in characters.
pub const DEBTOR_ID_CHARS_MAX: usize = 64;

/// Schemes of accounts that have no IBAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// United States: nine-digit routing number with its checksum, `/`, account number.
    Ach,
    /// United Kingdom: six-digit sort code, `/`, eight-digit account number.
    SortCode,
    /// An identifier that the payment rail gave to a merchant: letters, digits, hyphens.
    Merchant,
}

impl Scheme {
    /// All schemes, for messages and documentation.
    pub const ALL: [Self; 3] = [Self::Ach, Self::SortCode, Self::Merchant];

    /// The name used in requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ach => "ach",
            Self::SortCode => "sort_code",
            Self::Merchant => "merchant",
        }
    }

    fn parse(field: &str, name: &str) -> Result<Self, Malformed> {
        Self::ALL.into_iter().find(|scheme| scheme.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            let detail = format!("found {}; expected one of {known}", excerpt(name));
            Malformed::new(field, "scheme", detail)
        })
    }

    fn canonical(self, field: &str, id: &str) -> Result<String, Malformed> {
        let refuse = |rule, expected: &str| {
            let detail = format!("found {}; expected {expected}", excerpt(id));
            Malformed::new(field, rule, detail)
        };
        let digits = |text: &str, least: usize, most: usize| {
            (least..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
        };
        match self {
            Self::Ach => match id.split_once('/') {
                Some((routing, account)) if digits(routing, 9, 9) && digits(account, 4, 17) => {
                    if !routing_number_holds(routing) {
                        return Err(refuse("checksum", "a routing number whose checksum holds"));
                    }
                    Ok(id.to_owned())
                }
                _ => Err(refuse("form", "routing number/account number: 9 and 4 to 17 digits")),
            },
            Self::SortCode => {
                let compact: String = id.chars().filter(|c| *c != '-').collect();
                match compact.split_once('/') {
                    Some((sort, account)) if digits(sort, 6, 6) && digits(account, 8, 8) => {
                        Ok(compact)
                    }
                    _ => Err(refuse("form", "sort code/account number: 6 and 8 digits")),
                }
            }
            Self::Merchant => {
                let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
                identifier(field, id, 35, allowed, "letters, digits and hyphens")
                    .map(|id| id.to_ascii_uppercase())
            }
        }
    }
}

/// ABA routing transit number: weights 3, 7, 1, sum divisible by ten.
fn routing_number_holds(routing: &str) -> bool {
    let sum = routing
        .chars()
        .zip([3_u32, 7, 1].into_iter().cycle())
        .try_fold(0_u32, |sum, (digit, weight)| {
            sum.checked_add(digit.to_digit(10)?.checked_mul(weight)?)
        });
    sum.is_some_and(|sum| sum > 0 && sum.checked_rem(10) == Some(0))
}

/// The account of a creditor, in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Account {
    /// An IBAN in electronic form.
    Iban(String),
    /// An account of another scheme.
    Other {
        /// How `id` is to be read.
        scheme: Scheme,
        /// The scheme's canonical form.
        id: String,
    },
}

impl Account {
    /// Reads an IBAN, electronic or printed.
    ///
    /// # Errors
    /// [`Malformed`] with rule `characters`, `country`, `length` or `checksum`.
    pub fn iban(field: &str, text: &str) -> Result<Self, Malformed> {
        iban::parse(&format!("{field}.iban"), text).map(Self::Iban)
    }

    /// Reads an account of one of the other schemes.
    ///
    /// # Errors
    /// [`Malformed`] with rule `scheme`, `iban_under_other`, `form`, `checksum` or that of an
    /// identifier. An IBAN in disguise is refused: one account must have one spelling.
    pub fn other(field: &str, scheme: &str, id: &str) -> Result<Self, Malformed> {
        let scheme = Scheme::parse(&format!("{field}.other.scheme"), scheme)?;
        let field = format!("{field}.other.id");
        if iban::is_iban(&id.replace('-', "")) {
            let detail = format!("found the IBAN {}; put it under account.iban", excerpt(id));
            return Err(Malformed::new(&field, "iban_under_other", detail));
        }
        Ok(Self::Other { scheme, id: scheme.canonical(&field, id)? })
    }
}

impl Account {
    /// Reads the form that lists use: `iban:ES91…`, or a scheme, a colon and an id.
    ///
    /// # Errors
    /// [`Malformed`] with rule `account`, or that of an IBAN or another scheme.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        match text.split_once(':') {
            Some(("iban", iban)) => Self::iban(field, iban),
            Some((scheme, id)) => Self::other(field, scheme, id),
            None => {
                let detail = format!(
                    "found {}; expected \"iban:\" and an IBAN, or a scheme, a colon and an id",
                    excerpt(text)
                );
                Err(Malformed::new(field, "account", detail))
            }
        }
    }
}

impl fmt::Display for Account {
    /// The canonical form that limits, lists and duplicates compare, such as `iban:ES91…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Iban(iban) => write!(f, "iban:{iban}"),
            Self::Other { scheme, id } => write!(f, "{}:{id}", scheme.name()),
        }
    }
}

/// Who is paid: a name for people, an account for machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creditor {
    name: String,
    account: Account,
}

impl Creditor {
    /// A creditor whose name may be shown to people.
    ///
    /// # Errors
    /// [`Malformed`] for the name (see [`readable`]).
    pub fn new(field: &str, name: &str, account: Account) -> Result<Self, Malformed> {
        let name = readable(&format!("{field}.name"), name, NAME_CHARS_MAX)?;
        Ok(Self { name, account })
    }

    /// The name, 1 to 140 characters.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The account.
    pub fn account(&self) -> &Account {
        &self.account
    }
}

/// Who pays, as the caller claims it. The claim lives in that caller's namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DebtorId(String);

impl DebtorId {
    /// An identifier of 1 to 64 letters, digits and `. _ : @ + -`.
    ///
    /// # Errors
    /// [`Malformed`] with rule `empty`, `length` or `characters`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._:@+-".contains(c);
        identifier(field, text, DEBTOR_ID_CHARS_MAX, allowed, "letters, digits and . _ : @ + -")
            .map(Self)
    }

    /// The identifier.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spellings_of_one_account_are_one_account() {
        for (scheme, id, canonical) in [
            ("ach", "021000021/12345678", "ach:021000021/12345678"),
            ("sort_code", "20-00-00/55779911", "sort_code:200000/55779911"),
            ("sort_code", "200000/55779911", "sort_code:200000/55779911"),
            ("merchant", "bakery-sol-7", "merchant:BAKERY-SOL-7"),
        ] {
            assert_eq!(Account::other("account", scheme, id).unwrap().to_string(), canonical);
        }
        let printed = Account::iban("account", "ES91 2100 0418 4502 0005 1332").unwrap();
        assert_eq!(printed, Account::iban("account", "es9121000418450200051332").unwrap());
    }

    #[test]
    fn accounts_of_other_schemes_are_refused_by_the_first_rule_they_break() {
        for (scheme, id, rule) in [
            ("swift", "x", "scheme"),
            ("ACH", "021000021/12345678", "scheme"),
            ("merchant", "ES9121000418450200051332", "iban_under_other"),
            ("merchant", "es91-2100-0418-4502-0005-1332", "iban_under_other"),
            ("ach", "021000021", "form"),
            ("ach", "02100002/12345678", "form"),
            ("ach", "021000022/12345678", "checksum"),
            ("ach", "000000000/12345678", "checksum"),
            ("sort_code", "2000/55779911", "form"),
            ("sort_code", "200000/5577991", "form"),
            ("merchant", "", "empty"),
            ("merchant", "a b", "characters"),
            ("merchant", "ａ", "characters"),
        ] {
            let refused = Account::other("account", scheme, id).unwrap_err();
            assert_eq!(refused.rule, rule, "{scheme} {id}: {refused}");
        }
    }

    #[test]
    fn debtors_are_plain_identifiers() {
        assert_eq!(DebtorId::parse("debtor.id", "user-4711").unwrap().as_str(), "user-4711");
        for (text, rule) in [("", "empty"), ("a b", "characters"), ("ü", "characters")] {
            assert_eq!(DebtorId::parse("debtor.id", text).unwrap_err().rule, rule);
        }
    }
}
