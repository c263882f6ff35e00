//! Integration tests against a real Postgres, a real RabbitMQ and stateful simulators of the remotes.
//!
//! `make test` starts the services (`deploy/local/with-services`) and runs them. Every test has a database of its
//! own, cloned from a migrated template, and its own queue prefix, so all of them may run at once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::too_many_lines,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    reason = "tests say what must hold, and fail loudly"
)]

mod support;

mod backbone;
mod binding;
mod both_sides;
mod breaker;
mod broker_faults;
mod broker_loss;
mod broker_wiped;
mod budget;
mod capture;
mod chatwoot;
mod checker;
mod chromium;
mod cli;
mod console;
mod contention;
mod contract;
mod convergence;
mod crash;
mod dead_letters;
mod deploy;
mod each_target;
mod explain;
mod failures;
mod five;
mod guard;
mod health;
mod inbound;
mod inbound_pull;
mod isolation;
mod kills;
mod late_writes;
mod leaks;
mod lessens;
mod lost_answers;
mod mailchimp;
mod mautic;
mod model;
mod outages;
mod postgres_faults;
mod proxy;
mod queue_lengths;
mod resync;
mod rolling;
mod runsignup;
mod scripted_push;
mod sim;
mod sweep;
mod tagserver;
mod tidy;
mod traces;
mod verify;
mod wake;
