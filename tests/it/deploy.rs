//! What is under `deploy/` and must agree with the code and with itself: alerts, the runbook, the dashboard, the manifests.
//!
//! The tools that know the formats (promtool, hadolint, Compose, kubectl) are called by `deploy/check`, where they are
//! installed; what is held here needs none of them.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of the alerts, in the order of the file.
fn alerts() -> Vec<String> {
    let rules = read("deploy/prometheus/rules.yml");
    let names = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

/// The metrics that the program has, as Prometheus shows them: a counter with `_total`, a time with `_seconds`.
fn metrics() -> BTreeSet<String> {
    let code: String = read("src/ops/metrics.rs").split_whitespace().collect::<Vec<_>>().join(" ");
    let mut names = BTreeSet::new();
    for (kind, ending) in
        [("counter(", "_total"), ("seconds(", "_seconds"), ("gauge(", ""), ("age(", "_seconds")]
    {
        for call in code.split(kind).skip(1) {
            let Some(name) = call.trim_start().strip_prefix('"') else { continue };
            let name = name.split('"').next().unwrap();
            names.insert(format!("ems_sync_{name}{ending}"));
        }
    }
    assert!(names.len() > 20, "the code is read wrongly: {names:?}");
    names
}

/// Our metrics that a text names, without what a histogram's parts end in.
fn named(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in text.match_indices("ems_sync_") {
        let rest = text.get(at..).unwrap();
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(rest.len());
        let name = rest.get(..end).unwrap();
        let part = ["_bucket", "_count", "_sum"].into_iter().find_map(|e| name.strip_suffix(e));
        names.insert(part.unwrap_or(name).to_owned());
    }
    names
}

/// The section of the runbook with this heading.
fn section(runbook: &str, heading: &str) -> Option<String> {
    let (_, rest) = runbook.split_once(&format!("\n## {heading}\n"))?;
    Some(rest.split("\n## ").next().unwrap_or(rest).to_owned())
}

#[test]
fn every_alert_has_its_heading_in_the_runbook_and_is_named_once() {
    let (rules, runbook) = (read("deploy/prometheus/rules.yml"), read("deploy/RUNBOOK.md"));
    let alerts = alerts();
    assert!(alerts.len() > 10, "the rules are read wrongly: {alerts:?}");
    assert_eq!(alerts.iter().collect::<BTreeSet<_>>().len(), alerts.len(), "one is listed twice");
    for alert in alerts {
        let section = section(&runbook, &alert);
        let section = section.unwrap_or_else(|| panic!("the runbook has no heading {alert}"));
        for word in ["**Means**", "**Look**", "**Do**", "**Over when**"] {
            assert!(section.contains(word), "{alert} does not say what {word}");
        }
        let link = format!("runbook: RUNBOOK.md#{}\n", alert.to_lowercase());
        assert!(rules.contains(&link), "{alert} does not name its heading");
    }
}

#[test]
fn every_alert_has_a_test_that_sets_it_off_and_one_that_does_not() {
    let tests = read("deploy/prometheus/rules.test.yml");
    for alert in alerts() {
        let own =
            tests.split("- alertname: ").skip(1).filter(|t| t.starts_with(&format!("{alert}\n")));
        let (silent, fires): (Vec<_>, Vec<_>) = own.partition(|t| t.contains("exp_alerts: []"));
        assert!(!fires.is_empty(), "no test sets {alert} off");
        assert!(!silent.is_empty(), "no test leaves {alert} silent");
    }
}

#[test]
fn rules_dashboard_and_runbook_name_metrics_that_exist_and_leave_none_out() {
    let metrics = metrics();
    let mut shown = BTreeSet::new();
    for path in [
        "deploy/prometheus/rules.yml",
        "deploy/prometheus/rules.test.yml",
        "deploy/grafana/ems-sync.json",
        "deploy/RUNBOOK.md",
    ] {
        let named = named(&read(path));
        assert!(!named.is_empty(), "{path} is read wrongly");
        let unknown: Vec<_> = named.difference(&metrics).collect();
        assert!(unknown.is_empty(), "{path} names what no process tells: {unknown:?}");
        shown.extend(named);
    }
    let forgotten: Vec<_> = metrics.difference(&shown).collect();
    assert!(forgotten.is_empty(), "nobody looks at {forgotten:?}");
}

/// Every panel has a title, words that say what it shows, and a query over a data source that can be chosen.
#[test]
fn every_panel_of_the_dashboard_says_what_it_shows_and_asks_for_it() {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/ems-sync.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut places = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        let place = &panel["gridPos"];
        let place = (place["y"].as_u64().unwrap(), place["x"].as_u64().unwrap());
        assert!(places.insert(place), "{title} lies on another panel");
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|text| text.len() > 10), "{title}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        let targets = panel["targets"].as_array().unwrap();
        assert!(
            targets.iter().all(|t| t["expr"].as_str().is_some_and(|e| !e.is_empty())),
            "{title}"
        );
        assert!(!targets.is_empty(), "{title}");
    }
}

