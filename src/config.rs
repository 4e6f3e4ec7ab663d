//! Configuration: structs that mirror the files, and one conversion into checked types.
//!
//! Two files with two owners: the *deployment* (listeners, tokens, files; the operator's) and the
//! *policy* (callers, keys, limits; the security officer's). Unknown keys are refused in both, and
//! all problems of a file are told at once.

use std::fmt;
use std::path::{Path, PathBuf};

pub mod client;
pub mod deployment;
pub mod policy;
pub mod witness;

/// Largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why a configuration file was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}; check the path and its permissions", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is larger than any sensible one.
    #[error(
        "{} is larger than {FILE_BYTES_MAX} bytes; expected a configuration file",
        .0.display()
    )]
    TooLarge(PathBuf),
    /// The file is not the TOML that was expected.
    #[error("{} is not understood:\n{message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The parser's message, with line and column.
        message: String,
    },
    /// The file is TOML, but what it says cannot be.
    #[error("{} is refused:\n{problems}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong with it.
        problems: Problems,
    },
}

/// All problems of one file, each with the place and what was found and expected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

/// One problem of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path of the key in the file, such as `keys.settlement-eur.limits[2]`.
    pub place: String,
    /// What was found and what was expected.
    pub detail: String,
}

impl Problems {
    /// Notes a problem.
    pub fn note(&mut self, place: impl Into<String>, detail: impl Into<String>) {
        self.0.push(Problem { place: place.into(), detail: detail.into() });
    }

    /// The value, or a note of why there is none.
    pub fn keep<T>(&mut self, read: Result<T, crate::domain::text::Malformed>) -> Option<T> {
        read.map_err(|refused| self.note(refused.field, refused.detail)).ok()
    }

    /// The value if there were no problems.
    fn or_else<T>(self, path: &Path, value: Option<T>) -> Result<T, ConfigError> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(ConfigError::Refused { path: path.to_owned(), problems: self }),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> =
            self.0.iter().map(|p| format!("  {}: {}", p.place, p.detail)).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// Reads a file as text, bounded in size.
fn read(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge(path.to_owned()));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

/// Parses a file's text into the struct that mirrors it.
fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|refused| ConfigError::Syntax {
        path: path.to_owned(),
        message: refused.to_string(),
    })
}
