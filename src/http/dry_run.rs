//! `/v1/payments/dry-run`: what would happen to a payment, and why.

use axum::Json;
use axum::extract::{Extension, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::caller::CallerId;
use crate::domain::ledger::Explanation;
use crate::domain::limits::Measure;
use crate::domain::money::Currency;
use crate::domain::tier::{Asks, Misfit};

use super::Gateway;
use super::approval::ApprovalAnswer;
use super::body::PaymentBody;
use super::denial::{DenialAnswer, shown};
use super::problem::{Problem, ProblemDocument};
use super::wire::PaymentRequest;

/// What would happen to a payment.
#[derive(Debug, Serialize, ToSchema)]
pub struct DryRunAnswer {
    /// `signed`, `awaiting_approval` or `denied`.
    #[schema(example = "signed")]
    pub decision: &'static str,
    /// Whether it would be signed without anybody being asked.
    pub would_sign: bool,
    /// Every check that it would meet, in order, up to the one that fails.
    pub checks: Vec<CheckAnswer>,
    /// The tier that it would fall into.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tier: Option<String>,
    /// Tiers before that one, and why it does not fit them.
    pub passed_over: Vec<PassedOverAnswer>,
    /// Whom that tier would ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub approvals: Option<ApprovalAnswer>,
    /// The denial that it would get.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub denial: Option<DenialAnswer>,
}

/// One check.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckAnswer {
    /// Name of the check.
    pub name: String,
    /// Whether it passed.
    pub passed: bool,
}

/// A tier that the payment does not fit.
#[derive(Debug, Serialize, ToSchema)]
pub struct PassedOverAnswer {
    /// Name of the tier.
    pub tier: String,
    /// Why not.
    pub why: String,
}

impl DryRunAnswer {
    /// What was found out about a payment.
    pub(crate) fn new(found: &Explanation, currency: Currency) -> Self {
        let denial = found.checks.iter().find_map(|check| check.answer.as_ref().err());
        let admission = found.admission.as_ref();
        let approvals = admission.and_then(|admission| match &admission.asks {
            Asks::People(demand) => Some(ApprovalAnswer::of_demand(&admission.rule, demand)),
            Asks::Nobody | Asks::Deny => None,
        });
        let passed_over = found.passed_over.iter().map(|(tier, misfit)| PassedOverAnswer {
            tier: tier.clone(),
            why: why(misfit, currency),
        });
        let check = |name: &str, passed| CheckAnswer { name: name.to_owned(), passed };
        Self {
            decision: match (denial, &approvals) {
                (Some(_), _) => "denied",
                (None, Some(_)) => "awaiting_approval",
                (None, None) => "signed",
            },
            would_sign: denial.is_none() && approvals.is_none(),
            checks: found.checks.iter().map(|c| check(c.name, c.answer.is_ok())).collect(),
            tier: admission.map(|admission| admission.rule.clone()),
            passed_over: passed_over.collect(),
            approvals,
            denial: denial.map(|denial| DenialAnswer::new(denial, currency)),
        }
    }

    /// Why a key is closed to a caller is nothing that the caller may learn.
    fn for_caller(mut self) -> Self {
        if self.denial.as_ref().is_some_and(|denial| denial.rule == "key_not_allowed") {
            self.checks = vec![CheckAnswer { name: "key".to_owned(), passed: false }];
        }
        self
    }
}

fn why(misfit: &Misfit, currency: Currency) -> String {
    match misfit {
        Misfit::Amount(most) => {
            format!("it goes up to {} {currency}", currency.decimal(*most))
        }
        Misfit::Sum(breach) => {
            let shown = |number| shown(breach.measure, currency, number);
            let unit = match breach.measure {
                Measure::Amount => format!(" {currency}"),
                Measure::Count => " payments".to_owned(),
            };
            format!(
                "\"{}\" has room for {} of {}{unit}, and {} asked",
                breach.limit,
                shown(breach.free()),
                shown(breach.cap),
                shown(breach.asked)
            )
        }
    }
}

/// Tells what would happen to a payment, and spends nothing.
#[utoipa::path(
    post, path = "/v1/payments/dry-run", tag = "gateway", request_body = PaymentRequest,
    responses(
        (status = 200, body = DryRunAnswer, description = "what would happen"),
        (status = 413, body = ProblemDocument, content_type = "application/problem+json",
            description = "the body is too large"),
        (status = 415, body = ProblemDocument, content_type = "application/problem+json",
            description = "the body is not JSON"),
        (status = 422, body = ProblemDocument, content_type = "application/problem+json",
            description = "malformed"),
        (status = 503, body = ProblemDocument, content_type = "application/problem+json",
            description = "the ledger cannot be read"),
    )
)]
pub(super) async fn dry_run(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<CallerId>,
    PaymentBody(payment): PaymentBody,
) -> Result<Json<DryRunAnswer>, Problem> {
    let currency = payment.currency();
    let found = gateway.pipeline.dry_run(&caller, payment).await?;
    Ok(Json(DryRunAnswer::new(&found, currency).for_caller()))
}
