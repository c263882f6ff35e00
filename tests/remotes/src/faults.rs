//! Fault scripts: rules looked at in the order they came. The first one that matches strikes;
//! delays add up and do not end the search. A rule that has struck often enough is gone.

mod dice;
mod rule;

use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::faults::dice::Dice;
use crate::sync::lock;
use crate::{Request, Subject};

pub use rule::{Fault, Garbage, Rule, When};

/// The script of one simulator.
#[derive(Debug)]
pub struct Faults(Mutex<Script>);

/// A rule in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleState {
    /// Its number.
    pub id: u64,
    /// The rule; `times` is what is left.
    pub rule: Rule,
    /// How many requests it has matched so far, not counting `nth` and `probability`.
    pub matched: u64,
    /// How often it has struck.
    pub struck: u64,
}

/// What awaits one request.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) delay: Duration,
    pub(crate) fault: Option<Fault>,
    pub(crate) names: Vec<String>,
}

#[derive(Debug)]
struct Script {
    rules: Vec<RuleState>,
    next_id: u64,
    dice: Dice,
}

impl Faults {
    /// An empty script.
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(Script { rules: Vec::new(), next_id: 1, dice: Dice::new(seed) }))
    }

    /// Adds a rule at the end and returns its number.
    pub fn push(&self, rule: Rule) -> u64 {
        let mut script = lock(&self.0);
        let id = script.next_id;
        script.next_id += 1;
        script.rules.push(RuleState { id, rule, matched: 0, struck: 0 });
        id
    }

    /// Removes a rule; `false` if it was gone already.
    pub fn remove(&self, id: u64) -> bool {
        let mut script = lock(&self.0);
        let before = script.rules.len();
        script.rules.retain(|state| state.id != id);
        script.rules.len() < before
    }

    /// Removes all rules.
    pub fn clear(&self) {
        lock(&self.0).rules.clear();
    }

    /// The rules in force.
    pub fn rules(&self) -> Vec<RuleState> {
        lock(&self.0).rules.clone()
    }

    /// What awaits `request`; uses up the rules that strike.
    pub(crate) fn plan(&self, request: &Request, subject: &Subject) -> Plan {
        let mut guard = lock(&self.0);
        let script = &mut *guard;
        let mut plan = Plan::default();
        for state in &mut script.rules {
            if !state.rule.when.covers(request, subject) || !state.strikes(&mut script.dice) {
                continue;
            }
            plan.names.push(state.rule.fault.name().to_owned());
            if let Fault::Delay { ms } = state.rule.fault {
                plan.delay += Duration::from_millis(ms);
            } else {
                plan.fault = Some(state.rule.fault.clone());
                break;
            }
        }
        script.rules.retain(|state| state.rule.times != Some(0));
        plan
    }
}

impl RuleState {
    /// Counts a match and tells whether the rule strikes.
    fn strikes(&mut self, dice: &mut Dice) -> bool {
        self.matched += 1;
        let due = self.rule.when.nth.is_none_or(|nth| self.matched >= nth);
        let strikes = due && self.rule.when.probability.is_none_or(|p| dice.falls_within(p));
        if strikes {
            self.struck += 1;
            self.rule.times = self.rule.times.map(|times| times.saturating_sub(1));
        }
        strikes
    }
}

impl When {
    /// Whether the rule is for such a request; `nth` and `probability` apart.
    fn covers(&self, request: &Request, subject: &Subject) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        is(&self.method, request.method.as_str())
            && is(&self.route, &subject.route)
            && is(&self.resource, subject.resource.unwrap_or_default())
            && self.external_id.as_ref().is_none_or(|id| subject.external_ids.contains(id))
            && self.operation.is_none_or(|operation| operation == subject.operation)
            && (!self.writes || subject.operation.is_write())
    }
}
