//! A payment: parsed once, and correct afterwards.

use std::fmt;

use super::canonical::Value;
use super::key::KeyId;
use super::money::{Amount, Currency};
use super::party::{Account, Creditor, DebtorId};
use super::text::{Malformed, excerpt, identifier, readable};
use super::time::Timestamp;

/// Longest remittance information, in characters (ISO 20022 `Max140Text`).
pub const REMITTANCE_CHARS_MAX: usize = 140;
/// Longest end-to-end id, in characters (ISO 20022 `Max35Text`).
pub const END_TO_END_ID_CHARS_MAX: usize = 35;

/// A payment as a caller wrote it: texts, nothing checked. Names follow ISO 20022.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PaymentFields {
    /// Name of the settlement key.
    pub key: String,
    /// Decimal string in the currency's scale.
    pub amount: String,
    /// ISO 4217 code.
    pub currency: String,
    /// Name of the creditor.
    pub creditor_name: String,
    /// Account of the creditor: an IBAN or another scheme, exactly one.
    pub creditor_account: AccountFields,
    /// Identifier of the debtor in the caller's namespace.
    pub debtor_id: Option<String>,
    /// End-to-end id.
    pub end_to_end_id: String,
    /// Remittance information.
    pub remittance_information: Option<String>,
    /// When the payment lapses if it has not been signed.
    pub expires_at: Option<String>,
}

/// The account of a creditor as a caller wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountFields {
    /// An IBAN.
    pub iban: Option<String>,
    /// Scheme and id of an account without IBAN.
    pub other: Option<(String, String)>,
}

/// A payment that cannot be wrong: every field parsed, every account canonical.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    key: KeyId,
    amount: Amount,
    currency: Currency,
    creditor: Creditor,
    debtor: Option<DebtorId>,
    end_to_end_id: EndToEndId,
    remittance_information: Option<String>,
    expires_at: Option<Timestamp>,
}

impl Payment {
    /// Parses the fields in the order in which they are documented; the first error is returned.
    ///
    /// # Errors
    /// [`Malformed`] with the path of the field and the violated rule.
    pub fn parse(fields: &PaymentFields) -> Result<Self, Malformed> {
        let key = KeyId::parse("key", &fields.key)?;
        let currency = Currency::parse("currency", &fields.currency)?;
        let amount = Amount::parse("amount", &fields.amount, currency)?;
        let account = parse_account(&fields.creditor_account)?;
        let creditor = Creditor::new("creditor", &fields.creditor_name, account)?;
        let debtor = optional(&fields.debtor_id, |id| DebtorId::parse("debtor.id", id))?;
        let end_to_end_id = EndToEndId::parse("end_to_end_id", &fields.end_to_end_id)?;
        let remittance_information = optional(&fields.remittance_information, |text| {
            readable("remittance_information", text, REMITTANCE_CHARS_MAX)
        })?;
        let expires_at = optional(&fields.expires_at, |text| Timestamp::parse("expires_at", text))?;
        Ok(Self {
            key,
            amount,
            currency,
            creditor,
            debtor,
            end_to_end_id,
            remittance_information,
            expires_at,
        })
    }

    /// The settlement key that is to sign.
    pub fn key(&self) -> &KeyId {
        &self.key
    }

    /// The amount, in minor units of [`Payment::currency`].
    pub fn amount(&self) -> Amount {
        self.amount
    }

    /// The currency.
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// Who is paid.
    pub fn creditor(&self) -> &Creditor {
        &self.creditor
    }

    /// Who pays, as the caller claims it.
    pub fn debtor(&self) -> Option<&DebtorId> {
        self.debtor.as_ref()
    }

    /// The end-to-end id.
    pub fn end_to_end_id(&self) -> &EndToEndId {
        &self.end_to_end_id
    }

    /// Free text for the creditor.
    pub fn remittance_information(&self) -> Option<&str> {
        self.remittance_information.as_deref()
    }

