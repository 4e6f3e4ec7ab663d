//! Random histories against a naive model: a witness that keeps all leaves and compares them.

use super::*;

/// splitmix64, so that a printed seed replays a history.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }
}

/// Longest log of a history.
const LEAVES_MAX: u64 = 40;

#[test]
fn a_forked_log_is_never_cosigned() {
    let seed = std::env::var("COUNTERSIGN_SEED").ok().map(|text| text.parse().unwrap());
    let seed = seed.unwrap_or_else(|| {
        let mut bytes = [0_u8; 8];
        getrandom::fill(&mut bytes).unwrap();
        u64::from_le_bytes(bytes)
    });
    println!("replay with COUNTERSIGN_SEED={seed}");
    let log = LogKey::new(ORIGIN);
    let (mut accepted, mut forks_refused) = (0, 0);
    for turn in 0..60_u64 {
        history(&mut Dice(seed.wrapping_add(turn)), &log, &mut accepted, &mut forks_refused);
    }
    assert!(accepted > 100 && forks_refused > 100, "{accepted} accepted, {forks_refused} refused");
}

/// Views of one log that the same key signs: the true one, and forks of it.
fn history(dice: &mut Dice, log: &LogKey, accepted: &mut u32, forks_refused: &mut u32) {
    let keys = [log.verifier.clone()];
    let views: Vec<Option<u64>> =
        std::iter::once(None).chain((0..3).map(|_| Some(dice.roll(LEAVES_MAX)))).collect();
    let mut cosigned: Vec<Hash> = Vec::new();
    for _ in 0..40 {
        let view = views[usize::try_from(dice.roll(4)).unwrap()];
        let size = dice.roll(LEAVES_MAX + 1);
        let tree = leaves(size, view);
        let known = u64::try_from(cosigned.len()).unwrap();
        let old = if dice.roll(4) == 0 { dice.roll(LEAVES_MAX) } else { known };
        let mut hashes = match (1..=size).contains(&old) {
            true => proof(old, &tree),
            false => Vec::new(),
        };
        let spoilt = dice.roll(8) == 0;
        if spoilt {
            hashes.push(Hash::EMPTY_ROOT);
        }
        let text = checkpoint(&size.to_string(), &head(&tree).root);
        let request = AddCheckpoint::new(old, hashes, log.signed(&text, at(1))).unwrap();
        let continues = tree.starts_with(&cosigned);
        let expected = match () {
            () if old > size => 400,
            () if old != known => 409,
            () if spoilt || !continues => 422,
            () => 200,
        };
        let judged = judge(Some(&keys), &head(&cosigned), &request);
        let found = judged.map_or_else(|refusal| refusal.status(), |_| 200);
        assert_eq!(found, expected, "{view:?} {size} after {known}, old {old}");
        if found == 200 {
            cosigned = tree;
            *accepted += 1;
        } else if !continues && old == known && size >= known {
            *forks_refused += 1;
        }
    }
}
