//! People without a registry, for the tests of the rules.

use super::*;
use crate::domain::credential::{Credential, CredentialId, CredentialKind, Hardware};
use crate::domain::key::{Algorithm, PublicKey};
use crate::domain::people::{PayerStanding, People};
use crate::domain::person::{Approver, GroupId, PayerId, PersonId};

/// Who is who, said outright.
#[derive(Default, Clone)]
pub(super) struct Circle {
    pub(super) groups: BTreeMap<PersonId, Vec<GroupId>>,
    pub(super) payers: BTreeMap<PayerId, PayerStanding>,
    pub(super) credentials: BTreeMap<CredentialId, (Approver, Credential)>,
}

pub(super) fn person(name: &str) -> PersonId {
    PersonId::parse("person", name).unwrap()
}

pub(super) fn group(name: &str) -> GroupId {
    GroupId::parse("group", name).unwrap()
}

pub(super) fn credential_id(name: &str) -> CredentialId {
    CredentialId::from_bytes("id", name.as_bytes().to_vec()).unwrap()
}

impl Circle {
    /// Puts a person into groups, with a token that is named like the person.
    pub(super) fn add(&mut self, name: &str, groups: &[&str], hardware: Hardware) {
        let groups = groups.iter().map(|name| group(name)).collect();
        self.groups.insert(person(name), groups);
        self.give(Approver::Person(person(name)), name, hardware);
    }

    /// Enrols a debtor of the shop.
    pub(super) fn enrol(&mut self, debtor: &str, standing: PayerStanding) {
        let Approver::Payer(enrolled) = payer(debtor) else { unreachable!() };
        self.payers.insert(enrolled, standing);
        self.give(payer(debtor), debtor, Hardware::DeviceBound);
    }

    /// Gives somebody a token.
    pub(super) fn give(&mut self, owner: Approver, name: &str, hardware: Hardware) {
        let key = PublicKey::from_bytes(Algorithm::EdDsa, &[1; 32]).unwrap();
        let (id, kind) = (credential_id(name), CredentialKind::WebAuthn);
        let credential = Credential { id: id.clone(), kind, key, hardware, device: String::new() };
        self.credentials.insert(id, (owner, credential));
    }
}

pub(super) fn payer(debtor: &str) -> Approver {
    Approver::parse("payer", &format!("payer:shop/{debtor}")).unwrap()
}

impl People for Circle {
    fn payer(&self, payer: &PayerId, _: Timestamp) -> PayerStanding {
        self.payers.get(payer).copied().unwrap_or(PayerStanding::NotEnrolled)
    }

    fn groups_of(&self, person: &PersonId) -> Vec<GroupId> {
        self.groups.get(person).cloned().unwrap_or_default()
    }

    fn members(&self, group: &GroupId) -> Vec<PersonId> {
        let members = self.groups.iter().filter(|(_, groups)| groups.contains(group));
        members.map(|(person, _)| person.clone()).collect()
    }

    fn credential(&self, id: &CredentialId, _: Timestamp) -> Option<(Approver, Credential)> {
        self.credentials.get(id).cloned()
    }
}