    /// When the payment lapses, if the caller said so.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// The name of the first field in which two payments differ, in the order of documentation.
    pub fn first_difference(&self, other: &Self) -> Option<&'static str> {
        let fields = [
            ("key", self.key == other.key),
            ("amount", self.amount == other.amount),
            ("currency", self.currency == other.currency),
            ("creditor.name", self.creditor.name() == other.creditor.name()),
            ("creditor.account", self.creditor.account() == other.creditor.account()),
            ("debtor.id", self.debtor == other.debtor),
            ("end_to_end_id", self.end_to_end_id == other.end_to_end_id),
            ("remittance_information", self.remittance_information == other.remittance_information),
            ("expires_at", self.expires_at == other.expires_at),
        ];
        fields.into_iter().find(|(_, same)| !same).map(|(name, _)| name)
    }

    /// The canonical form: what the order embeds and what the ledger keeps. Texts only.
    pub fn to_canonical(&self) -> Value {
        let account = match self.creditor.account() {
            Account::Iban(iban) => Value::object([("iban", Some(Value::text(iban)))]),
            Account::Other { scheme, id } => {
                let other = Value::object([
                    ("scheme", Some(Value::text(scheme.name()))),
                    ("id", Some(Value::text(id))),
                ]);
                Value::object([("other", Some(other))])
            }
        };
        let creditor = Value::object([
            ("name", Some(Value::text(self.creditor.name()))),
            ("account", Some(account)),
        ]);
        let debtor =
            self.debtor.as_ref().map(|id| Value::object([("id", Some(Value::text(id.as_str())))]));
        Value::object([
            ("key", Some(Value::text(&self.key))),
            ("amount", Some(Value::text(self.currency.decimal(self.amount.minor_units())))),
            ("currency", Some(Value::text(self.currency))),
            ("creditor", Some(creditor)),
            ("debtor", debtor),
            ("end_to_end_id", Some(Value::text(&self.end_to_end_id))),
            ("remittance_information", self.remittance_information.as_ref().map(Value::text)),
            ("expires_at", self.expires_at.map(Value::text)),
        ])
    }
}

fn optional<T>(
    field: &Option<String>,
    parse: impl FnOnce(&str) -> Result<T, Malformed>,
) -> Result<Option<T>, Malformed> {
    field.as_deref().map(parse).transpose()
}

fn parse_account(fields: &AccountFields) -> Result<Account, Malformed> {
    let field = "creditor.account";
    match (&fields.iban, &fields.other) {
        (Some(iban), None) => Account::iban(field, iban),
        (None, Some((scheme, id))) => Account::other(field, scheme, id),
        (found, _) => {
            let found = if found.is_some() { "both" } else { "neither" };
            let detail = format!("found {found} of iban and other; expected exactly one");
            Err(Malformed::new(field, "one_of", detail))
        }
    }
}

/// The reference that travels from debtor to creditor and is unique per key and creditor account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndToEndId(String);

