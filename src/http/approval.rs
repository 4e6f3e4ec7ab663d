//! Whom a payment waits for, as callers and people read it.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::code::ComparisonCode;
use crate::domain::ledger::Wait;
use crate::domain::quorum::Demand;

/// Whom a payment waits for, and until when.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ApprovalAnswer {
    /// The tier that asks.
    #[schema(example = "touch")]
    pub tier: String,
    /// Whether the debtor must approve in person.
    pub payer: bool,
    /// How many people of which groups must approve.
    pub groups: BTreeMap<String, u32>,
    /// What must be known about every token: `any`, `device_bound` or `attested`.
    #[schema(example = "any")]
    pub hardware: String,
    /// How long they have, in seconds.
    pub expiry_s: i64,
    /// From when on it is too late, RFC 3339; once the payment waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub deadline: Option<String>,
    /// Five words for the order's digest, the same wherever the payment is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "length abandon zoo about ability")]
    pub comparison_code: Option<String>,
}

impl ApprovalAnswer {
    /// What a tier asks for.
    pub(super) fn of_demand(tier: &str, demand: &Demand) -> Self {
        let groups = demand.groups.iter();
        Self {
            tier: tier.to_owned(),
            payer: demand.payer,
            groups: groups.map(|(group, count)| (group.to_string(), *count)).collect(),
            hardware: demand.hardware.name().to_owned(),
            expiry_s: demand.expiry.seconds(),
            deadline: None,
            comparison_code: None,
        }
    }

    /// For whom a payment waits, or waited.
    pub(super) fn of_wait(wait: &Wait) -> Self {
        let digest = wait.order.digest();
        Self {
            deadline: Some(wait.deadline.to_string()),
            comparison_code: Some(ComparisonCode::of(&digest).to_string()),
            ..Self::of_demand(&wait.tier, &wait.demand)
        }
    }

    /// One phrase: `the payer, 2 of treasury; each with an attested token`.
    pub(crate) fn in_words(&self) -> String {
        let groups = self.groups.iter().map(|(group, count)| format!("{count} of {group}"));
        let payer = self.payer.then(|| "the payer".to_owned());
        let who: Vec<String> = payer.into_iter().chain(groups).collect();
        let hardware = match self.hardware.as_str() {
            "device_bound" => "; each with a token that the key never leaves",
            "attested" => "; each with an attested token",
            _ => "",
        };
        format!("{}{hardware}", who.join(", "))
    }
}
