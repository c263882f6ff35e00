//! What a configuration must and must not be.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::PathBuf;

use secrecy::ExposeSecret as _;

use super::*;
use crate::limits;
use crate::remote::runsignup::KeyVersion;
use crate::target::Target;

const DATABASE: (&str, &str) =
    ("EMS_SYNC__DATABASE__URL", "postgres://user:canary-database@db/ems");
const BROKER: (&str, &str) = ("EMS_SYNC__BROKER__URL", "amqp://user:canary-broker@mq/%2f");
const ENV_EXAMPLE: &str = include_str!("../../deploy/env.example");
const TOML_EXAMPLE: &str = include_str!("../../deploy/ems-sync.example.toml");

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The two that are always needed, and these, as names below `EMS_SYNC__`.
fn with(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut all = environment(&[DATABASE, BROKER]);
    all.extend(pairs.iter().map(|(k, v)| (format!("EMS_SYNC__{k}"), (*v).to_owned())));
    all
}

/// As if every target had its client.
fn every_client(environment: &BTreeMap<String, String>) -> Result<Config, ConfigError> {
    load(None, environment)
}

fn problems(result: Result<Config, ConfigError>) -> Vec<Problem> {
    result.map_or_else(|e| e.problems, |_| Vec::new())
}

/// The problems as one text each, with every client there.
fn lines(pairs: &[(&str, &str)]) -> Vec<String> {
    problems(every_client(&with(pairs))).iter().map(Problem::to_string).collect()
}

