//! Takes typed settings out of the merged table and records every problem on the way.

use std::collections::BTreeMap;
#[cfg(test)]
use std::collections::BTreeSet;

use super::keys::{self, Key, Shown};
use super::problem::{Origin, Problem};
use super::source::{Entry, Merged, Raw};
use super::value::Parsed;

/// Characters of a value that a problem quotes.
const QUOTED_CHARS_MAX: usize = 40;

/// Reads on after a problem: whoever asks gets `None` and asks for the next setting.
pub(super) struct Reader {
    merged: Merged,
    #[cfg(test)]
    pub(super) used: BTreeSet<&'static str>,
}

impl Reader {
    pub(super) fn new(merged: Merged) -> Self {
        Self {
            merged,
            #[cfg(test)]
            used: BTreeSet::new(),
        }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.merged.problems
    }

    /// The setting, or its default. `None` where it has neither, or a problem was recorded.
    pub(super) fn get<T>(
        &mut self,
        path: &str,
        parse: impl FnOnce(&Raw) -> Parsed<T>,
    ) -> Option<T> {
        let Some(key) = keys::find(path) else {
            self.problem(path, "is read but not in the list of settings, which is a bug");
            return None;
        };
        #[cfg(test)]
        self.used.insert(key.path);
        let built_in;
        let entry = match (self.merged.settings.get(key.path), key.default) {
            (Some(entry), _) => entry,
            (None, Some(default)) => {
                let raw = Raw::Loose(default.to_owned());
                built_in = Entry { raw, origin: Origin::Default };
                &built_in
            }
            (None, None) => return None,
        };
        let (value, problem) = parse_entry(key, entry, parse);
        self.merged.problems.extend(problem);
        value
    }

    /// The setting. Where it is not set: a problem if it is needed for that reason, nothing of its type otherwise.
    pub(super) fn needed<T: Default>(
        &mut self,
        why: Option<&str>,
        path: &str,
        parse: impl FnOnce(&Raw) -> Parsed<T>,
    ) -> Option<T> {
        let value = self.get(path, parse);
        match why {
            _ if self.is_set(path) => value,
            Some(why) => {
                self.missing(path, why);
                None
            }
            None => Some(T::default()),
        }
    }

    /// Whether file or environment set it, rightly or not.
    pub(super) fn is_set(&self, path: &str) -> bool {
        self.merged.settings.contains_key(path)
    }

    /// Records that a setting is needed and not set.
    pub(super) fn missing(&mut self, path: &str, why: &str) {
        if self.merged.file_failed {
            return;
        }
        let variable = keys::variable(path);
        let secret = keys::find(path).is_some_and(Key::is_secret);
        let by_file = if secret { format!(", {variable}_FILE") } else { String::new() };
        self.problem(
            path,
            format!("{why}: set {variable}{by_file} or {path} in the configuration file"),
        );
    }

    /// Records a problem of a setting that is more than its value's own.
    pub(super) fn problem(&mut self, path: &str, text: impl Into<String>) {
        let origin = self.merged.settings.get(path).map(|entry| entry.origin.clone());
        self.merged.problems.push(Problem {
            key: path.to_owned(),
            source: origin.unwrap_or(Origin::Unset),
            text: text.into(),
        });
    }

    /// How many lists are set, rightly or not.
    pub(super) fn list_count(&self) -> usize {
        self.merged.lists.len()
    }

    /// The lists' audiences by list code.
    pub(super) fn lists(
        &mut self,
        parse: impl Fn(&Raw) -> Parsed<String>,
    ) -> BTreeMap<String, String> {
        let mut lists = BTreeMap::new();
        for (code, entry) in std::mem::take(&mut self.merged.lists) {
            match parse(&entry.raw) {
                Ok(audience) => {
                    lists.insert(code, audience);
                }
                Err(text) => self.merged.problems.push(Problem {
                    key: format!("{}.{code}", keys::LISTS),
                    source: entry.origin,
                    text,
                }),
            }
        }
        lists
    }
}

fn parse_entry<T>(
    key: &Key,
    entry: &Entry,
    parse: impl FnOnce(&Raw) -> Parsed<T>,
) -> (Option<T>, Option<Problem>) {
    if matches!(entry.raw, Raw::Broken) {
        return (None, None);
    }
    match parse(&entry.raw) {
        Ok(value) => (Some(value), None),
        Err(mut text) => {
            if let (Shown::Quoted, Some(value)) = (key.shown, quote(&entry.raw)) {
                text = format!("{text}; it is {value}");
            }
            let source = entry.origin.clone();
            (None, Some(Problem { key: key.path.to_owned(), source, text }))
        }
    }
}

fn quote(raw: &Raw) -> Option<String> {
    match raw {
        Raw::Loose(text) | Raw::Text(text) if text.chars().count() > QUOTED_CHARS_MAX => {
            let start: String = text.chars().take(QUOTED_CHARS_MAX).collect();
            Some(format!("\"{}…\"", start.escape_debug()))
        }
        Raw::Loose(text) | Raw::Text(text) => Some(format!("\"{}\"", text.escape_debug())),
        Raw::Integer(number) => number.map(|n| n.to_string()),
        Raw::Float(number) => Some(number.to_string()),
        Raw::Boolean(value) => Some(value.to_string()),
        Raw::Other | Raw::Broken => None,
    }
}
