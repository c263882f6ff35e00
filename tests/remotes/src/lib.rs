//! Stateful simulators of the remotes that ems-sync speaks to: for its tests and its demo.
//!
//! A simulator is a real HTTP(S) server on a port of 127.0.0.1 that keeps rows, enforces the
//! remote's contract (`tests/remotes/contracts/`, traps included), remembers every request in a
//! journal, and misbehaves on demand. It runs on the caller's Tokio runtime; the binary
//! `ems-sync-remotes` runs one as a process. `README.md` beside this crate has the control API.
//!
//! # The API in one page
//!
//! ```text
//! // ---- one remote: TagServer ------------------------------------------------------------
//! use ems_sync_remotes::tagserver::{Bulk, Resource, Row, TagServer, TagServerOptions};
//! let sim: Simulator<TagServer> = TagServer::start(TagServerOptions::default()).await?;
//!
//! TagServerOptions { server: ServerOptions, username: String, password: String,
//!                    first_id: i64, settings: TagServerSettings }          // : Default
//! TagServerSettings { bulk: Bulk, token_life_seconds: u64, token_expiry: TokenExpiry,
//!                     delete_unknown: DeleteUnknown, missing_relation: MissingRelation,
//!                     find_lag_ms: u64, clock_offset_seconds: i64,
//!                     publish_instance: bool }                              // : Default
//! Resource::{Organisation, Person, Event, Race, StartGroup, EventParticipant,
//!            StartGroupParticipant, Tag}; Resource::ALL; .segment() -> "start-groups"
//! Row { id: i64, external_id: Option<String>, body: serde_json::Value }
//!
//! sim.rows(Resource::Race) -> Vec<Row>                   // by id
//! sim.row(Resource::Race, "77") -> Option<Row>           // by externalId
//! sim.row_by_id(Resource::Race, 900_001) -> Option<Row>
//! sim.row_count(Resource::Race) -> usize
//! sim.plant(Resource::Race, json!({…})) -> Result<Row, ControlError>  // new, or change with "id"
//! sim.remove(Resource::Race, id) -> bool                 // behind the worker's back, no checks
//! sim.configure(|settings| settings.bulk = Bulk::NotFound)
//! sim.new_signing_secret()                               // every token is revoked early
//! sim.reimage(Reimage::Empty | Reimage::Shuffled)        // new instance, ids mean other rows
//! sim.instance() -> Uuid
//! sim.issue_token() -> String                            // a valid bearer without a login
//! tagserver::{concurrency_failure(), data_access_failure()} -> Fault
//!
//! // ---- one remote: RunSignup (its race is the EMS's event, its event the EMS's race) --------
//! use ems_sync_remotes::runsignup::{Action, Resource, RunSignup, RunSignupOptions};
//! let sim: Simulator<RunSignup> = RunSignup::start(RunSignupOptions::default()).await?;
//!
//! RunSignupOptions { server, api_key, api_secret, caller_registration,
//!                    caller_registration_secret, oauth_client_id, callback_secret,
//!                    settings: RunSignupSettings }                          // : Default
//! Resource::{Race, Event, User, Registration}            // typed rows of the same names
//! sim.race(id) / .event(id) / .user(id) / .registration(id) -> Option<…>
//! sim.registrations() / .registrations_of("42") -> Vec<Registration>    // the removed ones, too
//! sim.rows(Resource::User) -> Vec<Value>
//! sim.plant(Resource::Race, json!({…})) -> Result<Value, ControlError>  // new, or change with "id"
//! sim.register(event_id, json!({ "user": {…} })) -> Result<i64, ControlError>
//! sim.act(registration_id, Action::{Clear, Remove, Defer, Transfer{event_id}, Reactivate})
//!     -> Option<Registration>
//! sim.remove(Resource::User, id) -> bool   sim.reimage(…)   sim.configure(|settings| …)
//! sim.issue_token(writes) -> String        sim.issue_refresh_token(writes) -> String
//! sim.callback("registered", registration_id) -> String  // the signed form, to be posted
//! runsignup::{api_error(code), throttled()} -> Fault
//!
//! // ---- every simulator ------------------------------------------------------------------
//! ServerOptions { listen: SocketAddr, control: SocketAddr, tls: Option<Certificate>,
//!                 latency: Duration, seed: u64, journal_limit: Option<usize>,
//!                 max_body_bytes: usize }                                   // : Default
//! Certificate::{Valid, WrongName, Expired, SelfSigned}
//!
//! sim.base_url() -> String         // "http://127.0.0.1:41234", the host root
//! sim.control_url() -> String      // "http://127.0.0.1:41235", see README for /_sim/…
//! sim.ca_pem() -> Option<&str>     // the private authority, when TLS
//! sim.address() -> SocketAddr
//! sim.remote() -> &TagServer
//! sim.set_latency(Duration)
//! sim.go_offline(Offline::{Refuse, Close, Hang}).await?   sim.go_online().await?
//! sim.shutdown().await             sim.restart(State::{Kept, Wiped}).await?  // same ports
//! sim.wipe()                       // rows only; ids start again
//!
//! sim.faults().push(Rule::new(Fault::CommitThenDrop).method("POST").resource("races")) -> u64
//! Rule::new(fault)                 // once, any request; narrowed by:
//!     .method("PUT") .route("/api/races/{id}") .resource(Resource::Race) .external_id("77")
//!     .operation(Operation::Find) .writes() .nth(3) .probability(0.1) .times(5) .unlimited()
//! Fault::{Delay{ms}, Status{code, headers, body, applied}, Drop, CommitThenDrop, Hang{ms},
//!         CommitThenHang{ms}, Garbage{what, applied}, SlowBody{chunk_bytes, pause_ms},
//!         RevokeToken, NewSecret, Reimage{…}, Offline{mode, ms}}
//! Fault::status(503)  Fault::throttled(seconds)  Fault::delay(Duration)  Fault::garbage(Garbage)
//! Garbage::{Html, TruncatedJson, CutOff, EmptyList, EmptyBody, StrangersRecord}
//! sim.faults().clear()  .remove(id) -> bool  .rules() -> Vec<RuleState>
//!
//! sim.journal() -> Vec<Entry>      sim.journal_since(sequence) -> Vec<Entry>
//! sim.writes_of("races", "77") -> Vec<Entry>
//! sim.counters() -> Counters       // totals, writes per resource, lookups, logins, violations …
//! sim.violations() -> Vec<Violation { sequence, code, detail }>
//! sim.overlaps() -> Vec<Overlap { resource, external_id, first, second, abandoned }>
//! sim.progress() -> watch::Receiver<Progress { started, applied, finished }>
//! sim.wait_for_requests(n).await   // n requests finished since the start; no sleeping
//! sim.wait_for(|| sim.counters().logins == 2).await       // tested whenever the journal moves
//! sim.wait_until(|progress, entries| …).await            // the same over the lent journal
//! ```
//!
//! Nothing here waits with a deadline: wrap the waits in `tokio::time::timeout`.
//!
//! # Layout, in the order of a request
//!
//! `listening` accepts (or refuses), `connection` serves HTTP/1.1, `exchange` takes one request
//! through journal, latency and faults to the [`Remote`], which answers from its own state.

mod listening;
mod tls;

mod body;
mod connection;
mod request;
mod response;

mod exchange;
mod faults;

mod counters;
mod in_flight;
mod journal;
mod ledger;

mod remote;
pub mod runsignup;
pub mod tagserver;

mod control;
mod simulator;
mod sync;

pub use counters::{Counters, Violation, WriteCounters};
pub use faults::{Fault, Faults, Garbage, Rule, RuleState, When};
pub use in_flight::{Concurrency, Overlap};
pub use journal::{Effect, Entry, RowEffect};
pub use ledger::Progress;
pub use listening::Offline;
pub use remote::{ControlError, Operation, Record, Reimage, Remote, Subject, Upheaval};
pub use request::Request;
pub use response::Response;
pub use simulator::{ServerOptions, Simulator, StartError, State};
pub use tls::Certificate;