/// A file that is gone with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new(text: impl AsRef<[u8]>) -> Self {
        let path = std::env::temp_dir().join(format!("ems-sync-{}", uuid::Uuid::new_v4()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// Problems of a configuration with this file, the two needed settings coming from the environment.
    fn problems(&self) -> Vec<Problem> {
        problems(load(Some(&self.0), &with(&[])))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

#[test]
fn without_anything_else_the_defaults_of_the_table_count() {
    let config = Config::load(None, &with(&[])).unwrap();
    assert_eq!(config.database.url.expose_secret(), DATABASE.1);
    assert_eq!(config.broker.url.expose_secret(), BROKER.1);
    assert_eq!(config.broker.prefix, "ems-sync");
    assert_eq!(config.capture.wake, WakeMode::Notify);
    assert_eq!(config.ops.listen, SocketAddr::from(([127, 0, 0, 1], 9090)));
    assert!(config.ops.token.is_none());
    assert_eq!(config.sweep.outbound_every, Duration::from_secs(300));
    assert_eq!(config.sweep.inbound_every, Duration::from_secs(600));
    assert_eq!(config.retry, RetryPolicy { max_retries: 3, base_delay: Duration::from_secs(1) });
    assert_eq!(config.guard, Guard { max_deletes: 20, max_delete_share: 0.02 });
    assert_eq!(config.targets.enabled(), []);
    let concurrency = Target::ALL.map(|target| config.targets.common(target).concurrency);
    assert_eq!(concurrency, [limits::CONCURRENCY_DEFAULT, 4, 5, 2, 4]);
    for target in Target::ALL {
        let common = config.targets.common(target);
        assert_eq!(common.timeout, Duration::from_secs(20));
        assert_eq!(common.settle, Duration::from_secs(10));
        assert!(!common.allow_http && common.ca_pem.is_none());
        assert!(common.requests_per_second.is_none());
        let vendors =
            (target == Target::RunSignup).then(|| "https://api.runsignup.com/rest".to_owned());
        assert_eq!(common.base_url, vendors);
    }
    assert!(!config.targets.runsignup.push_races);
    assert_eq!(config.targets.runsignup.key_version, KeyVersion::V2);
    assert_eq!(config.targets.runsignup.merge, MergeMode::Entity);
    assert_eq!(config.targets.chatwoot.merge, MergeMode::Entity);
}

#[test]
fn the_file_counts_before_defaults_and_the_environment_before_the_file() {
    let file = Scratch::new(
        "[sweep]\noutbound_every = \"7m\"\ninbound_every = \"8m\"\n[retry]\nmax_retries = 0\n\
         [targets.mailchimp.lists]\nnews = \"aaa\"\nrace = \"bbb\"\n\"Old List\" = \"ccc\"\n",
    );
    let mut variables = with(&[
        ("SWEEP__INBOUND_EVERY", "9m"),
        ("TARGETS__MAILCHIMP__LISTS__NEWS", "ddd"),
        ("TARGETS__MAILCHIMP__LISTS__TWO__WORDS_2", "eee"),
    ]);
    let config = Config::load(Some(&file.0), &variables).unwrap();
    assert_eq!(config.sweep.outbound_every, Duration::from_secs(420));
    assert_eq!(config.sweep.inbound_every, Duration::from_secs(540));
    assert_eq!(config.retry.max_retries, 0);
    let lists = [("Old List", "ccc"), ("news", "ddd"), ("race", "bbb"), ("two__words_2", "eee")];
    assert_eq!(config.targets.mailchimp.lists, environment(&lists));

    variables.insert(CONFIG_VARIABLE.to_owned(), file.name().to_owned());
    let by_variable = Config::load(None, &variables).unwrap();
    assert_eq!(by_variable.sweep.outbound_every, Duration::from_secs(420));
}

#[test]
fn all_problems_come_at_once_one_line_each() {
    let variables = environment(&[
        ("EMS_SYNC__CAPTURE__WAKE", "listen"),
        ("EMS_SYNC__OPS__LISTEN", "localhost"),
        ("EMS_SYNC__SWEEP__OUTBOUND_EVERY", "0s"),
        ("EMS_SYNC__SWEEP__INBOUND_EVERY", "5"),
        ("EMS_SYNC__RETRY__MAX_RETRIES", "11"),
        ("EMS_SYNC__RETRY__BASE_DELAY", "11s"),
        ("EMS_SYNC__GUARD__MAX_DELETES", "-1"),
        ("EMS_SYNC__GUARD__MAX_DELETE_SHARE", "2"),
        ("EMS_SYNC__BROKER__PREFIX", "ä\nb"),
        ("EMS_SYNC__NOTHING", "1"),
    ]);
    let error = Config::load(None, &variables).unwrap_err();
    let keys: Vec<_> = error.problems.iter().map(|problem| problem.key.as_str()).collect();
    let expected = [
        "nothing",
        "database.url",
        "broker.url",
        "broker.prefix",
        "capture.wake",
        "ops.listen",
        "sweep.outbound_every",
        "sweep.inbound_every",
        "retry.max_retries",
        "retry.base_delay",
        "guard.max_deletes",
        "guard.max_delete_share",
    ];
    assert_eq!(keys, expected);
    let text = error.to_string();
    assert_eq!(text.lines().count(), expected.len(), "{text}");
    assert!(text.contains(
        "capture.wake (EMS_SYNC__CAPTURE__WAKE): must be one of notify, poll; it is \"listen\""
    ));
    assert!(text.contains(
        "database.url (not set): it is always needed: set EMS_SYNC__DATABASE__URL, \
         EMS_SYNC__DATABASE__URL_FILE or database.url in the configuration file"
    ));
}

#[test]
fn unknown_keys_of_the_file_are_problems_with_a_line_and_a_suggestion() {
    let file = Scratch::new(
        "[sweep]\noutbound_evry = \"5m\"\n[databse]\nurl = \"canary\"\n[nonsense]\n\
         [targets.mautic]\nbase-url = \"https://m.example.org\"\n[ops]\ntoken_file = \"/x\"\n\
         [capture.wake]\nmode = 1\n",
    );
    let name = file.name();
    let lines: BTreeSet<_> = file.problems().iter().map(Problem::to_string).collect();
    let unknown = |key: &str, line: usize, like: &str| {
        format!("{key} ({name}:{line}): is not a setting: did you mean {like}?")
    };
    let expected = [
        unknown("sweep.outbound_evry", 2, "sweep.outbound_every"),
        unknown("databse.url", 4, "database.url"),
        format!("nonsense ({name}:5): is not a setting"),
        unknown("targets.mautic.base-url", 7, "targets.mautic.base_url"),
        format!(
            "ops.token_file ({name}:9): is no setting of this file: \
             name the secret's file in EMS_SYNC__OPS__TOKEN_FILE"
        ),
        format!("capture.wake.mode ({name}:11): is not a setting"),
    ];
    assert_eq!(lines, BTreeSet::from(expected));
}

#[test]
fn a_section_is_no_setting() {
    let file = Scratch::new("database = \"canary\"\n[targets.mailchimp]\nlists = 1\n");
    let texts: Vec<_> = file.problems().into_iter().map(|p| (p.key, p.text)).collect();
    let text = "is a section, not a setting".to_owned();
    let expected =
        [("database".to_owned(), text.clone()), ("targets.mailchimp.lists".to_owned(), text)];
    assert_eq!(texts, expected);
}

#[test]
fn unknown_variables_are_problems_and_other_programs_variables_are_not() {
    for (name, like) in [
        ("EMS_SYNC__DATABASE_URL", "EMS_SYNC__DATABASE__URL"),
        ("EMS_SYNC_OPS__TOKEN", "EMS_SYNC__OPS__TOKEN"),
        ("EMS_SYNC_OPS_TOKEN_FILE", "EMS_SYNC__OPS__TOKEN"),
        ("EMS_SYNC__ops__token", "EMS_SYNC__OPS__TOKEN"),
        ("EMS_SYNC__OPS__TOKN_FILE", "EMS_SYNC__OPS__TOKEN_FILE"),
        ("EMS_SYNC__TARGETS__TAGSERVR__BASE_URL", "EMS_SYNC__TARGETS__TAGSERVER__BASE_URL"),
    ] {
        let mut variables = with(&[]);
        variables.insert(name.to_owned(), "canary".to_owned());
        let found = problems(Config::load(None, &variables));
        assert_eq!(found.len(), 1, "{name} {found:?}");
        assert_eq!(found[0].text, format!("is not a setting: did you mean {like}?"));
        assert_eq!(found[0].source, Origin::Variable(name.to_owned()));
    }
    for (name, text) in [
        ("WEBHOOK", "is not a setting"),
        ("OPS", "is a section, not a setting"),
        ("TARGETS__MAILCHIMP__LISTS__", "is not a setting"),
        ("TARGETS__MAILCHIMP__LISTS__news", "is not a setting"),
    ] {
        let found = problems(Config::load(None, &with(&[(name, "canary")])));
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!(found[0].text, text, "{name}");
    }
    let found = problems(Config::load(None, &with(&[("OPS__LISTEN_FILE", "/x")])));
    assert_eq!(found[0].text, "only a secret can be given by a file: use EMS_SYNC__OPS__LISTEN");
    let mut variables = with(&[]);
    for name in ["EMS_SYNC_LOG", "EMS_SYNC_LOCAL_DATABASE_URL", "EMS_SYNC_PORT", "PATH"] {
        variables.insert(name.to_owned(), "x".to_owned());
    }
    assert_eq!(problems(Config::load(None, &variables)), []);
}

#[test]
fn a_secret_can_come_from_a_file_that_a_variable_names() {
    for (text, value) in [
        ("0123456789abcdef", "0123456789abcdef"),
        ("0123456789abcdef\n", "0123456789abcdef"),
        ("0123456789abcdef\r\n", "0123456789abcdef"),
    ] {
        let file = Scratch::new(text);
        let config = Config::load(None, &with(&[("OPS__TOKEN_FILE", file.name())])).unwrap();
        assert_eq!(config.ops.token.unwrap().expose_secret(), value, "{text:?}");
    }
    for bad in ["0123456789abcdef\n\n", "\n", "short"] {
        let file = Scratch::new(bad);
        let found = problems(Config::load(None, &with(&[("OPS__TOKEN_FILE", file.name())])));
        assert_eq!(found.len(), 1, "{bad:?}");
        assert!(found[0].to_string().contains(file.name()));
    }
    let file = Scratch::new("postgres://from-the-file/ems");
    let mut variables = environment(&[BROKER]);
    variables.insert("EMS_SYNC__DATABASE__URL_FILE".to_owned(), file.name().to_owned());
    let config = Config::load(None, &variables).unwrap();
    assert_eq!(config.database.url.expose_secret(), "postgres://from-the-file/ems");
}

#[test]
fn a_secret_has_one_source_that_can_be_read() {
    let both = [("OPS__TOKEN", "0123456789abcdef"), ("OPS__TOKEN_FILE", "/nowhere")];
    let text = "ops.token (EMS_SYNC__OPS__TOKEN): EMS_SYNC__OPS__TOKEN_FILE is set too: \
                only one of the two may be";
    assert_eq!(lines(&both), [text]);

    let missing = lines(&[("OPS__TOKEN_FILE", "/nowhere/token")]);
    assert_eq!(missing.len(), 1);
    assert!(missing[0].starts_with(
        "ops.token (EMS_SYNC__OPS__TOKEN_FILE=/nowhere/token): names a file that can't be read: "
    ));
    let directory = std::env::temp_dir();
    assert_eq!(lines(&[("OPS__TOKEN_FILE", directory.to_str().unwrap())]).len(), 1);
    // The secret itself, in the wrong variable.
    let wrong = lines(&[("OPS__TOKEN_FILE", "canary-0123456789")]);
    assert_eq!(wrong.len(), 1);
    assert!(!wrong[0].contains("canary"), "{wrong:?}");
    // No end, and too much.
    assert!(lines(&[("OPS__TOKEN_FILE", "/dev/zero")])[0].contains("has more than 65536 bytes"));
    let binary = Scratch::new([0xff, 0xfe]);
    assert!(lines(&[("OPS__TOKEN_FILE", binary.name())])[0].contains("not UTF-8"));
}

#[test]
fn a_missing_or_broken_file_is_named_and_quotes_nothing() {
    let found = problems(Config::load(Some(Path::new("/nowhere/x.toml")), &environment(&[])));
    assert_eq!(found.len(), 1, "what is missing may stand in the file: {found:?}");
    assert_eq!(found[0].source, Origin::File("/nowhere/x.toml".into(), None));

    for broken in [
        "[ops]\ntoken = canary-x\n",
        "[ops]\ntoken = \"canary-x\n",
        "[ops]\ntoken =\ncanary_x\n",
        "[ops]\ntoken = 'a' canary_x\n",
        "[ops]\ntoken = \"\"\"\ncanary_x = 1\n",
        "[ops]\ntoken = 1\ntoken = 2\ncanary_x\n",
        "[ops]\ntoken = \"\\canary\"\n",
        "[ops]\ntoken = 1canary\n",
        "[ops]\ntoken.canary.x = 1\ntoken.canary = 1\n",
    ] {
        let file = Scratch::new(broken);
        let found = file.problems();
        assert!(!found.is_empty(), "{broken}");
        for problem in &found {
            let text = problem.to_string();
            assert!(text.starts_with(&format!("configuration file ({}:", file.name())), "{text}");
            assert!(text.contains("is not valid TOML: "), "{text}");
            assert!(!text.contains("canary"), "{text}");
        }
    }
    let two = Scratch::new("[ops]\nlisten = x\n[sweep]\noutbound_every = y\n").problems();
    assert!(two.len() >= 2, "{two:?}");
    assert_eq!(Scratch::new([0xff]).problems().len(), 1);
    assert_eq!(Scratch::new(vec![b'#'; 1024 * 1024 + 1]).problems().len(), 1);
}

#[test]
fn the_file_has_types() {
    let file = Scratch::new(
        "[retry]\nmax_retries = \"3\"\nbase_delay = 1\n[targets.tagserver]\nenabled = \"false\"\n\
         concurrency = 1.5\nusername = 7\n[targets.chatwoot]\naccount_id = \"1\"\n\
         [guard]\nmax_delete_share = [1]\nmax_deletes = 99999999999999999999\n\
         [targets.mailchimp.lists]\nnews = 1\n[targets.runsignup]\ncaller_id = 12\n\
         [broker]\nprefix = 2020-01-01\n",
    );
    let found: BTreeSet<_> = file.problems().into_iter().map(|p| p.key).collect();
    let expected = [
        "broker.prefix",
        "guard.max_delete_share",
        "guard.max_deletes",
        "retry.base_delay",
        "retry.max_retries",
        "targets.chatwoot.account_id",
        "targets.mailchimp.lists.news",
        "targets.tagserver.concurrency",
        "targets.tagserver.enabled",
        "targets.tagserver.username",
    ];
    assert_eq!(found, BTreeSet::from(expected.map(str::to_owned)));
    let good = Scratch::new(
        "[retry]\nmax_retries = 0x5\n[guard]\nmax_delete_share = 1\nmax_deletes = 1_000\n\
         [targets.runsignup]\npush_races = true\norganisation_id = 7\nmerge = \"fields\"\n\
         [targets.tagserver]\nrequests_per_second = 3\n",
    );
    let config = Config::load(Some(&good.0), &with(&[])).unwrap();
    assert_eq!(config.retry.max_retries, 5);
    assert_eq!(config.guard, Guard { max_deletes: 1_000, max_delete_share: 1.0 });
    assert_eq!(config.targets.runsignup.organisation_id, Some(7));
    assert_eq!(config.targets.runsignup.merge, MergeMode::Fields);
    assert!(config.targets.runsignup.push_races);
    assert_eq!(config.targets.tagserver.common.requests_per_second, NonZeroU32::new(3));
}

#[test]
fn what_is_not_utf8_is_reported_without_a_panic() {
    let found = lines(&[("OPS__TOKEN", "0123456789abcdef\u{fffd}")]);
    assert_eq!(found, ["ops.token (EMS_SYNC__OPS__TOKEN): is not UTF-8"]);
    assert!(super::environment().contains_key("PATH"));
}

#[test]
fn an_enabled_target_needs_its_base_url_and_credentials() {
    let missing = |target: &str| {
        let enabled = format!("TARGETS__{}__ENABLED", target.to_ascii_uppercase());
        let found = problems(every_client(&with(&[(enabled.as_str(), "true")])));
        for problem in &found {
            assert_eq!(problem.source, Origin::Unset);
            assert!(problem.text.contains(&format!("{target} is enabled")), "{problem}");
        }
        let start = format!("targets.{target}.");
        found
            .into_iter()
            .map(|p| p.key.strip_prefix(&start).unwrap().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(missing("tagserver"), "base_url username password");
    assert_eq!(missing("mautic"), "base_url client_id");
    assert_eq!(missing("mailchimp"), "api_key lists.<list_code>");
    assert_eq!(missing("runsignup"), "api_key api_secret");
    assert_eq!(missing("chatwoot"), "base_url api_token account_id");
}

#[test]
fn tagserver_is_read_whole() {
    let ca = Scratch::new("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n");
    let config = Config::load(
        None,
        &with(&[
            ("TARGETS__TAGSERVER__ENABLED", "true"),
            ("TARGETS__TAGSERVER__BASE_URL", "http://tags.example.org:8080/"),
            ("TARGETS__TAGSERVER__CA_FILE", ca.name()),
            ("TARGETS__TAGSERVER__ALLOW_HTTP", "true"),
            ("TARGETS__TAGSERVER__CONCURRENCY", "7"),
            ("TARGETS__TAGSERVER__REQUESTS_PER_SECOND", "9"),
            ("TARGETS__TAGSERVER__TIMEOUT", "1500ms"),
            ("TARGETS__TAGSERVER__SETTLE", "0s"),
            ("TARGETS__TAGSERVER__USERNAME", "ems"),
            ("TARGETS__TAGSERVER__PASSWORD", "canary"),
        ]),
    )
    .unwrap();
    assert_eq!(config.targets.enabled(), [Target::TagServer]);
    assert_eq!(config.targets.tagserver.username, "ems");
    assert_eq!(config.targets.tagserver.password.expose_secret(), "canary");
    assert_eq!(config.targets.tagserver.common.settle, Duration::ZERO);
    let http = config.targets.common(Target::TagServer).http_settings();
    assert_eq!(http.base_url, "http://tags.example.org:8080");
    assert!(http.ca_pem.unwrap().starts_with(b"-----BEGIN CERTIFICATE-----"));
    assert!(http.allow_http);
    assert_eq!(http.concurrency, 7);
    assert_eq!(http.requests_per_second, NonZeroU32::new(9));
    assert_eq!(http.timeout, Duration::from_millis(1_500));
}

#[test]
fn base_urls_are_encrypted_unless_allowed_and_hold_no_credentials() {
    let one = |url: &str| lines(&[("TARGETS__TAGSERVER__BASE_URL", url)]);
    assert_eq!(
        one("http://tags.example.org"),
        ["targets.tagserver.base_url (EMS_SYNC__TARGETS__TAGSERVER__BASE_URL): is not encrypted: \
          use https://, or set targets.tagserver.allow_http = true"]
    );
    assert_eq!(one("https://tags.example.org"), [""; 0]);
    for bad in ["https://u:canary@tags.example.org", "https://tags.example.org?canary", "canary"] {
        let found = one(bad);
        assert_eq!(found.len(), 1);
        assert!(!found[0].contains("canary"), "{found:?}");
    }
}

#[test]
fn bounds_are_kept_for_every_target() {
    for target in Target::ALL {
        let name = |key: &str| format!("TARGETS__{}__{key}", target.name().to_ascii_uppercase());
        let max = match target {
            Target::TagServer | Target::Mautic | Target::Chatwoot => limits::CONCURRENCY_MAX,
            Target::MailChimp => 9,
            Target::RunSignup => 2,
        };
        let above = (max + 1).to_string();
        for (key, good, bad) in [
            ("CONCURRENCY", max.to_string().as_str(), above.as_str()),
            ("CONCURRENCY", "1", "0"),
            ("REQUESTS_PER_SECOND", "1", "0"),
            ("REQUESTS_PER_SECOND", "100000", "100001"),
            ("TIMEOUT", "100ms", "99ms"),
            ("TIMEOUT", "2m", "121s"),
            ("SETTLE", "10m", "601s"),
            ("SETTLE", "0s", "-1s"),
        ] {
            let name = name(key);
            assert_eq!(lines(&[(&name, good)]), [""; 0], "{name} {good}");
            let found = lines(&[(&name, bad)]);
            assert_eq!(found.len(), 1, "{name} {bad}");
            assert!(found[0].ends_with(&format!("it is \"{bad}\"")), "{found:?}");
        }
    }
    for (key, good, bad) in [
        ("SWEEP__OUTBOUND_EVERY", "1s", "99ms"),
        ("SWEEP__INBOUND_EVERY", "168h", "169h"),
        ("RETRY__BASE_DELAY", "10ms", "9ms"),
        ("RETRY__MAX_RETRIES", "10", "11"),
        ("GUARD__MAX_DELETES", "4294967295", "4294967296"),
        ("GUARD__MAX_DELETE_SHARE", "1", "1.001"),
    ] {
        assert_eq!(lines(&[(key, good)]), [""; 0], "{key} {good}");
        assert_eq!(lines(&[(key, bad)]).len(), 1, "{key} {bad}");
    }
}

#[test]
fn mautic_takes_exactly_one_of_its_two_ways() {
    let base = [
        ("TARGETS__MAUTIC__ENABLED", "true"),
        ("TARGETS__MAUTIC__BASE_URL", "https://mautic.example.org"),
    ];
    let id = ("TARGETS__MAUTIC__CLIENT_ID", "id");
    let secret = ("TARGETS__MAUTIC__CLIENT_SECRET", "canary");
    let user = ("TARGETS__MAUTIC__USERNAME", "user");
    let password = ("TARGETS__MAUTIC__PASSWORD", "canary");
    let load = |more: &[(&str, &str)]| every_client(&with(&[&base, more].concat()));
    let client = load(&[id, secret]).unwrap().targets.mautic.credentials;
    assert!(
        matches!(client, Some(MauticCredentials::Client { client_id, .. }) if client_id == "id")
    );
    let basic = load(&[user, password]).unwrap().targets.mautic.credentials;
    assert!(matches!(basic, Some(MauticCredentials::Basic { username, .. }) if username == "user"));
    for (more, keys) in [
        (vec![], "client_id"),
        (vec![id], "client_secret"),
        (vec![secret], "client_id"),
        (vec![user], "password"),
        (vec![password], "username"),
        (vec![id, secret, user, password], "client_id"),
        (vec![id, password], "client_id"),
        (vec![secret, user, password], "client_secret"),
    ] {
        let found = problems(load(&more));
        let found: Vec<_> =
            found.iter().map(|p| p.key.strip_prefix("targets.mautic.").unwrap()).collect();
        assert_eq!(found.join(" "), keys, "{more:?}");
    }
}

#[test]
fn mailchimps_base_url_follows_from_its_key() {
    let load = |key: &str, more: &[(&str, &str)]| {
        let base = [
            ("TARGETS__MAILCHIMP__ENABLED", "true"),
            ("TARGETS__MAILCHIMP__API_KEY", key),
            ("TARGETS__MAILCHIMP__LISTS__NEWS", "a1b2"),
        ];
        every_client(&with(&[&base, more].concat()))
    };
    let base_url = |config: Config| config.targets.mailchimp.common.base_url.unwrap();
    assert_eq!(base_url(load("canary-us19", &[]).unwrap()), "https://us19.api.mailchimp.com/3.0");
    let own = [("TARGETS__MAILCHIMP__BASE_URL", "https://proxy.example.org/3.0/")];
    assert_eq!(base_url(load("canary-us19", &own).unwrap()), "https://proxy.example.org/3.0");
    assert_eq!(base_url(load("canary", &own).unwrap()), "https://proxy.example.org/3.0");
    for key in ["canary", "canary-", "canary-evil.org/", "canary-US19", "-1", "canary-u@s"] {
        let found = problems(load(key, &[]));
        assert_eq!(found.len(), 1, "{key}");
        assert_eq!(found[0].key, "targets.mailchimp.base_url");
        assert!(found[0].text.contains("does not end in a data centre"), "{}", found[0].text);
        assert!(!found[0].text.contains("canary"));
    }
    let path = problems(load("canary-us19", &[("TARGETS__MAILCHIMP__LISTS__X", "a/../b")]));
    assert_eq!(path[0].key, "targets.mailchimp.lists.x");
}

#[test]
fn runsignups_caller_and_chatwoots_previous_secret_do_not_stand_alone() {
    let runsignup = [
        ("TARGETS__RUNSIGNUP__ENABLED", "true"),
        ("TARGETS__RUNSIGNUP__API_KEY", "canary"),
        ("TARGETS__RUNSIGNUP__API_SECRET", "canary"),
    ];
    let id = ("TARGETS__RUNSIGNUP__CALLER_ID", "12");
    let secret = ("TARGETS__RUNSIGNUP__CALLER_SECRET", "canary");
    let load = |more: &[(&str, &str)]| every_client(&with(&[&runsignup, more].concat()));
    assert!(load(&[]).unwrap().targets.runsignup.caller.is_none());
    assert_eq!(load(&[id, secret]).unwrap().targets.runsignup.caller.unwrap().id, "12");
    assert_eq!(problems(load(&[id]))[0].key, "targets.runsignup.caller_secret");
    assert_eq!(problems(load(&[secret]))[0].key, "targets.runsignup.caller_id");

    let chatwoot = [
        ("TARGETS__CHATWOOT__ENABLED", "true"),
        ("TARGETS__CHATWOOT__BASE_URL", "https://chat.example.org"),
        ("TARGETS__CHATWOOT__API_TOKEN", "canary"),
        ("TARGETS__CHATWOOT__ACCOUNT_ID", "12"),
        ("TARGETS__CHATWOOT__WEBHOOK_SECRET_PREVIOUS", "canary"),
    ];
    let found = problems(every_client(&with(&chatwoot)));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].key, "targets.chatwoot.webhook_secret");
    let current = [("TARGETS__CHATWOOT__WEBHOOK_SECRET", "canary")];
    let config = every_client(&with(&[&chatwoot[..], &current].concat())).unwrap();
    assert_eq!(config.targets.chatwoot.account_id, 12);
    assert!(config.targets.chatwoot.webhook_secret_previous.is_some());
}

#[test]
fn ca_files_are_read_and_hold_a_certificate() {
    let one = |path: &str| lines(&[("TARGETS__MAUTIC__CA_FILE", path)]);
    assert!(one("/nowhere/ca.pem")[0].contains("can't be read"));
    assert!(one("/nowhere/ca.pem")[0].contains("/nowhere/ca.pem"));
    let file = Scratch::new("-----BEGIN PRIVATE KEY-----\ncanary\n");
    let found = one(file.name());
    assert!(found[0].contains("no certificate") && !found[0].contains("canary"), "{found:?}");
}

/// Every secret set to a canary of its own, each way of going wrong.
#[test]
fn no_secret_shows_in_a_problem_or_in_debug() {
    let secrets: Vec<_> = keys::all().filter(|key| key.is_secret()).collect();
    assert_eq!(secrets.len(), 14, "a new secret must stand in the examples too");
    let value = |key: &keys::Key, bad: &str| match key.path {
        "database.url" => format!("{bad}postgres://u:canary@db/ems"),
        "broker.url" => format!("{bad}amqp://u:canary@mq"),
        "ops.read_token" => format!("{bad}canary-of-the-readers-0123456789"),
        _ => format!("{bad}canary-0123456789-us19"),
    };
    let variables = |bad: &str| -> BTreeMap<String, String> {
        secrets.iter().map(|key| (keys::variable(key.path), value(key, bad))).collect()
    };
    let config = every_client(&variables("")).unwrap();
    let debug = format!("{config:?} {config:#?}");
    assert!(!debug.contains("canary"), "{debug}");
    assert!(debug.contains("REDACTED"));

    let error = every_client(&variables("\n")).unwrap_err();
    assert_eq!(error.problems.len(), secrets.len());
    assert!(!format!("{error} {error:?}").contains("canary"), "{error}");

    for raw in ["[\"canary\"]", "\"canary\\n\"", "\"\""] {
        let text: String = secrets.iter().map(|key| format!("{} = {raw}\n", key.path)).collect();
        let file = Scratch::new(text);
        let result = load(Some(&file.0), &environment(&[]));
        let error = result.unwrap_err();
        assert_eq!(error.problems.len(), secrets.len());
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}

/// Lines of the form `NAME=value`, whether they are commented out or not.
fn assignments(text: &str, active_only: bool) -> Vec<(String, String)> {
    text.lines()
        .filter_map(
            |line| if active_only { Some(line) } else { line.strip_prefix('#').or(Some(line)) },
        )
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| name.starts_with("EMS_SYNC__"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn the_environment_example_has_every_setting_once_with_its_default() {
    let given = assignments(ENV_EXAMPLE, false);
    let mut names: Vec<_> = given.iter().map(|(name, _)| name.clone()).collect();
    names.sort();
    let mut expected = vec!["EMS_SYNC__TARGETS__MAILCHIMP__LISTS__NEWSLETTER".to_owned()];
    for key in keys::all() {
        expected.push(keys::variable(key.path));
        if key.is_secret() {
            expected.push(keys::file_variable(key.path));
        }
    }
    expected.sort();
    assert_eq!(names, expected);
    let given: BTreeMap<_, _> = given.into_iter().collect();
    for key in keys::all() {
        if let Some(default) = key.default {
            assert_eq!(given[&keys::variable(key.path)], default, "{}", key.path);
        }
    }

    let active: BTreeMap<_, _> = assignments(ENV_EXAMPLE, true).into_iter().collect();
    Config::load(None, &active).unwrap();
    let mut whole = given;
    whole.retain(|name, _| !name.ends_with("_FILE"));
    whole.retain(|name, _| {
        !name.ends_with("MAUTIC__USERNAME") && !name.ends_with("MAUTIC__PASSWORD")
    });
    for target in Target::ALL {
        whole.insert(keys::variable(&format!("targets.{target}.enabled")), "true".to_owned());
    }
    assert_eq!(every_client(&whole).unwrap().targets.enabled(), Target::ALL);
}

#[test]
fn the_file_example_has_every_setting_once_with_its_default_and_loads() {
    let example = Scratch::new(TOML_EXAMPLE);
    Config::load(Some(&example.0), &environment(&[])).unwrap();

    let mut section = String::new();
    let mut given = BTreeMap::new();
    for line in TOML_EXAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            name.clone_into(&mut section);
        }
        let line = line.strip_prefix("# ").unwrap_or(line);
        if let Some((name, value)) = line.split_once(" = ")
            && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            let value = value.trim_matches('"').to_owned();
            assert!(given.insert(format!("{section}.{name}"), value).is_none(), "{name} twice");
        }
    }
    let mut expected: BTreeSet<_> = keys::all().map(|key| key.path.to_owned()).collect();
    expected.insert("targets.mailchimp.lists.newsletter".to_owned());
    assert_eq!(given.keys().cloned().collect::<BTreeSet<_>>(), expected);
    for key in keys::all() {
        if let Some(default) = key.default {
            assert_eq!(given[key.path], default, "{}", key.path);
        }
    }

    // Nothing commented out, all enabled: the types of the file are right too.
    let whole: String = TOML_EXAMPLE
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|l| l.contains(" = ")).unwrap_or(line))
        .filter(|line| !line.starts_with("ca_file"))
        .map(|line| format!("{}\n", line.replace("enabled = false", "enabled = true")))
        .collect();
    let (start, rest) = whole.split_once("[targets.mautic]").unwrap();
    let without_basic = rest.replacen("username = \"ems-sync\"\npassword = \"change-me\"\n", "", 1);
    let whole = Scratch::new(format!("{start}[targets.mautic]{without_basic}"));
    let config = load(Some(&whole.0), &environment(&[])).unwrap();
    assert_eq!(config.targets.enabled(), Target::ALL);
}

#[test]
fn every_setting_of_the_list_is_read() {
    let mut reader = Reader::new(source::merge(None, &with(&[])));
    assert!(read(&mut reader).is_some());
    let listed: BTreeSet<_> = keys::all().map(|key| key.path).collect();
    assert_eq!(reader.used, listed);
    assert_eq!(reader.into_problems(), []);
}

#[test]
fn a_setting_that_is_read_but_not_listed_is_a_problem() {
    let mut reader = Reader::new(source::merge(None, &with(&[])));
    assert!(reader.get("ops.colour", value::boolean).is_none());
    assert_eq!(reader.into_problems().len(), 1);
}

#[test]
fn readers_have_a_token_of_their_own_and_a_name_is_no_secret() {
    let one = "a-token-of-some-length";
    let found = |pairs: &[(&str, &str)]| problems(Config::load(None, &with(pairs)));
    let same = found(&[("OPS__TOKEN", one), ("OPS__READ_TOKEN", one)]);
    assert_eq!((same.len(), same[0].key.as_str()), (1, "ops.read_token"));
    for header in ["Authorization", "cookie"] {
        let found = found(&[("OPS__TOKEN", one), ("OPS__USER_HEADER", header)]);
        assert_eq!((found.len(), found[0].key.as_str()), (1, "ops.user_header"));
    }
    let other = [("OPS__TOKEN", one), ("OPS__READ_TOKEN", "another-token-of-some-length")];
    assert_eq!(found(&other), []);
}
