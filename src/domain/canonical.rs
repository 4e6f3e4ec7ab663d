//! RFC 8785 canonical JSON, restricted to what orders and headers need: texts, lists, objects.
//!
//! There are no numbers on purpose: number formatting is where canonical forms go wrong.

use std::collections::BTreeMap;

/// A JSON value without numbers, booleans and null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Value>),
    /// An object. Names are ASCII literals, so byte order is the order of UTF-16 code units that
    /// RFC 8785 section 3.2.3 asks for.
    Object(BTreeMap<&'static str, Value>),
}

impl Value {
    /// A string.
    pub fn text(text: impl ToString) -> Self {
        Self::Text(text.to_string())
    }

    /// An object of the given members; those that are `None` are left out.
    pub fn object<const N: usize>(members: [(&'static str, Option<Self>); N]) -> Self {
        let present = members.into_iter().filter_map(|(name, value)| Some((name, value?)));
        Self::Object(present.collect())
    }

    /// The canonical bytes, as text.
    pub fn to_canonical(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Text(text) => write_text(text, out),
            Self::List(items) => {
                write_all('[', items.iter(), ']', out, |item, out| item.write(out));
            }
            Self::Object(members) => {
                write_all('{', members.iter(), '}', out, |(name, value), out| {
                    write_text(name, out);
                    out.push(':');
                    value.write(out);
                });
            }
        }
    }
}

fn write_all<T>(
    open: char,
    items: impl Iterator<Item = T>,
    close: char,
    out: &mut String,
    write: impl Fn(T, &mut String),
) {
    out.push(open);
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(close);
}

/// Strings as in RFC 8785 section 3.2.2.2: the shortest escape, everything else literally.
fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{C}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\0'..'\u{20}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_sorted_and_absent_ones_left_out() {
        let value = Value::object([
            ("b", Some(Value::text("2"))),
            ("a", Some(Value::List(vec![Value::text("x"), Value::text("y")]))),
            ("c", None),
            ("B", Some(Value::Object(BTreeMap::new()))),
        ]);
        assert_eq!(value.to_canonical(), r#"{"B":{},"a":["x","y"],"b":"2"}"#);
    }

    #[test]
    fn texts_are_escaped_as_the_example_of_rfc_8785_shows() {
        let text = "\u{20ac}$\u{f}\u{a}A'\u{42}\u{22}\u{5c}\\\"/";
        assert_eq!(Value::text(text).to_canonical(), r#""€$\u000f\nA'B\"\\\\\"/""#);
    }

    proptest::proptest! {
        #[test]
        fn any_text_survives_a_json_parser(text: String) {
            let canonical = Value::text(&text).to_canonical();
            assert_eq!(serde_json::from_str::<String>(&canonical).unwrap(), text);
        }
    }
}
