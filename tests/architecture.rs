//! The shape of the code, held by a test: who may use whom, what is written where, how long it is.
//!
//! The design draws the rooms; a drawing that nothing checks decays. Every rule is a function from
//! one source file to its complaints, every exception a row in a table, and every rule is shown a
//! file that breaks it. The reader below knows tokens, not Rust: comments, strings and test code
//! are taken out, and a path that a macro assembles goes unseen.

#[path = "architecture/source.rs"]
mod source;

use std::fs;

use source::{Name, Source, item, lines_with, names_used, root, tree};

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;

/// The rooms and what each may use besides itself. A row names only rows above it, so that the
/// edges cannot run in a circle; a new room starts with a new row.
const EDGES: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("clock", &["domain"]),
    ("log", &["domain"]),
    ("config", &["domain", "log"]),
    ("telemetry", &["config"]),
    ("ledger", &["domain", "clock"]),
    ("hsm", &["domain", "log"]),
    ("witness", &["domain", "clock", "log", "hsm"]),
    ("approvals", &["domain"]),
    ("pipeline", &["domain", "clock", "ledger", "hsm", "approvals", "log"]),
    ("notifications", &["domain", "config", "ledger", "hsm", "pipeline"]),
    ("http", FRONT),
    ("console", FRONT),
    ("cli", EVERYTHING),
    ("main", &["cli"]),
    ("lib", &[]),
];
/// What the rooms that face the world may use.
const FRONT: &[&str] = &[
    "domain",
    "clock",
    "config",
    "telemetry",
    "ledger",
    "hsm",
    "log",
    "pipeline",
    "witness",
    "notifications",
];
const EVERYTHING: &[&str] = &["*"];

/// Crates with a home. Nothing else names them, test code included.
const HOMES: &[(&str, &[&str])] = &[
    ("axum", &["src/http", "src/console"]),
    ("utoipa_axum", &["src/http", "src/console"]),
    ("cryptoki", &["src/hsm/pkcs11"]),
    ("yubikey", &["src/hsm/yubikey"]),
    ("rusqlite", &["src/ledger"]),
    ("webpki", &["src/approvals"]),
    ("lettre", &["src/notifications/mail"]),
];

/// What hands out permission to sign, or takes a signature for a verified one, and the only room
/// that may: the ledger because it commits before it answers, the workers because they verify.
const PERMISSIONS: &[(&[&str], &str)] = &[
    (&["domain", "ledger", "reserve"], "src/ledger"),
    (&["domain", "ledger", "resume"], "src/ledger"),
    (&["domain", "ledger", "post"], "src/ledger"),
    (&["domain", "ledger", "*"], "src/ledger"),
];

/// Crates that the promises rest on.
const FOUNDATIONS: &[&str] = &["cryptoki", "zeroize", "axum", "tokio", "serde", "p256", "tracing"];

/// Names that say nothing about what is inside.
const VAGUE: &[&str] =
    &["util", "utils", "helpers", "common", "manager", "types", "misc", "info", "data"];

/// What must not be written in a place, and why. Test code may.
struct Ban {
    patterns: &'static [&'static str],
    place: Place,
    why: &'static str,
}

/// `src/http` stands for `src/http.rs` and everything in `src/http/`.
enum Place {
    Inside(&'static [&'static str]),
    Outside(&'static [&'static str]),
}

const BANS: &[Ban] = &[
    Ban {
        patterns: &["SystemTime::now", "Instant::now", "Timestamp::now", "Zoned::now", ".elapsed("],
        place: Place::Outside(&["src/clock"]),
        why: "only clock.rs reads a clock; everything else is told the time",
    },
    Ban {
        patterns: &["async", ".await"],
        place: Place::Inside(&["src/domain", "src/hsm", "src/ledger/writer", "src/ledger/sqlite"]),
        why: "decisions, devices and commits own their thread",
    },
    Ban {
        patterns: &[".unwrap(", ".expect("],
        place: Place::Inside(&["src/domain"]),
        why: "a decision answers, it never panics",
    },
    Ban {
        patterns: &[
            "as u8", "as u16", "as u32", "as u64", "as u128", "as usize", "as i8", "as i16",
            "as i32", "as i64", "as i128", "as isize", "as f32", "as f64",
        ],
        place: Place::Inside(&["src/domain"]),
        why: "a cast loses money in silence; use try_from",
    },
    Ban {
        patterns: &["print!", "println!", "eprint!", "eprintln!"],
        place: Place::Outside(&["src/cli", "src/main"]),
        why: "only a command talks to the terminal; everything else traces",
    },
    Ban {
        patterns: &[".fulfilled("],
        place: Place::Inside(&["src/pipeline", "src/ledger", "src/http", "src/cli", "src/config"]),
        why: "only a worker that has verified a signature redeems an authorization",
    },
    Ban {
        patterns: &["mod tests", "mod doubles"],
        place: Place::Outside(&[]),
        why: "test code ships unless #[cfg(test)] stands before it",
    },
];

