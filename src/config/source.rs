//! The merged table of raw values, with where each came from: the file first, the environment over it.
//!
//! A file that can't be read or parsed gives nothing but its own problems: what a parser recovers from a broken
//! file may show half of a secret as a key.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::keys::{self, Key};
use super::problem::{Origin, Problem};

/// Bytes of a configuration or certificate file that are read. More is a problem.
pub(super) const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Bytes of a secret's file that are read.
const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// What stands for bytes that are not UTF-8 (see `environment`).
const NOT_UTF8: char = char::REPLACEMENT_CHARACTER;

/// A value as it was found.
pub(super) enum Raw {
    /// From the environment: the setting says what it is.
    Loose(String),
    /// A string of the file.
    Text(String),
    /// An integer of the file, if it fits.
    Integer(Option<i64>),
    Float(f64),
    Boolean(bool),
    /// A value of the file that no setting has: a list, a date.
    Other,
    /// It can't be had; the problem is recorded.
    Broken,
}

impl Raw {
    /// What the environment says.
    pub(super) fn loose(&self) -> Option<&str> {
        if let Self::Loose(text) = self { Some(text) } else { None }
    }
}

/// A value and where it came from.
pub(super) struct Entry {
    pub(super) raw: Raw,
    pub(super) origin: Origin,
}

/// What file and environment say together.
#[derive(Default)]
pub(super) struct Merged {
    pub(super) settings: BTreeMap<&'static str, Entry>,
    /// By list code.
    pub(super) lists: BTreeMap<String, Entry>,
    /// The file could not be used: what seems to be missing may stand in it.
    pub(super) file_failed: bool,
    pub(super) problems: Vec<Problem>,
}

/// Reads the file, if there is one, and the variables that are settings.
pub(super) fn merge(file: Option<&Path>, environment: &BTreeMap<String, String>) -> Merged {
    let mut merged = Merged::default();
    if let Some(path) = file {
        merged.add_file(path);
    }
    merged.add_environment(environment);
    merged
}

impl Merged {
    fn problem(&mut self, key: impl Into<String>, source: Origin, text: impl Into<String>) {
        self.problems.push(Problem { key: key.into(), source, text: text.into() });
    }

    fn set(&mut self, key: &Key, raw: Raw, origin: Origin) {
        self.settings.insert(key.path, Entry { raw, origin });
    }

    // --- the file ---

    fn add_file(&mut self, path: &Path) {
        const KEY: &str = "configuration file";
        let at = |line| Origin::File(path.to_owned(), line);
        let text = match read_text(path, FILE_BYTES_MAX) {
            Ok(text) => text,
            Err(why) => {
                self.file_failed = true;
                return self.problem(KEY, at(None), format!("can't be read: {why}"));
            }
        };
        let (table, errors) = DeTable::parse_recoverable(&text);
        self.file_failed = !errors.is_empty();
        for error in &errors {
            // Only the parser's fixed words: the whole text of its error quotes the line.
            let line = error.span().map(|span| line_of(&text, span.start));
            self.problem(KEY, at(line), format!("is not valid TOML: {}", error.message()));
        }
        if errors.is_empty() {
            let origin = |offset| at(Some(line_of(&text, offset)));
            self.add_table(&mut Vec::new(), table.get_ref(), &origin);
        }
    }

    fn add_table(
        &mut self,
        above: &mut Vec<String>,
        table: &DeTable<'_>,
        origin: &dyn Fn(usize) -> Origin,
    ) {
        for (name, value) in table {
            above.push(name.get_ref().clone().into_owned());
            if let DeValue::Table(below) = value.get_ref()
                && (!below.is_empty() || is_section(&dotted(above)))
            {
                self.add_table(above, below, origin);
            } else {
                self.add_value(above, value, origin(name.span().start));
            }
            above.pop();
        }
    }

    fn add_value(&mut self, path: &[String], value: &Spanned<DeValue<'_>>, origin: Origin) {
        let dotted = dotted(path);
        let raw = raw(value.get_ref());
        if let Some(key) = keys::find(&dotted) {
            return self.set(key, raw, origin);
        }
        if let Some((code, above)) = path.split_last()
            && above.join(".") == keys::LISTS
        {
            self.lists.insert(code.clone(), Entry { raw, origin });
            return;
        }
        let text = unknown_in_file(&dotted);
        self.problem(dotted, origin, text);
    }

    // --- the environment ---

    fn add_environment(&mut self, environment: &BTreeMap<String, String>) {
        let is_ours = |name: &str| name.to_ascii_uppercase().starts_with(keys::VARIABLE_PREFIX);
        for key in keys::all() {
            let plain = environment.get_key_value(&keys::variable(key.path));
            let by_file = environment
                .get_key_value(&keys::file_variable(key.path))
                .filter(|_| key.is_secret());
            match (plain, by_file) {
                (None, None) => {}
                (Some((name, value)), None) => self.add_variable(key, name, value),
                (None, Some((name, path))) => self.add_secret_file(key, name, path),
                (Some((name, _)), Some((file, _))) => {
                    let text = format!("{file} is set too: only one of the two may be");
                    let origin = Origin::Variable(name.clone());
                    self.problem(key.path, origin.clone(), text);
                    self.set(key, Raw::Broken, origin);
                }
            }
        }
        for (name, value) in environment {
            if is_ours(name) {
                self.add_list_or_unknown(name, value);
            } else if let Some(key) = with_other_underscores(name) {
                let text = format!("is not a setting: did you mean {}?", keys::variable(key.path));
                self.problem(key.path, Origin::Variable(name.clone()), text);
            }
        }
    }

