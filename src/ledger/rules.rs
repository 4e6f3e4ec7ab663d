//! What decisions are made by, beside the rows.

use std::sync::Arc;

use crate::domain::people::{Nobody, People};
use crate::domain::policy::Policy;

/// The policy in force, and who is who.
#[derive(Clone)]
pub struct Rules {
    /// The policy in force.
    pub policy: Arc<Policy>,
    /// Who is who.
    pub people: Arc<dyn People>,
}

impl Rules {
    /// A policy without people.
    pub fn without_people(policy: Arc<Policy>) -> Self {
        Self { policy, people: Arc::new(Nobody) }
    }
}