// The tree, held to the rules.

#[test]
fn rooms_are_used_inward_only() {
    hold(edges);
}

#[test]
fn crates_are_named_only_where_they_live() {
    hold(homes);
}

#[test]
fn nothing_is_written_where_it_is_banned() {
    hold(bans);
}

#[test]
fn permission_to_sign_is_taken_from_the_ledger_alone() {
    hold(permissions);
}

#[test]
fn modules_are_named_for_what_is_inside() {
    hold(names);
}

#[test]
fn files_functions_and_lines_are_short() {
    hold(sizes);
}

#[test]
fn every_file_says_what_it_is_for() {
    hold(headers);
}

#[test]
fn the_file_of_a_module_stands_beside_its_folder() {
    let tree = tree().unwrap();
    let paths: Vec<&str> = tree.iter().map(|source| source.path.as_str()).collect();
    none(strays(&paths));
}

#[test]
fn the_foundations_are_direct_dependencies() {
    none(missing(&fs::read_to_string(root() + "/Cargo.toml").unwrap()));
}

#[test]
fn the_table_of_edges_points_inward() {
    for (row, (room, allowed)) in EDGES.iter().enumerate() {
        let above = |name: &&str| EDGES.iter().take(row).any(|(known, _)| known == name);
        assert!(*allowed == EVERYTHING || allowed.iter().all(above), "{room} uses a row below it");
    }
}

// The rules, held to what they are for.

type Rule = fn(&Source) -> Vec<String>;

#[test]
fn every_rule_reports_the_file_that_breaks_it() {
    let long_function = format!("fn f() {{\n{}}}", "    step();\n".repeat(FUNCTION_LINES_MAX));
    let broken: &[(Rule, &str, &str, &str)] = &[
        (edges, "domain/money.rs", "\nuse crate::ledger::Ledger;", ":2: domain -> ledger"),
        (edges, "domain/money.rs", "use super::super::{\nclock};", ":2: domain -> clock"),
        (edges, "domain.rs", "mod a { use super::super::hsm; }", ":1: domain -> hsm"),
        (edges, "domain.rs", "fn f() { self::super::http::g() }", "domain -> http"),
        (edges, "hsm.rs", "use crate::{domain::key, clock::Clock};", "hsm may use: domain, log"),
        (edges, "config.rs", "use crate::*;", "config -> *"),
        (edges, "ledger.rs", "fn f(_: &'a str) -> crate::hsm::Hsm {}", "ledger -> hsm"),
        (edges, "main.rs", "use countersign::{cli, http};", "main -> http"),
        (edges, "lib.rs", "pub use self::domain::money;", "lib -> domain"),
        (edges, "vault.rs", "", "vault is not a room"),
        (homes, "pipeline.rs", "use axum::Router;", ":1: axum"),
        (homes, "pipeline/tests.rs", "use ::axum::Router;", ":1: axum"),
        (homes, "hsm/pool.rs", "fn f() { cryptoki::mechanism() }", "cryptoki"),
        (homes, "hsm/pkcs11.rs", "use {yubikey::Serial};", "yubikey"),
        (homes, "config.rs", "use rusqlite as store;", "rusqlite"),
        (bans, "hsm.rs", "let t = std::time::Instant\n    ::now();", ":1: `Instant::now`"),
        (bans, "http.rs", "started.elapsed()", "`.elapsed(`"),
        (bans, "domain/time.rs", "jiff::Timestamp::now()", "`Timestamp::now`"),
        (bans, "hsm/worker.rs", "async fn sign() {}", "`async`"),
        (bans, "ledger/sqlite/rows.rs", "load()\n.await", ":2: `.await`"),
        (bans, "domain.rs", "a.unwrap()", "`.unwrap(`"),
        (bans, "domain.rs", "a.expect(\"why\")", "`.expect(`"),
        (bans, "domain.rs", "a as  u64", "`as u64`"),
        (bans, "http/serve.rs", "println!(\"\")", "`println!`"),
        (bans, "domain.rs", "#[cfg(test)] mod tests;\nfn f() { a.unwrap() }", ":2: `.unwrap(`"),
        (bans, "hsm/pool.rs", "mod doubles;", "`mod doubles`"),
        (bans, "pipeline.rs", "authorization.fulfilled(signature)", "`.fulfilled(`"),
        (permissions, "pipeline.rs", "use crate::domain::ledger::{post, reserve};", "reserve"),
        (permissions, "http.rs", "crate::domain::ledger::resume(now)", "resume"),
        (permissions, "cli.rs", "use crate::domain::ledger::*;", "*"),
        (names, "http/util.rs", "", "util"),
        (names, "domain/types/money.rs", "", "types"),
        (names, "http.rs", "\n\nmod helpers { }", ":3: helpers"),
        (sizes, "a.rs", &"\n".repeat(401), "401 lines"),
        (sizes, "a.rs", &long_function, ":1: fn f has 72 lines"),
        (sizes, "a.rs", &format!("\n// {}", "é".repeat(98)), ":2: 101 columns"),
        (headers, "a.rs", "use std::fmt;", "//!"),
    ];
    for (rule, path, text, expected) in broken {
        let found = rule(&Source::new(&format!("src/{path}"), text));
        assert!(found.concat().contains(expected), "{path}: {text}\n{found:?} lacks {expected:?}");
    }
}