/// What `deploy/kubernetes/components/monitoring/generate` writes.
#[test]
fn the_prometheus_rule_is_made_from_the_rules() {
    let rules = read("deploy/prometheus/rules.yml");
    let expected: Vec<String> = rules
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| if line.is_empty() { String::new() } else { format!("  {line}") })
        .collect();
    let resource = read("deploy/kubernetes/components/monitoring/prometheus-rule.yaml");
    let (_, spec) = resource.split_once("\nspec:\n").unwrap();
    let spec: Vec<&str> = spec.lines().collect();
    assert_eq!(spec, expected, "run deploy/kubernetes/components/monitoring/generate");
}

/// Every setting that Compose file, images and manifests make is one; `…_FILE` too.
#[test]
fn what_is_deployed_is_configured_with_settings_that_exist() {
    let settings = variables(&read("deploy/env.example"));
    for path in [
        "deploy/docker/Dockerfile",
        "deploy/docker/docker-compose.yml",
        "deploy/kubernetes/base/worker.yaml",
        "deploy/kubernetes/base/ops.yaml",
        "deploy/kubernetes/migrate/job.yaml",
        "deploy/kubernetes/overlays/small/settings/kustomization.yaml",
        "deploy/kubernetes/overlays/production/settings/ems-sync.env",
    ] {
        let named = variables(&read(path));
        assert!(!named.is_empty(), "{path} is read wrongly");
        for name in named {
            // A list's code is the EMS's.
            let is_list = name.starts_with("EMS_SYNC__TARGETS__MAILCHIMP__LISTS__");
            assert!(is_list || settings.contains(&name), "{path} sets {name}, which is no setting");
        }
    }
}

/// The settings that a text names.
fn variables(text: &str) -> BTreeSet<String> {
    let is_part = |c: &char| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '_';
    let places = text.match_indices("EMS_SYNC__");
    places.map(|(at, _)| text[at..].chars().take_while(is_part).collect()).collect()
}

/// Each target's own bound in KEDA's formula is what its budget can use: consumers beyond a quarter of its slots would only wait.
#[test]
fn consumers_are_scaled_within_each_targets_budget() {
    let keda = read("deploy/kubernetes/components/keda/scaled-object.yaml");
    let defaults = read("deploy/env.example");
    let mut most = 0;
    for target in ems_sync::target::Target::ALL {
        let key = format!("#EMS_SYNC__TARGETS__{}__CONCURRENCY=", target.name().to_uppercase());
        let (_, rest) = defaults.split_once(&key).unwrap();
        let slots: usize = rest.lines().next().unwrap().parse().unwrap();
        let bound = slots.div_ceil(ems_sync::limits::BATCHES_IN_FLIGHT);
        let term = format!("min({target} / 500, {bound})");
        assert!(keda.contains(&term), "the formula has no {term}");
        assert!(keda.contains(&format!("queueName: ems-sync.{target}.outbound\n")), "{target}");
        most = most.max(bound);
    }
    assert!(keda.contains(&format!("maxReplicaCount: {most}\n")), "beyond {most} none has work");
}

/// The daemon would fetch what such a line names before anything else, and no build would work without the network.
#[test]
fn the_image_is_built_by_what_is_at_hand_and_does_not_run_as_root() {
    let dockerfile = read("deploy/docker/Dockerfile");
    assert!(!dockerfile.contains("syntax="));
    let last = dockerfile.lines().rfind(|line| line.starts_with("USER ")).unwrap();
    assert_eq!(last, "USER 65532:65532");
}
