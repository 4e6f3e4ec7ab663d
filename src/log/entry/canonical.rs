//! RFC 8785 canonical JSON as leaves have it: an object of texts, some of them one level deeper.
//!
//! Nothing is normalised while reading. What is accepted is, byte for byte, what
//! [`crate::domain::canonical`] writes, and so a leaf never has a twin that says the same.

use std::borrow::Cow;

/// Where a text stops being canonical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at byte {at}")]
pub struct NotCanonical {
    /// Bytes before it.
    pub at: usize,
    /// What would have been canonical there.
    pub expected: &'static str,
}

/// The value of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// An object of strings.
    Object(Vec<(&'a str, Cow<'a, str>)>),
}

/// Reads a whole text.
pub(super) fn parse(text: &str) -> Result<Vec<(&str, Member<'_>)>, NotCanonical> {
    let mut reader = Reader { whole: text.len(), rest: text };
    let members = reader.object(Reader::member)?;
    match reader.rest {
        "" => Ok(members),
        _ => Err(reader.expected("the end")),
    }
}

struct Reader<'a> {
    whole: usize,
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn expected(&self, expected: &'static str) -> NotCanonical {
        NotCanonical { at: self.whole.saturating_sub(self.rest.len()), expected }
    }

    fn take(&mut self, token: char) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn member(&mut self) -> Result<Member<'a>, NotCanonical> {
        match self.rest.starts_with('{') {
            true => self.object(Self::text).map(Member::Object),
            false => self.text().map(Member::Text),
        }
    }

    /// Members without white space, sorted by name, each name once (RFC 8785 section 3.2.3).
    fn object<T>(
        &mut self,
        value: impl Fn(&mut Self) -> Result<T, NotCanonical>,
    ) -> Result<Vec<(&'a str, T)>, NotCanonical> {
        if !self.take('{') {
            return Err(self.expected("an object"));
        }
        let mut members = Vec::new();
        if self.take('}') {
            return Ok(members);
        }
        let mut before = "";
        loop {
            let name = self.name(before)?;
            before = name;
            if !self.take(':') {
                return Err(self.expected("a colon"));
            }
            members.push((name, value(self)?));
            if self.take('}') {
                return Ok(members);
            }
            if !self.take(',') {
                return Err(self.expected("a comma or the end of the object"));
            }
        }
    }

    /// A name: ASCII, so that byte order is the order of RFC 8785, and after the one before it.
    fn name(&mut self, before: &str) -> Result<&'a str, NotCanonical> {
        let refused = self.expected("a name of letters, digits and _, in ascending order");
        let plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        match self.text()? {
            Cow::Borrowed(name) if plain(name) && name > before => Ok(name),
            _ => Err(refused),
        }
    }

    fn text(&mut self) -> Result<Cow<'a, str>, NotCanonical> {
        if !self.take('"') {
            return Err(self.expected("a string"));
        }
        let mut unescaped: Option<String> = None;
        loop {
            let special = |c: char| matches!(c, '"' | '\\' | '\0'..'\u{20}');
            let Some(end) = self.rest.find(special) else {
                return Err(self.expected("a string that ends"));
            };
            let (plain, rest) = self.rest.split_at(end);
            self.rest = rest;
            if self.take('"') {
                return Ok(match unescaped {
                    None => Cow::Borrowed(plain),
                    Some(text) => Cow::Owned(text + plain),
                });
            }
            let text = unescaped.get_or_insert_default();
            text.push_str(plain);
            text.push(self.escape()?);
        }
    }

    /// An escape that nothing shorter could replace (RFC 8785 section 3.2.2.2).
    fn escape(&mut self) -> Result<char, NotCanonical> {
        let refused = self.expected("the shortest escape");
        let mut chars = self.rest.chars();
        if chars.next() != Some('\\') {
            return Err(refused);
        }
        let escaped = match chars.next() {
            Some('"') => '"',
            Some('\\') => '\\',
            Some('b') => '\u{8}',
            Some('t') => '\t',
            Some('n') => '\n',
            Some('f') => '\u{C}',
            Some('r') => '\r',
            Some('u') => {
                let digits = chars.as_str().get(..4).ok_or(refused)?;
                chars = chars.as_str().get(4..).unwrap_or_default().chars();
                let code = u32::from_str_radix(digits, 16).ok().filter(|code| *code < 0x20);
                let code = code.and_then(char::from_u32).ok_or(refused)?;
                let has_shorter = matches!(code, '\u{8}' | '\t' | '\n' | '\u{C}' | '\r');
                let spelt = format!("{:04x}", u32::from(code)) == digits;
                if has_shorter || !spelt {
                    return Err(refused);
                }
                code
            }
            _ => return Err(refused),
        };
        self.rest = chars.as_str();
        Ok(escaped)
    }
}
