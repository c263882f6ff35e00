//! The list of every setting, in the order of the table in `docs/design.md` section 8.
//!
//! Reading, `deploy/env.example`, `deploy/ems-sync.example.toml` and the suggestions follow it; tests hold them
//! together.

/// What a problem's text may show of a setting's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nothing, nowhere; it can also be given by a file.
    Secret,
    /// Nothing: it says little, or may hold something private by mistake.
    Never,
    /// A short quote.
    Quoted,
}

/// One setting.
#[derive(Debug)]
pub(super) struct Key {
    /// Its place in the TOML file.
    pub(super) path: &'static str,
    /// The value that counts when none is set, as it would stand in the environment.
    pub(super) default: Option<&'static str>,
    pub(super) shown: Shown,
}

impl Key {
    pub(super) fn is_secret(&self) -> bool {
        self.shown == Shown::Secret
    }
}

const fn secret(path: &'static str) -> Key {
    Key { path, default: None, shown: Shown::Secret }
}

const fn private(path: &'static str) -> Key {
    Key { path, default: None, shown: Shown::Never }
}

const fn plain(path: &'static str) -> Key {
    Key { path, default: None, shown: Shown::Quoted }
}

const fn with_default(path: &'static str, default: &'static str) -> Key {
    Key { path, default: Some(default), shown: Shown::Quoted }
}

/// The settings that every target has.
macro_rules! target_keys {
    ($target:literal, base_url: $base_url:expr, concurrency: $concurrency:literal) => {
        &[
            with_default(concat!("targets.", $target, ".enabled"), "false"),
            Key {
                path: concat!("targets.", $target, ".base_url"),
                default: $base_url,
                shown: Shown::Never,
            },
            plain(concat!("targets.", $target, ".ca_file")),
            with_default(concat!("targets.", $target, ".allow_http"), "false"),
            with_default(concat!("targets.", $target, ".concurrency"), $concurrency),
            plain(concat!("targets.", $target, ".requests_per_second")),
            with_default(concat!("targets.", $target, ".timeout"), "20s"),
            with_default(concat!("targets.", $target, ".settle"), "10s"),
        ]
    };
}

static GENERAL: &[Key] = &[
    secret("database.url"),
    secret("broker.url"),
    with_default("broker.prefix", "ems-sync"),
    with_default("capture.wake", "notify"),
    with_default("ops.listen", "127.0.0.1:9090"),
    secret("ops.token"),
    secret("ops.read_token"),
    plain("ops.user_header"),
    with_default("sweep.outbound_every", "5m"),
    with_default("sweep.inbound_every", "10m"),
    with_default("retry.max_retries", "3"),
    with_default("retry.base_delay", "1s"),
    with_default("breaker.disable_after", "24h"),
    with_default("guard.max_deletes", "20"),
    with_default("guard.max_delete_share", "0.02"),
];

static TAGSERVER: &[Key] =
    &[private("targets.tagserver.username"), secret("targets.tagserver.password")];

static MAUTIC: &[Key] = &[
    private("targets.mautic.client_id"),
    secret("targets.mautic.client_secret"),
    private("targets.mautic.username"),
    secret("targets.mautic.password"),
];

/// And `targets.mailchimp.lists.<list_code>`.
static MAILCHIMP: &[Key] = &[secret("targets.mailchimp.api_key")];

static RUNSIGNUP: &[Key] = &[
    secret("targets.runsignup.api_key"),
    secret("targets.runsignup.api_secret"),
    with_default("targets.runsignup.key_version", "v2"),
    private("targets.runsignup.caller_id"),
    secret("targets.runsignup.caller_secret"),
    with_default("targets.runsignup.push_races", "false"),
    plain("targets.runsignup.organisation_id"),
    with_default("targets.runsignup.merge", "entity"),
];

static CHATWOOT: &[Key] = &[
    secret("targets.chatwoot.api_token"),
    plain("targets.chatwoot.account_id"),
    secret("targets.chatwoot.webhook_secret"),
    secret("targets.chatwoot.webhook_secret_previous"),
    with_default("targets.chatwoot.merge", "entity"),
];

static ALL: &[&[Key]] = &[
    GENERAL,
    target_keys!("tagserver", base_url: None, concurrency: "16"),
    TAGSERVER,
    target_keys!("mautic", base_url: None, concurrency: "4"),
    MAUTIC,
    target_keys!("mailchimp", base_url: None, concurrency: "5"),
    MAILCHIMP,
    target_keys!("runsignup", base_url: Some("https://api.runsignup.com/rest"), concurrency: "2"),
    RUNSIGNUP,
    target_keys!("chatwoot", base_url: None, concurrency: "4"),
    CHATWOOT,
];

/// The one table whose keys are free: list code to audience id.
pub(super) const LISTS: &str = "targets.mailchimp.lists";

/// What every variable of a setting begins with.
pub(super) const VARIABLE_PREFIX: &str = "EMS_SYNC__";

/// Every setting, but for the free keys below [`LISTS`].
pub(super) fn all() -> impl Iterator<Item = &'static Key> {
    ALL.iter().flat_map(|keys| keys.iter())
}

/// The setting of that path.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    all().find(|key| key.path == path)
}

/// The name of the variable that sets it.
pub(super) fn variable(path: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", path.to_ascii_uppercase().replace('.', "__"))
}

/// The name of the variable that names the file with a secret's value.
pub(super) fn file_variable(path: &str) -> String {
    format!("{}_FILE", variable(path))
}

/// The path of the known setting that is most like an unknown one, if one is like it at all.
pub(super) fn most_like(unknown: &str) -> Option<&'static str> {
    const CHARS_MAX: usize = 80;
    if unknown.len() > CHARS_MAX {
        return None;
    }
    let far = (unknown.len() / 5).clamp(2, 4);
    let distances = all().map(|key| (distance(unknown, key.path), key.path));
    distances.filter(|(n, _)| *n <= far).min().map(|(_, path)| path)
}

/// Insertions, deletions and replacements that make the one from the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (to, above) in b.iter().zip(row.iter().skip(1).copied()) {
            left = (diagonal + usize::from(from != *to)).min(left + 1).min(above + 1);
            diagonal = above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_counted() {
        for (a, b, n) in [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3)] {
            assert_eq!(distance(a, b), n, "{a} {b}");
        }
    }

    #[test]
    fn what_is_like_nothing_gets_no_suggestion() {
        assert_eq!(most_like("targets.mautic.base-url"), Some("targets.mautic.base_url"));
        assert_eq!(most_like("targets.mailchip.api_key"), Some("targets.mailchimp.api_key"));
        assert_eq!(most_like("ops.tokn"), Some("ops.token"));
        assert_eq!(most_like("something.else"), None);
        assert_eq!(most_like(&"x".repeat(10_000)), None);
    }

    #[test]
    fn no_setting_is_listed_twice_and_no_two_share_a_variable() {
        let mut names: Vec<_> = all()
            .flat_map(|key| {
                let file = key.is_secret().then(|| file_variable(key.path));
                [Some(variable(key.path)), file].into_iter().flatten()
            })
            .collect();
        let n = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), n);
        assert_eq!(
            variable("targets.tagserver.base_url"),
            "EMS_SYNC__TARGETS__TAGSERVER__BASE_URL"
        );
    }
}
