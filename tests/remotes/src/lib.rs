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
//! // ---- one remote: Mautic ---------------------------------------------------------------
//! use ems_sync_remotes::mautic::{Contact, Mautic, MauticOptions, MauticSettings, …};
//! let sim: Simulator<Mautic> = Mautic::start(MauticOptions::default()).await?;
//!
//! MauticOptions { server: ServerOptions, client_id: String, client_secret: String,
//!                 username: String, password: String, first_id: i64,
//!                 settings: MauticSettings }                                // : Default
//! MauticSettings { … }                       // : Default; each field names the contract's section
//! Contact { id, values, tags, do_not_contact, segments, points, stage, owner, … }
//!         .email()  .ems_person_id()  .text("city")  .do_not_contact_reason("email")
//!
//! sim.contacts() -> Vec<Contact>                         // by id
//! sim.contact_of("42") -> Option<Contact>                // by EMS id; contacts_of for all
//! sim.contact(700_001) -> Option<Contact>    sim.contact_count() -> usize
//! sim.plant(json!({…})) -> Result<Contact, ControlError> // new, or change with "id"
//! sim.remove(id) -> bool
//! sim.unsubscribe(id, "email")  .bounce(id, "email")  .forbid(id, "sms")  .permit(id, "sms")
//! sim.merge(winner, loser) -> bool
//! sim.plant_segment("Runners") -> Result<i64, ControlError>
//! sim.filter_into_segment(id, segment) -> bool           // not where it was removed by hand
//! sim.plant_field(json!({"alias", "type", …}))?          sim.remove_field("ems_person_id")
//! sim.configure(|settings| settings.rate_limit_per_hour = 60)
//! sim.revoke_tokens()   sim.issue_token() -> String   sim.reimage(Reimage::Shuffled)
//! mautic::{contact_without_id(), list_without_contact(id), server_error_page()} -> Fault
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

pub mod mautic;
mod remote;
pub mod tagserver;

mod control;
mod simulator;
mod sync;

pub use counters::{Counters, Violation, WriteCounters};
pub use faults::{Fault, Faults, Garbage, Rule, RuleState, When};
pub use in_flight::Overlap;
pub use journal::{Effect, Entry, RowEffect};
pub use ledger::Progress;
pub use listening::Offline;
pub use remote::{ControlError, Operation, Record, Reimage, Remote, Subject, Upheaval};
pub use request::Request;
pub use response::Response;
pub use simulator::{ServerOptions, Simulator, StartError, State};
pub use tls::Certificate;