    fn add_variable(&mut self, key: &Key, name: &str, value: &str) {
        let origin = Origin::Variable(name.to_owned());
        if value.contains(NOT_UTF8) {
            self.problem(key.path, origin.clone(), "is not UTF-8");
            return self.set(key, Raw::Broken, origin);
        }
        self.set(key, Raw::Loose(value.to_owned()), origin);
    }

    fn add_secret_file(&mut self, key: &Key, name: &str, path: &str) {
        let origin = Origin::SecretFile { variable: name.to_owned(), path: path.into() };
        match read_text(Path::new(path), SECRET_BYTES_MAX) {
            Ok(text) => {
                let value = text.strip_suffix('\n').unwrap_or(&text);
                let value = value.strip_suffix('\r').unwrap_or(value);
                self.set(key, Raw::Loose(value.to_owned()), origin);
            }
            Err(why) => {
                // What does not look like a path may be the secret itself, in the wrong variable.
                let is_path = ["/", "./", "../"].iter().any(|start| path.starts_with(start));
                let named = if is_path { origin } else { Origin::Variable(name.to_owned()) };
                let text = format!("names a file that can't be read: {why}");
                self.problem(key.path, named.clone(), text);
                self.set(key, Raw::Broken, named);
            }
        }
    }

    /// A variable that begins as settings do and was not taken yet.
    fn add_list_or_unknown(&mut self, name: &str, value: &str) {
        let known = |key: &Key| {
            name == keys::variable(key.path)
                || (key.is_secret() && name == keys::file_variable(key.path))
        };
        if keys::all().any(known) {
            return;
        }
        let origin = Origin::Variable(name.to_owned());
        let lists = format!("{}__", keys::variable(keys::LISTS));
        let is_code = |code: &str| {
            let fits = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            !code.is_empty() && code.chars().all(fits)
        };
        if let Some(code) = name.strip_prefix(&lists).filter(|code| is_code(code)) {
            let raw = Raw::Loose(value.to_owned());
            self.lists.insert(code.to_ascii_lowercase(), Entry { raw, origin });
            return;
        }
        let (path, text) = unknown_in_environment(name);
        self.problem(path, origin, text);
    }
}

/// A section's name, or the table of lists.
fn is_section(path: &str) -> bool {
    let below = |key: &Key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
    path == keys::LISTS || keys::all().any(below)
}

fn unknown_in_file(path: &str) -> String {
    if is_section(path) {
        return "is a section, not a setting".to_owned();
    }
    let of_secret = path.strip_suffix("_file").and_then(keys::find).filter(|key| key.is_secret());
    if let Some(key) = of_secret {
        let variable = keys::file_variable(key.path);
        return format!("is no setting of this file: name the secret's file in {variable}");
    }
    let suggestion = keys::most_like(path).map(ToOwned::to_owned);
    unknown(suggestion)
}

fn unknown_in_environment(name: &str) -> (String, String) {
    let rest = name.get(keys::VARIABLE_PREFIX.len()..).unwrap_or(name);
    let path = rest.to_ascii_lowercase().replace("__", ".");
    if is_section(&path) {
        return (path, "is a section, not a setting".to_owned());
    }
    let without_file = path.strip_suffix("_file");
    if let Some(key) = without_file.and_then(keys::find).filter(|key| !key.is_secret()) {
        let variable = keys::variable(key.path);
        return (path, format!("only a secret can be given by a file: use {variable}"));
    }
    let of_secret = without_file.and_then(keys::most_like).and_then(keys::find);
    let suggestion = of_secret
        .filter(|key| key.is_secret())
        .map(|key| keys::file_variable(key.path))
        .or_else(|| keys::most_like(&path).map(keys::variable));
    (path, unknown(suggestion))
}

fn unknown(suggestion: Option<String>) -> String {
    suggestion.map_or_else(
        || "is not a setting".to_owned(),
        |suggestion| format!("is not a setting: did you mean {suggestion}?"),
    )
}

/// The setting whose variable differs from this name only by how many underscores part its words.
fn with_other_underscores(name: &str) -> Option<&'static Key> {
    let words =
        |name: &str| name.split('_').filter(|w| !w.is_empty()).collect::<Vec<_>>().join("_");
    let ours = name.starts_with("EMS_SYNC_").then(|| words(name))?;
    keys::all().find(|key| {
        words(&keys::variable(key.path)) == ours
            || (key.is_secret() && words(&keys::file_variable(key.path)) == ours)
    })
}

/// The path as it would be written in the file.
fn dotted(path: &[String]) -> String {
    let is_bare = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let quoted = |name: &String| {
        if is_bare(name) { name.clone() } else { format!("\"{}\"", name.escape_debug()) }
    };
    path.iter().map(quoted).collect::<Vec<_>>().join(".")
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.clone().into_owned()),
        DeValue::Integer(number) => Raw::Integer(integer(number)),
        DeValue::Float(number) => number.as_str().parse().map_or(Raw::Other, Raw::Float),
        DeValue::Boolean(value) => Raw::Boolean(*value),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => Raw::Other,
    }
}

fn integer(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// The whole file, if it is not larger than that.
pub(super) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Cow<'static, str>> {
    let why = |e: &dyn Display| Cow::Owned(e.to_string());
    let file = File::open(path).map_err(|e| why(&e))?;
    let mut bytes = Vec::new();
    let n = file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|e| why(&e))?;
    if u64::try_from(n).is_ok_and(|n| n <= bytes_max) {
        Ok(bytes)
    } else {
        Err(Cow::Owned(format!("it has more than {bytes_max} bytes")))
    }
}

fn read_text(path: &Path, bytes_max: u64) -> Result<String, Cow<'static, str>> {
    String::from_utf8(read(path, bytes_max)?).map_err(|_| Cow::Borrowed("it is not UTF-8"))
}
