//! Quorums: who must approve, and whether those who did are enough.

use std::collections::BTreeMap;

use super::credential::Hardware;
use super::person::{Approver, GroupId, PersonId};
use super::time::Duration;

/// Most approvals that a tier may ask for.
pub const SEATS_MAX: u32 = 16;

/// Whose approval is asked for. Never empty: nobody is a word of the tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// Whether the debtor must approve in person.
    pub payer: bool,
    /// How many of which groups; each count from 1 to [`SEATS_MAX`].
    pub groups: BTreeMap<GroupId, u32>,
    /// What must be known about every token that is used.
    pub hardware: Hardware,
    /// How long there is time for it.
    pub expiry: Duration,
}

/// One approval that counts: by whom, and in which groups that person is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Who.
    pub approver: Approver,
    /// The groups of a person; none for payers.
    pub groups: Vec<GroupId>,
    /// What is known about the token.
    pub hardware: Hardware,
}

/// What is still asked for; empty if the quorum is met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    /// Whether the debtor has not approved yet.
    pub payer: bool,
    /// How many more of which groups.
    pub groups: BTreeMap<GroupId, u32>,
}

impl Missing {
    /// Whether nothing is.
    pub fn is_nothing(&self) -> bool {
        !self.payer && self.groups.is_empty()
    }
}

impl Demand {
    /// What is missing beside these approvals. A person counts once, for one seat of one group, and
    /// seats are filled so that as many as possible are: the order of approvals changes nothing.
    pub fn missing(&self, given: &[Approval]) -> Missing {
        let sound = |approval: &&Approval| approval.hardware >= self.hardware;
        let payer = given.iter().filter(sound).any(|a| matches!(a.approver, Approver::Payer(_)));
        // What somebody's several tokens prove together is no more than the person.
        let mut people: BTreeMap<&PersonId, &Approval> = BTreeMap::new();
        for approval in given.iter().filter(sound) {
            if let Approver::Person(person) = &approval.approver {
                people.entry(person).or_insert(approval);
            }
        }
        let people: Vec<&Approval> = people.into_values().collect();
        let mut seating = Seating::new(self);
        for person in 0..people.len() {
            let mut tried = vec![false; seating.seats.len()];
            seating.place(&people, person, &mut tried);
        }
        Missing { payer: self.payer && !payer, groups: seating.empty() }
    }

    /// How many approvals it takes in all.
    pub fn seats(&self) -> u32 {
        self.groups.values().fold(u32::from(self.payer), |sum, count| sum.saturating_add(*count))
    }
}

/// Who sits where: a maximum matching of people and seats, by augmenting paths.
struct Seating<'a> {
    seats: Vec<(&'a GroupId, Option<usize>)>,
}

impl<'a> Seating<'a> {
    fn new(demand: &'a Demand) -> Self {
        let seats = demand.groups.iter().flat_map(|(group, count)| {
            let count = usize::try_from((*count).min(SEATS_MAX)).unwrap_or_default();
            std::iter::repeat_n((group, None), count)
        });
        Self { seats: seats.collect() }
    }

    /// Finds a seat for a person, moving others to seats of their other groups where that helps.
    fn place(&mut self, people: &[&Approval], person: usize, tried: &mut [bool]) -> bool {
        let Some(groups) = people.get(person).map(|person| &person.groups) else { return false };
        for seat in 0..self.seats.len() {
            let Some((group, sitting)) = self.seats.get(seat).copied() else { continue };
            let Some(seen) = tried.get_mut(seat) else { continue };
            if *seen || !groups.contains(group) {
                continue;
            }
            *seen = true;
            let free = match sitting {
                None => true,
                Some(other) => self.place(people, other, tried),
            };
            if free {
                if let Some(seat) = self.seats.get_mut(seat) {
                    seat.1 = Some(person);
                }
                return true;
            }
        }
        false
    }

