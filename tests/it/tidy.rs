//! The house rules that a compiler does not know: who owns which dependency, what pure modules may not name, and
//! that documents and code name each other's parts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files under `folder` with one of the endings, as paths relative to the root.
fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    fn walk(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && name != ".git" {
                    walk(&path, endings, found);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), endings, &mut found);
    found.sort();
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The code of a file: without comments and without its unit tests, which may name what they like.
fn code(path: &Path) -> String {
    let text = read(path);
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_dependency_is_named_in_its_owner_module_only() {
    let owners = [
        ("use lapin", "src/broker"),
        ("lapin::Error", "src/broker"),
        ("tokio_postgres", "src/store"),
        ("deadpool", "src/store"),
        ("refinery", "src/store"),
        ("reqwest", "src/remote"),
        ("opentelemetry::metrics", "src/ops/metrics"),
        ("opentelemetry::trace", "src/trace"),
        ("opentelemetry_otlp", "src/trace"),
        ("prometheus::", "src/ops/metrics"),
        ("tracing_subscriber", "src/telemetry"),
        ("axum::", "src/ops"),
        ("maud::", "src/ops/console"),
        ("env::var", "src/config"),
    ];
    let mut strays = Vec::new();
    for path in files("src", &[".rs"]) {
        let code = code(&path);
        for (name, owner) in owners {
            if code.contains(name) && !path.to_string_lossy().starts_with(owner) {
                strays.push(format!("{} names {name}, which belongs to {owner}", path.display()));
            }
        }
    }
    assert!(strays.is_empty(), "{strays:#?}");
}

/// What is shown on a page is escaped: nothing is written as it is, and no page has a script or a style of its own.
#[test]
fn the_console_writes_nothing_unescaped() {
    for path in files("src/ops/console", &[".rs"]) {
        let code = code(&path);
        for name in ["PreEscaped", "script", "style=", "onclick"] {
            assert!(!code.contains(name), "{} has {name}", path.display());
        }
    }
}

#[test]
fn pure_modules_know_no_runtime_no_broker_no_http_and_no_database() {
    let pure = [
        "src/entity.rs",
        "src/target.rs",
        "src/delivery.rs",
        "src/hash.rs",
        "src/limits.rs",
        "src/route.rs",
        "src/capture/change.rs",
        "src/deliver/binding.rs",
        "src/deliver/breaker/evidence.rs",
        "src/deliver/breaker/pause.rs",
        "src/deliver/breaker/rule.rs",
        "src/deliver/decision.rs",
        "src/deliver/record.rs",
        "src/deliver/retry.rs",
        "src/deliver/settle.rs",
        "src/remote/failure.rs",
        "src/sweep/verify.rs",
        "src/remote/chatwoot/adopt.rs",
        "src/remote/chatwoot/contact.rs",
        "src/remote/chatwoot/wire.rs",
        "src/remote/tagserver/wire.rs",
    ];
    for path in pure {
        let code = code(Path::new(path));
        for name in [
            "tokio",
            "lapin",
            "reqwest",
            "crate::store",
            "crate::broker",
            "Timestamp::now",
            "Instant::now",
            "async ",
        ] {
            assert!(!code.contains(name), "{path} names {name}");
        }
    }
}

#[test]
fn every_query_stands_in_a_file_with_a_header_and_is_included_exactly_once() {
    let sources: String = files("src", &[".rs"]).iter().map(|path| read(path)).collect();
    for path in files("sql/queries", &[".sql"]) {
        let text = read(&path);
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(text.starts_with("-- "), "{name} has no header");
        let code: String =
            text.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
        assert!(!code.contains(';'), "{name} has several statements");
        let uses = sources.matches(&format!("sql/queries/{name}\"")).count();
        assert!(uses >= 1, "{name} is not used");
    }
    let included: BTreeSet<&str> = sources
        .split("include_str!(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next()?.split("sql/").nth(1))
        .collect();
    for name in included {
        assert!(root().join("sql").join(name).exists(), "sql/{name} does not exist");
    }
}

/// Outside the layer that an owner of another EMS replaces, no statement names an EMS table.
#[test]
fn the_workers_sql_names_no_table_of_the_ems() {
    for path in files("sql/queries", &[".sql"]).iter().chain(&files("sql/migrations", &[".sql"])) {
        let text = read(path);
        let code: String = text.lines().filter(|l| !l.trim_start().starts_with("--")).collect();
        assert!(!code.contains("ems."), "{} names the EMS", path.display());
    }
}

#[test]
fn modules_begin_with_what_they_are_and_have_names_that_say_it() {
    for path in files("src", &[".rs"]) {
        let text = read(&path);
        assert!(text.starts_with("//! "), "{} has no module documentation", path.display());
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        for bucket in ["mod", "util", "utils", "common", "helpers", "misc", "types"] {
            assert_ne!(stem, bucket, "{}", path.display());
        }
        // A remote's way to write a cleared date is no mark of ours.
        let text = text.replace("XXXX-XX-XX", "");
        for word in ["FIXME", "XXX", "TODO"] {
            assert!(!text.contains(word), "{} has a {word}", path.display());
        }
    }
}

/// The points at which tests kill the process: those in the code are those that the campaign goes through.
#[test]
fn the_failpoints_in_the_code_are_the_listed_ones() {
    let listed: BTreeSet<&str> = ems_sync::failpoint::ALL.iter().copied().collect();
    assert_eq!(listed.len(), ems_sync::failpoint::ALL.len(), "one is listed twice");
    let sources: String = files("src", &[".rs"]).iter().map(|path| code(path)).collect();
    let placed: Vec<&str> =
        sources.split("failpoint!(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let distinct: BTreeSet<&str> = placed.iter().copied().collect();
    assert_eq!(distinct.len(), placed.len(), "one stands in two places");
    assert_eq!(distinct, listed);
}

/// Every guarantee of the README names tests that exist.
#[test]
fn the_guarantees_name_tests_that_exist() {
    let readme = read(Path::new("README.md"));
    let sources: String = ["src", "tests"]
        .iter()
        .flat_map(|folder| files(folder, &[".rs"]))
        .map(|path| read(&path))
        .collect();
    let guarantees: Vec<&str> = readme.lines().filter(|line| line.starts_with("| **G")).collect();
    assert_eq!(guarantees.len(), 10, "one line per guarantee");
    for line in guarantees {
        let tests: Vec<&str> = line
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| name.contains('_') && !name.contains(['/', '.', ' ']))
            .collect();
        assert!(!tests.is_empty() || line.contains("not in this version"), "{line}");
        for test in tests {
            assert!(sources.contains(&format!("fn {test}(")), "no test is named {test}");
        }
    }
}

/// What is said of this project is said of it, not of where it was made.
#[test]
fn nothing_speaks_of_the_place_where_it_was_written() {
    for path in files(".", &[".rs", ".md", ".sql", ".sh", ".toml", ".example", "Makefile"]) {
        if path.ends_with("tests/it/tidy.rs") {
            continue;
        }
        let text = read(&path);
        for word in ["/work/", "/root/"] {
            assert!(!text.contains(word), "{} says {word}", path.display());
        }
    }
}

/// What a shared client forgets to pass on falls back to the trait's default, in silence.
#[test]
fn a_shared_client_passes_on_everything_that_a_client_can_do() {
    let text = read(Path::new("src/remote.rs"));
    let methods = |from: &str| -> BTreeSet<String> {
        let begin = text.find(from).unwrap_or_else(|| panic!("{from} is not there"));
        let body = &text[begin..];
        let body = &body[..body.find("\n}").unwrap()];
        let named = body.lines().filter_map(|line| line.trim_start().split_once("fn "));
        named.map(|(_, rest)| rest.split(['(', '<']).next().unwrap().to_owned()).collect()
    };
    let asked = methods("pub trait Remote");
    assert!(asked.len() > 15, "{asked:?}");
    assert_eq!(methods("impl<R: Remote> Remote for Arc<R>"), asked);
}
