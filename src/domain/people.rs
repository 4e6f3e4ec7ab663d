//! What decisions need to know about people.

use super::credential::{Credential, CredentialId};
use super::person::{Approver, GroupId, PayerId, PersonId};
use super::time::Timestamp;

/// How a debtor stands as a person with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayerStanding {
    /// Nobody enrolled a token for this debtor.
    NotEnrolled,
    /// A token is enrolled, and counts from then on.
    CoolingOff(Timestamp),
    /// A token is enrolled and counts.
    Enrolled,
    /// "That was not me": nothing is paid in this name until officers say so.
    Frozen,
}

/// Who is in the registry. Implemented by the registry, by [`Nobody`], and by tests.
pub trait People: Send + Sync {
    /// How a debtor stands at an instant.
    fn payer(&self, payer: &PayerId, now: Timestamp) -> PayerStanding;

    /// The groups that a person is in; none for those who are unknown.
    fn groups_of(&self, person: &PersonId) -> Vec<GroupId>;

    /// The people in a group.
    fn members(&self, group: &GroupId) -> Vec<PersonId>;

    /// Whose credential it is at an instant, if it counts then.
    fn credential(&self, id: &CredentialId, now: Timestamp) -> Option<(Approver, Credential)>;
}

/// An installation without people.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl People for Nobody {
    fn payer(&self, _: &PayerId, _: Timestamp) -> PayerStanding {
        PayerStanding::NotEnrolled
    }

    fn groups_of(&self, _: &PersonId) -> Vec<GroupId> {
        Vec::new()
    }

    fn members(&self, _: &GroupId) -> Vec<PersonId> {
        Vec::new()
    }

    fn credential(&self, _: &CredentialId, _: Timestamp) -> Option<(Approver, Credential)> {
        None
    }
}