    fn empty(&self) -> BTreeMap<GroupId, u32> {
        let mut empty: BTreeMap<GroupId, u32> = BTreeMap::new();
        for (group, _) in self.seats.iter().filter(|(_, sitting)| sitting.is_none()) {
            let count = empty.entry((*group).clone()).or_default();
            *count = count.saturating_add(1);
        }
        empty
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(payer: bool, groups: &[(&str, u32)], hardware: Hardware) -> Demand {
        let groups = groups.iter().map(|(g, n)| (GroupId::parse("g", g).unwrap(), *n)).collect();
        Demand { payer, groups, hardware, expiry: Duration::from_seconds(900) }
    }

    fn by(who: &str, groups: &[&str], hardware: Hardware) -> Approval {
        let groups = groups.iter().map(|g| GroupId::parse("g", g).unwrap()).collect();
        Approval { approver: Approver::parse("a", who).unwrap(), groups, hardware }
    }

    #[test]
    fn a_person_counts_once_and_for_one_seat() {
        use Hardware::{Attested, DeviceBound, Unproven};
        let any = |who, groups| by(who, groups, Unproven);
        let payer = "payer:shop/user-1";
        let (a, b) = (["a"].as_slice(), ["b"].as_slice());
        let both = ["a", "b"].as_slice();
        type Row = (Demand, Vec<Approval>, bool, &'static [(&'static str, u32)]);
        let table: Vec<Row> = vec![
            (demand(false, &[("a", 1)], Unproven), vec![], false, &[("a", 1)]),
            (demand(false, &[("a", 1)], Unproven), vec![any("person:x", a)], false, &[]),
            (demand(false, &[("a", 1)], Unproven), vec![any("person:x", b)], false, &[("a", 1)]),
            (demand(false, &[("a", 1)], Unproven), vec![any("person:x", &[])], false, &[("a", 1)]),
            // One person with two tokens is one person.
            (
                demand(false, &[("a", 2)], Unproven),
                vec![any("person:x", a), by("person:x", a, Attested)],
                false,
                &[("a", 1)],
            ),
            // In two groups, still one seat.
            (
                demand(false, &[("a", 1), ("b", 1)], Unproven),
                vec![any("person:x", both)],
                false,
                &[("b", 1)],
            ),
            // Whoever is in both groups makes room for whoever is in one, in any order.
            (
                demand(false, &[("a", 1), ("b", 1)], Unproven),
                vec![any("person:x", both), any("person:y", a)],
                false,
                &[],
            ),
            (
                demand(false, &[("a", 1), ("b", 1)], Unproven),
                vec![any("person:y", both), any("person:x", b)],
                false,
                &[],
            ),
            // The payer counts for payer only, and nobody else does.
            (demand(true, &[], Unproven), vec![any(payer, &[])], false, &[]),
            (demand(true, &[], Unproven), vec![any("person:x", a)], true, &[]),
            (demand(false, &[("a", 1)], Unproven), vec![any(payer, a)], false, &[("a", 1)]),
            // Hardware is demanded of each.
            (
                demand(true, &[("a", 1)], DeviceBound),
                vec![any(payer, &[]), by("person:x", a, Attested)],
                true,
                &[],
            ),
            (
                demand(false, &[("a", 2)], Attested),
                vec![by("person:x", a, DeviceBound), by("person:y", a, Attested)],
                false,
                &[("a", 1)],
            ),
            (
                demand(false, &[("a", 1)], Attested),
                vec![by("person:x", a, DeviceBound), by("person:x", a, Attested)],
                false,
                &[],
            ),
        ];
        for (row, (demand, given, payer, groups)) in table.into_iter().enumerate() {
            let missing = demand.missing(&given);
            let groups: Vec<_> = groups.iter().map(|(g, n)| ((*g).to_owned(), *n)).collect();
            let found: Vec<_> = missing.groups.iter().map(|(g, n)| (g.to_string(), *n)).collect();
            assert_eq!((missing.payer, found), (payer, groups), "row {row}");
            let mut backward = given.clone();
            backward.reverse();
            let both = (demand.missing(&backward).is_nothing(), missing.is_nothing());
            assert_eq!(both.0, both.1, "row {row}: the order of approvals changes nothing");
        }
    }

    proptest::proptest! {
        /// Against trying every way to seat everybody.
        #[test]
        fn seats_are_filled_as_well_as_they_can_be(
            counts in proptest::collection::vec(0_u32..3, 3),
            people in proptest::collection::vec(proptest::bits::u8::masked(7), 0..6),
        ) {
            let names = ["a", "b", "c"];
            let wanted: Vec<(&str, u32)> =
                names.iter().zip(&counts).filter(|(_, n)| **n > 0).map(|(g, n)| (*g, *n)).collect();
            let given: Vec<Approval> = people.iter().enumerate().map(|(i, mask)| {
                let groups: Vec<&str> = (0..3).filter(|b| mask & (1 << b) != 0).map(|b| names[b]).collect();
                by(&format!("person:p{i}"), &groups, Hardware::Unproven)
            }).collect();
            fn best(people: &[u8], left: [u32; 3]) -> u32 {
                let Some((first, rest)) = people.split_first() else { return 0 };
                let mut most = best(rest, left);
                for group in 0..3 {
                    if first & (1 << group) != 0 && left[group] > 0 {
                        let mut fewer = left;
                        fewer[group] -= 1;
                        most = most.max(1 + best(rest, fewer));
                    }
                }
                most
            }
            let missing: u32 =
                demand(false, &wanted, Hardware::Unproven).missing(&given).groups.values().sum();
            let all: u32 = counts.iter().sum();
            assert_eq!(all - missing, best(&people, [counts[0], counts[1], counts[2]]));
        }
    }
}