impl EndToEndId {
    /// 1 to 35 characters of the set that all SEPA banks must pass on unchanged, without a blank
    /// or a slash at either end and without `//`.
    ///
    /// # Errors
    /// [`Malformed`] with rule `empty`, `length`, `characters` or `slashes`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "/-?:().,'+ ".contains(c);
        let expected = "letters, digits, blanks and / - ? : ( ) . , ' +";
        let id = identifier(field, text, END_TO_END_ID_CHARS_MAX, allowed, expected)?;
        if id.trim_matches(['/', ' ']) != id || id.contains("//") {
            let detail = format!(
                "found {}; expected no blank or slash at either end and no \"//\"",
                excerpt(text)
            );
            return Err(Malformed::new(field, "slashes", detail));
        }
        Ok(Self(id))
    }

    /// Whether this is ISO 20022's `NOTPROVIDED`, which any number of payments may carry.
    pub fn is_not_provided(&self) -> bool {
        self.0 == "NOTPROVIDED"
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EndToEndId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identifier of a payment: 128 random bits, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaymentId(u128);

impl PaymentId {
    /// An identifier from random bytes that the caller of this function drew.
    pub fn from_bytes(random: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(random))
    }

    /// The 16 bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Reads 32 lower-case hexadecimal digits.
    ///
    /// # Errors
    /// [`Malformed`] with rule `payment_id`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        u128::from_str_radix(text, 16)
            .ok()
            .map(Self)
            .filter(|id| id.to_string() == text)
            .ok_or_else(|| {
                let detail =
                    format!("found {}; expected 32 lower-case hexadecimal digits", excerpt(text));
                Malformed::new(field, "payment_id", detail)
            })
    }
}

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> PaymentFields {
        PaymentFields {
            key: "settlement-eur".to_owned(),
            amount: "12.34".to_owned(),
            currency: "EUR".to_owned(),
            creditor_name: "Bakery Sol".to_owned(),
            creditor_account: AccountFields {
                iban: Some("ES91 2100 0418 4502 0005 1332".to_owned()),
                other: None,
            },
            debtor_id: Some("user-4711".to_owned()),
            end_to_end_id: "INV-2026-000123".to_owned(),
            remittance_information: Some("2 x croissant".to_owned()),
            expires_at: Some("2026-12-01T12:00:00Z".to_owned()),
        }
    }

    #[test]
    fn a_payment_has_one_canonical_form() {
        let canonical = Payment::parse(&fields()).unwrap().to_canonical().to_canonical();
        assert_eq!(
            canonical,
            concat!(
                r#"{"amount":"12.34","creditor":{"account":{"iban":"ES9121000418450200051332"},"#,
                r#""name":"Bakery Sol"},"currency":"EUR","debtor":{"id":"user-4711"},"#,
                r#""end_to_end_id":"INV-2026-000123","expires_at":"2026-12-01T12:00:00.000Z","#,
                r#""key":"settlement-eur","remittance_information":"2 x croissant"}"#
            )
        );
    }

    type Change = fn(&mut PaymentFields);

    #[test]
    fn each_field_is_refused_by_name_and_rule() {
        let cases: [(&str, &str, Change); 16] = [
            ("key", "characters", |p| p.key = "Settlement".into()),
            ("currency", "currency", |p| p.currency = "eur".into()),
            ("amount", "amount", |p| p.amount = "12.3".into()),
            ("amount", "zero", |p| p.amount = "0.00".into()),
            ("creditor.account", "one_of", |p| p.creditor_account.iban = None),
            ("creditor.account", "one_of", |p| {
                p.creditor_account.other = Some(("ach".into(), "x".into()));
            }),
            ("creditor.account.iban", "checksum", |p| {
                p.creditor_account.iban = Some("ES9221000418450200051332".into());
            }),
            ("creditor.name", "empty", |p| p.creditor_name.clear()),
            ("creditor.name", "length", |p| p.creditor_name = "x".repeat(141)),
            ("creditor.name", "invisible", |p| p.creditor_name = "Bakery\u{202E}Sol".into()),
            ("debtor.id", "empty", |p| p.debtor_id = Some(String::new())),
            ("end_to_end_id", "length", |p| p.end_to_end_id = "x".repeat(36)),
            ("end_to_end_id", "slashes", |p| p.end_to_end_id = "a//b".into()),
            ("end_to_end_id", "slashes", |p| p.end_to_end_id = " a".into()),
            ("remittance_information", "control", |p| {
                p.remittance_information = Some("a\0b".into());
            }),
            ("expires_at", "timestamp", |p| p.expires_at = Some("tomorrow".into())),
        ];
        for (field, rule, change) in cases {
            let mut changed = fields();
            change(&mut changed);
            let refused = Payment::parse(&changed).unwrap_err();
            assert_eq!((refused.field.as_str(), refused.rule), (field, rule), "{refused}");
        }
    }

    #[test]
    fn the_first_difference_is_named() {
        let original = Payment::parse(&fields()).unwrap();
        let cases: [(&str, Change); 9] = [
            ("key", |p| p.key = "settlement-usd".into()),
            ("amount", |p| p.amount = "12.35".into()),
            ("currency", |p| p.currency = "USD".into()),
            ("creditor.name", |p| p.creditor_name = "Bakery Luna".into()),
            ("creditor.account", |p| {
                p.creditor_account.iban = Some("DE89370400440532013000".into());
            }),
            ("debtor.id", |p| p.debtor_id = None),
            ("end_to_end_id", |p| p.end_to_end_id = "INV-2".into()),
            ("remittance_information", |p| p.remittance_information = None),
            ("expires_at", |p| p.expires_at = Some("2026-12-02T12:00:00Z".into())),
        ];
        assert_eq!(original.first_difference(&original.clone()), None);
        for (name, change) in cases {
            let mut changed = fields();
            change(&mut changed);
            let other = Payment::parse(&changed).unwrap();
            assert_eq!(original.first_difference(&other), Some(name));
        }
    }

    #[test]
    fn payment_ids_are_32_hexadecimal_digits() {
        let id = PaymentId::from_bytes([7; 16]);
        assert_eq!(PaymentId::parse("id", &id.to_string()).unwrap(), id);
        for text in ["", "07", "+7070707070707070707070707070707", &"F".repeat(32), &"g".repeat(32)]
        {
            assert_eq!(PaymentId::parse("id", text).unwrap_err().rule, "payment_id", "{text}");
        }
    }
}
