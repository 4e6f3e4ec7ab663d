//! CBOR as CTAP2 writes it, and nothing else (FIDO CTAP 2.1 section 8, "Message Encoding").
//!
//! Lengths are definite and shortest, keys of a map are in order and so occur once, nesting ends at
//! four levels. Tags, floats and `undefined` do not occur. One value has one encoding, so nothing
//! can be hidden in a second one; browsers hold security keys to the same rules.

use std::cmp::Ordering;

/// Levels of arrays and maps.
const DEPTH_MAX: u8 = 4;

/// One value. Bytes and texts are those of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cbor<'a> {
    Integer(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
    List(Vec<Self>),
    Map(Vec<(Self, Self)>),
    Bool(bool),
    Null,
}

impl<'a> Cbor<'a> {
    /// The members of a map whose keys are exactly these texts, in this order.
    pub(super) fn members<const N: usize>(&self, names: [&str; N]) -> Option<[&Self; N]> {
        let Self::Map(pairs) = self else { return None };
        let is = |key: &Self, name| matches!(key, Self::Text(text) if *text == name);
        let named = pairs.iter().zip(names).all(|((key, _), name)| is(key, name));
        let values: Vec<&Self> = pairs.iter().map(|(_, value)| value).collect();
        named.then_some(values)?.try_into().ok()
    }

    /// The bytes of a byte string.
    pub(super) fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// Reads the one value that all of the input is.
///
/// # Errors
/// What was found and expected.
pub(super) fn read_all(input: &[u8]) -> Result<Cbor<'_>, String> {
    let (value, rest) = read_first(input)?;
    match rest.len() {
        0 => Ok(value),
        found => Err(format!("found {found} bytes after the CBOR value; expected none")),
    }
}

/// Reads the first value, and tells what follows it.
///
/// # Errors
/// What was found and expected.
pub(super) fn read_first(input: &[u8]) -> Result<(Cbor<'_>, &[u8]), String> {
    let mut reader = Reader { rest: input };
    let value = reader.value(DEPTH_MAX)?;
    Ok((value, reader.rest))
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: u8) -> Result<Cbor<'a>, String> {
        let (major, argument) = self.head()?;
        match major {
            0 | 1 => {
                let magnitude = i64::try_from(argument)
                    .map_err(|_| format!("found the number {argument}; expected 63 bits"))?;
                // Major type 1 is -1 - n, which is what the complement of two's complement is.
                Ok(Cbor::Integer(if major == 0 { magnitude } else { !magnitude }))
            }
            2 => Ok(Cbor::Bytes(self.take(argument)?)),
            3 => {
                let text = std::str::from_utf8(self.take(argument)?);
                text.map(Cbor::Text).map_err(|_| "found a text that is not UTF-8".to_owned())
            }
            4 | 5 => {
                let below = depth.checked_sub(1);
                let below = below.ok_or_else(|| {
                    format!("found more than {DEPTH_MAX} levels of maps; expected fewer")
                })?;
                if major == 4 { self.list(argument, below) } else { self.map(argument, below) }
            }
            6 => Err("found a tag; expected none".to_owned()),
            _ => match argument {
                20 => Ok(Cbor::Bool(false)),
                21 => Ok(Cbor::Bool(true)),
                22 => Ok(Cbor::Null),
                _ => Err("found a float or an unknown simple value; expected none".to_owned()),
            },
        }
    }

    fn list(&mut self, length: u64, depth: u8) -> Result<Cbor<'a>, String> {
        // Collected one by one: a length that lies runs out of input before it costs memory.
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(self.value(depth)?);
        }
        Ok(Cbor::List(items))
    }

    fn map(&mut self, length: u64, depth: u8) -> Result<Cbor<'a>, String> {
        let mut pairs = Vec::new();
        let mut last: &[u8] = &[];
        for _ in 0..length {
            let before = self.rest;
            let key = self.value(depth)?;
            if !matches!(key, Cbor::Integer(_) | Cbor::Text(_) | Cbor::Bytes(_)) {
                return Err("found a key that is no number or string; expected one".to_owned());
            }
            let used = before.len().saturating_sub(self.rest.len());
            let written = before.get(..used).unwrap_or_default();
            if !last.is_empty() && order(last, written) != Ordering::Less {
                return Err("found keys out of order or twice; expected CTAP2 order".to_owned());
            }
            last = written;
            let value = self.value(depth)?;
            pairs.push((key, value));
        }
        Ok(Cbor::Map(pairs))
    }

    /// The major type and the argument of the next item.
    fn head(&mut self) -> Result<(u8, u64), String> {
        let first = self.take(1)?.first().copied().unwrap_or_default();
        let (major, short) = (first >> 5, first & 0x1f);
        let (width, least) = match short {
            0..=23 => return Ok((major, short.into())),
            24 => (1, 24),
            25 => (2, 0x100),
            26 => (4, 0x1_0000),
            27 => (8, 0x1_0000_0000),
            _ => return Err("found an indefinite length; expected a definite one".to_owned()),
        };
        let bytes = self.take(width)?;
        let argument = bytes.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        if major == 7 {
            return Err("found a float or an unknown simple value; expected none".to_owned());
        }
        if argument < least {
            return Err(format!("found {argument} in {width} bytes; expected the shortest form"));
        }
        Ok((major, argument))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], String> {
        let left = self.rest.len();
        let split = usize::try_from(length).ok().and_then(|at| self.rest.split_at_checked(at));
        let (taken, rest) =
            split.ok_or_else(|| format!("found {left} bytes where {length} were announced"))?;
        self.rest = rest;
        Ok(taken)
    }
}

/// The order of two encoded keys: major type, then length, then bytes.
fn order(left: &[u8], right: &[u8]) -> Ordering {
    let major = |key: &[u8]| key.first().map(|byte| byte >> 5);
    let by_type = major(left).cmp(&major(right));
    by_type.then(left.len().cmp(&right.len())).then_with(|| left.cmp(right))
}
