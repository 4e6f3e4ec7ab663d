//! Request bodies and headers: bounded, JSON only, every fault named by its field.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::domain::caller::IdempotencyKey;
use crate::domain::payment::{Payment, PaymentFields};
use crate::domain::text::Malformed;

use super::problem::Problem;
use super::wire::PaymentRequest;

/// Largest request body, in bytes: several times the longest payment.
pub(super) const BODY_BYTES_MAX: usize = 16 * 1024;
/// Longest that a body may take to arrive.
const BODY_WAIT_MAX: Duration = Duration::from_secs(10);

/// The payment in a request body.
pub(super) struct PaymentBody(pub(super) Payment);

impl<S: Send + Sync> FromRequest<S> for PaymentBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        expect_json(request.headers())?;
        let bytes = bounded(request.into_body()).await?;
        let request: PaymentRequest = read_json(&bytes)?;
        Ok(Self(Payment::parse(&PaymentFields::from(request))?))
    }
}

/// Reads the `Idempotency-Key` header.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<IdempotencyKey, Problem> {
    let field = "Idempotency-Key";
    let mut values = headers.get_all("idempotency-key").iter();
    let malformed = |rule, detail: &str| Problem::from(Malformed::new(field, rule, detail));
    match (values.next(), values.next()) {
        (None, _) => Err(malformed(
            "missing",
            "found no such header; expected one that names the payment, so that a retry is \
             recognised",
        )),
        (Some(_), Some(_)) => Err(malformed("repeated", "found it twice; expected it once")),
        (Some(only), None) => match only.to_str() {
            Ok(text) => Ok(IdempotencyKey::parse(field, text)?),
            Err(_) => Err(malformed("characters", "found bytes that are not visible ASCII")),
        },
    }
}

fn expect_json(headers: &HeaderMap) -> Result<(), Problem> {
    let found = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = found.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let found = found.map_or("none".to_owned(), |text| format!("{text:?}"));
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "content_type",
        "The body has another media type",
        format!("found {found}; expected application/json"),
    ))
}

async fn bounded(body: Body) -> Result<Vec<u8>, Problem> {
    let collected = Limited::new(body, BODY_BYTES_MAX).collect();
    match tokio::time::timeout(BODY_WAIT_MAX, collected).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes().to_vec()),
        Ok(Err(refused)) if refused.is::<LengthLimitError>() => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "The body is too large",
            format!("found more than {BODY_BYTES_MAX} bytes; expected one payment"),
        )),
        Ok(Err(_)) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "body_incomplete",
            "The body did not arrive",
            "the connection broke before the body was complete; nothing was decided",
        )),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_timeout",
            "The body did not arrive",
            format!("expected it within {} s; nothing was decided", BODY_WAIT_MAX.as_secs()),
        )),
    }
}

/// Reads JSON strictly: no unknown, missing or repeated members, nothing after the end, and no
/// lists, which the parser would take for objects without names.
fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    if holds_a_list(bytes) {
        let detail = "found a JSON list; expected objects and strings only";
        return Err(Malformed::new("body", "type", detail));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut deserializer).map_err(|refused| {
        let path = refused.path().to_string();
        fault(&path, &refused.into_inner())
    })?;
    deserializer.end().map_err(|refused| fault(".", &refused))?;
    Ok(read)
}

/// Whether an opening bracket stands outside of strings.
fn holds_a_list(bytes: &[u8]) -> bool {
    let (mut in_string, mut escaped) = (false, false);
    bytes.iter().any(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' => return !in_string,
            _ => {}
        }
        false
    })
}

/// Rules by how the parser's message begins; whether the message names a member of the object at
/// the path.
const FAULTS: [(&str, &str, bool); 4] = [
    ("unknown field `", "unknown_field", true),
    ("missing field `", "missing_field", true),
    ("duplicate field `", "duplicate_field", true),
    ("invalid type: ", "type", false),
];

fn fault(path: &str, refused: &serde_json::Error) -> Malformed {
    let message = refused.to_string();
    let known = FAULTS.iter().find(|(begins, ..)| message.starts_with(begins));
    let Some((begins, rule, names_member)) = known else {
        let detail = format!("found text that is not the JSON expected: {message}");
        let field = path.trim_end_matches(".?");
        return Malformed::new(if field.len() > 1 { field } else { "body" }, "syntax", detail);
    };
    let rest = message.strip_prefix(begins).unwrap_or_default();
    let member = rest.split('`').next().filter(|_| *names_member);
    let parent = path.trim_end_matches(".?");
    let field = match member {
        // The parser's path may or may not have reached the member already.
        Some(member) if parent == "." || parent == "?" || parent == member => member.to_owned(),
        Some(member) if parent.ends_with(&format!(".{member}")) => parent.to_owned(),
        Some(member) => format!("{parent}.{member}"),
        None if parent == "." => "body".to_owned(),
        None => parent.to_owned(),
    };
    Malformed::new(&field, rule, format!("found JSON that is refused: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"key":"k","amount":"1.00","currency":"EUR",
        "creditor":{"name":"n","account":{"iban":"i"}},"end_to_end_id":"e"}"#;

    #[test]
    fn faults_of_json_name_the_field_and_the_rule() {
        assert!(read_json::<PaymentRequest>(GOOD.as_bytes()).is_ok());
        let deep = "[".repeat(10_000);
        for (old, new, field, rule) in [
            ("\"1.00\"", "1.00", "amount", "type"),
            ("\"1.00\"", "null", "amount", "type"),
            ("\"k\"", "\"k\",\"debtor\":null", "debtor", "type"),
            ("\"k\"", "\"k\",\"debtor\":{\"id\":7}", "debtor.id", "type"),
            ("\"k\"", "\"k\",\"expires_at\":null", "expires_at", "type"),
            ("\"k\"", "\"k\",\"tip\":\"1\"", "tip", "unknown_field"),
            ("\"k\"", "\"k\",\"key\":\"k\"", "key", "duplicate_field"),
            ("\"k\"", "\"k\",\"\\u006bey\":\"k\"", "key", "duplicate_field"),
            ("\"n\"", "\"n\",\"name\":\"m\"", "creditor.name", "duplicate_field"),
            ("\"n\"", "\"n\",\"bic\":\"m\"", "creditor.bic", "unknown_field"),
            ("\"iban\":\"i\"", "\"bic\":\"i\"", "creditor.account.bic", "unknown_field"),
            ("\"name\":\"n\",", "", "creditor.name", "missing_field"),
            ("\"key\":\"k\",", "", "key", "missing_field"),
            ("\"k\"", "\"k\\ud800\"", "key", "syntax"),
            ("\"k\"", deep.as_str(), "body", "type"),
            ("\"e\"}", "\"e\"} {}", "body", "syntax"),
            ("\"e\"}", "\"e\"", "body", "syntax"),
            ("{\"key\"", "[{\"key\"", "body", "type"),
            ("{\"iban\":\"i\"}", "[\"i\"]", "body", "type"),
            ("{\"iban\":\"i\"}", "{\"iban\":\"\\\"[\"}", "", ""),
        ] {
            let text = GOOD.replacen(old, new, 1);
            let Err(refused) = read_json::<PaymentRequest>(text.as_bytes()) else {
                assert_eq!(rule, "", "{new} was read");
                continue;
            };
            assert_eq!((refused.field.as_str(), refused.rule), (field, rule), "{new}: {refused}");
        }
        assert_eq!(read_json::<PaymentRequest>(b"").unwrap_err().rule, "syntax");
        assert_eq!(read_json::<PaymentRequest>(b"\xff{}").unwrap_err().rule, "syntax");
    }
}
