//! A file as the rules see it: text, tokens, what of it is shipped, and the paths it names.

use std::path::Path;
use std::{env, fs, io};

/// Where the manifest is.
pub(crate) fn root() -> String {
    env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| ".".to_owned())
}

/// Every source file, in the order of their paths; there is at least one.
pub(crate) fn tree() -> io::Result<Vec<Source>> {
    let mut paths = vec!["src".to_owned()];
    let mut sources = Vec::new();
    while let Some(path) = paths.pop() {
        let place = Path::new(&root()).join(&path);
        if place.is_dir() {
            for entry in fs::read_dir(place)? {
                paths.push(format!("{path}/{}", entry?.file_name().to_string_lossy()));
            }
        } else if path.ends_with(".rs") {
            sources.push(Source::new(&path, &fs::read_to_string(place)?));
        }
    }
    if sources.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

/// One file: its text, its tokens, and those of them that are not test code.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) tokens: Vec<Token>,
    pub(crate) shipped: Vec<Token>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let (path, text, tokens) = (path.to_owned(), text.to_owned(), tokens(text));
        let shipped = Vec::new();
        let mut source = Self { path, text, tokens, shipped };
        if !source.modules().any(|name| matches!(name, "tests" | "doubles")) {
            source.shipped = without_tests(&source.tokens);
        }
        source
    }

    /// `hsm`, `pkcs11`, `session` for `src/hsm/pkcs11/session.rs`.
    pub(crate) fn modules(&self) -> impl Iterator<Item = &str> {
        self.path.trim_end_matches(".rs").split('/').skip(1)
    }

    pub(crate) fn room(&self) -> &str {
        self.modules().next().unwrap_or_default()
    }

    /// How many `super` lead to the root of the crate.
    pub(crate) fn depth(&self) -> usize {
        if matches!(self.room(), "lib" | "main") { 0 } else { self.modules().count() }
    }

    pub(crate) fn is_in(&self, places: &[&str]) -> bool {
        let mut rests = places.iter().filter_map(|place| self.path.strip_prefix(place));
        rests.any(|rest| rest == ".rs" || rest.starts_with('/'))
    }

    /// Lines, without the tests at the end of the file.
    pub(crate) fn lines_before_tests(&self) -> usize {
        let rests = (0..self.tokens.len()).map(|at| &self.tokens[at..]);
        let mut marked = rests.filter(|rest| starts_with(rest, TEST_MARK));
        match marked.find(|rest| rest.len() > TEST_MARK.len() && item(rest).len() == rest.len()) {
            Some(tests) => tests[0].line - 1,
            None => self.text.lines().count(),
        }
    }

    pub(crate) fn at(&self, line: usize, complaint: &str) -> String {
        format!("{}:{line}: {complaint}", self.path)
    }
}

/// A word, a `::` or a single other character.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

impl Token {
    pub(crate) fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let (mut found, mut rest, mut line) = (Vec::new(), text, 1);
    while !rest.is_empty() {
        let (length, is_code) = lexeme(rest);
        let (lexeme, after) = rest.split_at(length);
        if is_code {
            found.push(Token { text: lexeme.to_owned(), line });
        }
        line += lexeme.matches('\n').count();
        rest = after;
    }
    found
}

/// Length of what stands at the start, and whether it is code: not space, comment or literal.
fn lexeme(rest: &str) -> (usize, bool) {
    let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let first = rest.chars().next().map_or(0, char::len_utf8);
    match quoted(rest) {
        Some(length) => (length, false),
        None if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), false),
        None if rest.starts_with("/*") => (block_comment(rest), false),
        None if rest.starts_with("::") => (2, true),
        None if word > 0 => (word, true),
        None => (first, !rest.starts_with(char::is_whitespace)),
    }
}