#[test]
fn no_rule_reports_what_is_allowed() {
    let long_tests = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{{}}}", "\n".repeat(401));
    let sound: &[(Rule, &str, &str)] = &[
        (edges, "hsm/pool.rs", "use super::token; use crate::{domain::key, hsm::pin};"),
        (edges, "domain.rs", "mod a { use super::money; }"),
        (edges, "domain.rs", "/* /* */ crate::hsm */ const A: &str = r#\"\"crate::hsm\"#;"),
        (edges, "domain.rs", "//! crate::hsm\nconst A: (char, &str) = ('\"', \"\\\"crate::hsm\");"),
        (edges, "domain.rs", "#[cfg(test)]\nmod tests { use crate::clock::Clock; }"),
        (edges, "cli/serve.rs", "use crate::{http, telemetry};"),
        (homes, "hsm/pkcs11/session.rs", "use cryptoki::session::Session;"),
        (homes, "hsm.rs", "mod yubikey; use self::yubikey::Piv; let a = b.yubikey;"),
        (bans, "clock.rs", "Instant::now()"),
        (bans, "hsm/pool/tests.rs", "Instant::now(); println!(); async {}"),
        (bans, "ledger/reader.rs", "async fn read() {}"),
        (bans, "domain.rs", "use a as _; a.unwrap_or(b); b.expected(); <A as B>::c()"),
        (bans, "cli.rs", "println!()"),
        (permissions, "ledger/writer.rs", "use crate::domain::ledger::{post, reserve};"),
        (permissions, "pipeline.rs", "use crate::domain::ledger::{Posting, checks};"),
        (names, "domain/information.rs", "let data = types;"),
        (sizes, "a.rs", &long_tests),
        (sizes, "a.rs", &format!("struct A {{ f: fn() }}\n{}", "\n".repeat(399))),
        (headers, "a.rs", "//! What it is for."),
    ];
    for (rule, path, text) in sound {
        let found = rule(&Source::new(&format!("src/{path}"), text));
        assert!(found.is_empty(), "{path}: {text}\n{found:?}");
    }
}

#[test]
fn stray_modules_and_missing_dependencies_are_reported() {
    assert_eq!(strays(&["src/lib.rs", "src/hsm/mod.rs", "src/hsm.rs"]).len(), 1);
    assert_eq!(strays(&["src/lib.rs", "src/hsm/pin/marker.rs", "src/hsm.rs"]).len(), 1);
    assert!(strays(&["src/lib.rs", "src/hsm/pin.rs", "src/hsm.rs"]).is_empty());

    let listed = |names: &[&str]| names.iter().map(|name| format!("{name} = \"1\"\n")).collect();
    let (all, developed): (String, String) = (listed(FOUNDATIONS), listed(&["axum"]));
    assert!(missing(&format!("[dependencies]\n{all}[profile.dev]")).is_empty());
    let only_developed = all.replace("axum", "axum-extra");
    let only_developed = format!("[dependencies]\n{only_developed}[dev-dependencies]\n{developed}");
    assert_eq!(missing(&only_developed), ["Cargo.toml: axum is not a direct dependency"]);
}

// The rules.

fn edges(source: &Source) -> Vec<String> {
    let room = source.room();
    let Some((_, allowed)) = EDGES.iter().find(|(known, _)| *known == room) else {
        let path = &source.path;
        return vec![format!("{path}: {room} is not a room; give it a row in EDGES")];
    };
    let permitted = |used: &str| used == room || *allowed == EVERYTHING || allowed.contains(&used);
    let list = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
    let names = names_used(&source.shipped, source.depth());
    let used = names.iter().filter_map(|name| Some((name.line, name.room()?)));
    used.filter(|(_, used)| !permitted(used))
        .map(|(line, used)| source.at(line, &format!("{room} -> {used}; {room} may use: {list}")))
        .collect()
}

