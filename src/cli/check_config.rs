//! `ems-sync check-config`: every problem at once, none of the secrets.

use serde::Serialize;

use super::{Exit, output};
use crate::config::{Config, ConfigError};
use crate::target::Target;

#[derive(Serialize)]
struct Document {
    valid: bool,
    problems: Vec<Problem>,
    /// The targets that are enabled; empty when the configuration can't be used.
    enabled: Vec<Target>,
}

#[derive(Serialize)]
struct Problem {
    key: String,
    source: String,
    problem: String,
}

pub(super) fn check_config(
    config: Result<Config, ConfigError>,
    json: bool,
) -> anyhow::Result<Exit> {
    match (config, json) {
        (Ok(config), true) => {
            let enabled = config.targets.enabled();
            output::json(&Document { valid: true, problems: Vec::new(), enabled })?;
        }
        (Ok(config), false) => {
            let enabled: Vec<_> = config.targets.enabled().into_iter().map(Target::name).collect();
            let enabled = if enabled.is_empty() { "none".to_owned() } else { enabled.join(", ") };
            output::text(&format!("The configuration is fine. Enabled targets: {enabled}"))?;
        }
        (Err(error), true) => {
            output::json(&invalid(&error))?;
            return Ok(Exit::Configuration);
        }
        (Err(error), false) => return Err(error.into()),
    }
    Ok(Exit::Fine)
}

fn invalid(error: &ConfigError) -> Document {
    let problem = |problem: &crate::config::Problem| Problem {
        key: problem.key.clone(),
        source: problem.source.to_string(),
        problem: problem.text.clone(),
    };
    Document {
        valid: false,
        problems: error.problems.iter().map(problem).collect(),
        enabled: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Origin;

    #[test]
    fn every_problem_has_its_key_and_where_it_came_from() {
        let problem = crate::config::Problem {
            key: "database.url".to_owned(),
            source: Origin::Unset,
            text: "it is always needed".to_owned(),
        };
        let document = invalid(&ConfigError { problems: vec![problem] });
        assert_eq!(
            serde_json::to_value(document).unwrap(),
            json!({"valid": false, "enabled": [], "problems": [
                {"key": "database.url", "source": "not set", "problem": "it is always needed"}]})
        );
    }
}