fn block_comment(rest: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while let Some(pair) = rest.as_bytes().get(at..at + 2) {
        let (step, change) = match pair {
            b"/*" => (2, 1),
            b"*/" => (2, -1),
            _ => (1, 0),
        };
        (at, depth) = (at + step, depth + change);
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Length of a string or character literal of any kind; a lifetime is none.
fn quoted(rest: &str) -> Option<usize> {
    let plain = rest.trim_start_matches(['b', 'c']);
    let body = plain.trim_start_matches('r').trim_start_matches('#');
    if plain.starts_with('r') && body.starts_with('"') {
        let fence = format!("\"{}", "#".repeat(plain.len() - body.len() - 1));
        return Some(rest.len() - body.len() + 1 + body[1..].find(&fence)? + fence.len());
    }
    let body = plain.strip_prefix(['"', '\''])?;
    let is_lifetime = !body.starts_with('\\') && body.chars().nth(1) != Some('\'');
    if plain.starts_with('\'') && is_lifetime {
        return None;
    }
    let mut escaped = false;
    let end = body.find(|c| {
        let closes = !escaped && plain.starts_with(c);
        escaped = !escaped && c == '\\';
        closes
    });
    Some(rest.len() - body.len() + end? + 1)
}

/// Where a pattern occurs, whatever the spacing.
pub(crate) fn lines_with(tokens: &[Token], pattern: &str) -> Vec<usize> {
    let wanted = self::tokens(pattern);
    let same = |found: &&[Token]| found.iter().zip(&wanted).all(|(a, b)| a.text == b.text);
    tokens.windows(wanted.len()).filter(same).map(|found| found[0].line).collect()
}

/// The item at the start: up to its semicolon, its closing brace or the end of what encloses it.
pub(crate) fn item(tokens: &[Token]) -> &[Token] {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" if depth == 0 => return &tokens[..at],
            "}" if depth == 1 => return &tokens[..=at],
            ")" | "]" | "}" => depth -= 1,
            ";" if depth == 0 => return &tokens[..=at],
            _ => {}
        }
    }
    tokens
}

/// What is left without the items marked `#[cfg(test)]`.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let (mut kept, mut rest) = (Vec::new(), tokens);
    while let [first, after @ ..] = rest {
        if starts_with(rest, TEST_MARK) {
            rest = &rest[item(rest).len()..];
        } else {
            kept.push(first.clone());
            rest = after;
        }
    }
    kept
}

const TEST_MARK: &[&str] = &["#", "[", "cfg", "(", "test", ")", "]"];

fn starts_with(tokens: &[Token], texts: &[&str]) -> bool {
    tokens.len() >= texts.len() && tokens.iter().zip(texts).all(|(token, text)| token.text == *text)
}

/// A name and the steps of the path before it; in `use a::{b, c::d}` that is `a`, `a b`, `a c`,
/// `a c d`.
pub(crate) struct Name<'a> {
    pub(crate) line: usize,
    steps: Vec<&'a str>,
    depth: usize,
    is_entered: bool,
}

impl Name<'_> {
    /// The name, if its path leads to the root of the crate and takes one step from there.
    pub(crate) fn room(&self) -> Option<&str> {
        let (name, way) = self.steps.split_last()?;
        let mut depth = self.depth;
        for step in way {
            match *step {
                "crate" | "countersign" => depth = 0,
                "super" => depth = depth.checked_sub(1)?,
                "self" => {}
                _ => return None,
            }
        }
        let at_root = depth == 0 && !way.is_empty();
        (at_root && !matches!(*name, "crate" | "super" | "self")).then_some(*name)
    }

    /// Whether the path ends with these steps.
    pub(crate) fn ends_with(&self, steps: &[&str]) -> bool {
        self.steps.ends_with(steps)
    }

    /// Whether something is taken from the crate of this name.
    pub(crate) fn is_crate(&self, name: &str) -> bool {
        self.is_entered && self.steps == [name]
    }
}

/// Every name, for a file whose own module is `depth` steps below the root.
pub(crate) fn names_used(tokens: &[Token], depth: usize) -> Vec<Name<'_>> {
    let text = |at: Option<usize>| at.and_then(|at| tokens.get(at)).map_or("", |t| &t.text);
    let (mut names, mut steps, mut braces) = (Vec::new(), Vec::new(), vec![(Vec::new(), depth)]);
    for (at, token) in tokens.iter().enumerate() {
        let before = text(at.checked_sub(1));
        let (outer, depth) = braces.last().cloned().unwrap_or_default();
        match token.text.as_str() {
            "::" => {}
            "{" if before == "::" => braces.push((std::mem::take(&mut steps), depth)),
            "{" if text(at.checked_sub(2)) == "mod" => braces.push((Vec::new(), depth + 1)),
            "{" => braces.push((Vec::new(), depth)),
            "}" => drop(braces.pop()),
            "use" => steps.clear(),
            name if token.is_word() || name == "*" => {
                if before != "::" {
                    steps = outer;
                }
                steps.push(name);
                let is_entered = text(Some(at + 1)) == "::" || matches!(before, "use" | "crate");
                names.push(Name { line: token.line, steps: steps.clone(), depth, is_entered });
            }
            _ => steps.clear(),
        }
    }
    names
}