fn homes(source: &Source) -> Vec<String> {
    let away = HOMES.iter().filter(|(_, homes)| !source.is_in(homes)).collect::<Vec<_>>();
    let names = names_used(&source.tokens, source.depth());
    let complaint = |name: &Name| {
        let (home, homes) = away.iter().find(|(home, _)| name.is_crate(home))?;
        Some(source.at(name.line, &format!("{home} is named only in {}", homes.join(", "))))
    };
    names.iter().filter_map(complaint).collect()
}

fn permissions(source: &Source) -> Vec<String> {
    let names = names_used(&source.shipped, source.depth());
    let away = PERMISSIONS.iter().filter(|(_, home)| !source.is_in(&[home]));
    let complaints = away.flat_map(|(steps, home)| {
        let taken = names.iter().filter(|name| name.ends_with(steps));
        let detail = format!("{} is for {home}, which commits first", steps.join("::"));
        taken.map(move |name| source.at(name.line, &detail)).collect::<Vec<_>>()
    });
    complaints.collect()
}

fn bans(source: &Source) -> Vec<String> {
    let applies = |ban: &&Ban| match ban.place {
        Place::Inside(places) => source.is_in(places),
        Place::Outside(places) => !source.is_in(places),
    };
    let complaints = |(pattern, why): (&str, &str)| {
        let lines = lines_with(&source.shipped, pattern).into_iter();
        lines.map(|line| source.at(line, &format!("`{pattern}`: {why}"))).collect::<Vec<_>>()
    };
    let patterns = |ban: &'static Ban| ban.patterns.iter().map(|pattern| (*pattern, ban.why));
    BANS.iter().filter(applies).flat_map(patterns).flat_map(complaints).collect()
}

fn names(source: &Source) -> Vec<String> {
    let complaint = |line, name: &str| source.at(line, &format!("{name} says nothing; name it"));
    let inline = VAGUE.iter().flat_map(|name| {
        let lines = lines_with(&source.tokens, &format!("mod {name}"));
        lines.into_iter().map(move |line| complaint(line, name))
    });
    let of_path = source.modules().filter(|name| VAGUE.contains(name));
    of_path.map(|name| complaint(1, name)).chain(inline).collect()
}

fn sizes(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let lines = source.lines_before_tests();
    if lines > FILE_LINES_MAX {
        let detail = format!("{lines} lines, at most {FILE_LINES_MAX}; which noun is missing?");
        found.push(source.at(1, &detail));
    }
    for (line, columns) in (1..).zip(source.text.lines().map(|line| line.chars().count())) {
        if columns > COLUMNS_MAX {
            found.push(source.at(line, &format!("{columns} columns, at most {COLUMNS_MAX}")));
        }
    }
    for (at, start) in source.tokens.iter().enumerate().filter(|(_, token)| token.text == "fn") {
        let function = item(&source.tokens[at..]);
        let lines = function.last().map_or(0, |end| end.line - start.line + 1);
        if lines > FUNCTION_LINES_MAX && function[1].is_word() {
            let detail = format!("has {lines} lines, at most {FUNCTION_LINES_MAX}");
            found.push(source.at(start.line, &format!("fn {} {detail}", function[1].text)));
        }
    }
    found
}

fn headers(source: &Source) -> Vec<String> {
    let complaint = || source.at(1, "starts without //! and a line on what it is for");
    (!source.text.starts_with("//! ")).then(complaint).into_iter().collect()
}

fn strays(paths: &[&str]) -> Vec<String> {
    let misplaced = paths.iter().filter(|path| {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let has_file = folder == "src" || paths.contains(&format!("{folder}.rs").as_str());
        path.ends_with("/mod.rs") || !has_file
    });
    misplaced.map(|path| format!("{path}: a module is foo.rs, its children are in foo/")).collect()
}

fn missing(manifest: &str) -> Vec<String> {
    let after = manifest.split_once("[dependencies]\n").map_or("", |(_, after)| after);
    let lines = after.lines().take_while(|line| !line.starts_with('['));
    let listed: Vec<&str> = lines.filter_map(|line| Some(line.split_once('=')?.0.trim())).collect();
    let absent = FOUNDATIONS.iter().filter(|name| !listed.contains(name));
    absent.map(|name| format!("Cargo.toml: {name} is not a direct dependency")).collect()
}

fn hold(rule: Rule) {
    let tree = tree().unwrap_or_else(|error| panic!("src cannot be read: {error}"));
    none(tree.iter().flat_map(rule).collect());
}

fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
