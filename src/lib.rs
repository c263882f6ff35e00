//! ems-sync keeps an Event and Membership System (EMS, in Postgres) in step with external platforms.
//!
//! **The map.** A change is committed in the EMS; a trigger writes it to the outbox in the same transaction. The
//! relay turns outbox rows into what each target is *owed*, in Postgres, then publishes deliveries through
//! RabbitMQ. A consumer claims leases on what is owed, reads the projections, hashes, decides, pushes, and writes
//! what came of it. A sweep scans for what no event told. **Postgres holds what is owed; RabbitMQ only says who
//! should look**: with every queue purged nothing is lost.
//!
//! The other way, what people change at a remote is pulled into the inbox page by page, decided about, and applied to the EMS and
//! the sync record in one transaction; what lost to the EMS is kept as a conflict.
//!
//! The modules below stand in the order of that flow. Rules are pure and total (no tokio, lapin, reqwest or
//! tokio-postgres in their modules), the edges act on what they decide, and each dependency is named in its owner
//! module only.
//!
//! | guarantee (README) | where it is made |
//! | --- | --- |
//! | G1 no loss | `sql/functions/capture.sql`, [`capture`], [`sweep`] |
//! | G2 convergence | [`deliver`], [`sweep`] |
//! | G3 one remote record | intents in `sql/functions/claim.sql`, [`deliver::decision`], [`remote`] obligations 5 and 11, [`deliver::binding`], shared addresses in `sql/functions/match_keys.sql` |
//! | G4 no older version over a newer one | leases and fences in `sql/functions/claim.sql`, `finish.sql` |
//! | G5 the EMS wins | [`inbound::decision`], [`inbound::merge`], `sql/functions/inbox.sql` |
//! | G6 no ping-pong | [`hash`], [`deliver::decision`] |
//! | G7 isolation | [`deliver::batch`], [`deliver::breaker`] |
//! | G8 nothing is silent | [`deliver::settle`], [`deliver::dead_letter`], [`ops`] |
//! | G9 no leak | `sql/projections/`, [`delivery`], [`remote::failure`] |
//! | G10 no mass accident | [`deliver::guard`], `sql/functions/guard.sql`, `inbound_guard.sql` and `inbound_removals.sql`, [`deliver::binding`] |

// The vocabulary, no I/O.
pub mod delivery;
pub mod entity;
pub mod hash;
pub mod limits;
pub mod target;

// 1. What changed.
pub mod capture;

// 2. For whom.
pub mod route;

// 3. Bring the target up to date.
pub mod deliver;

// 4. How each remote is spoken to.
pub mod remote;

// 5. What comes back.
pub mod inbound;

// 6. What was missed.
pub mod sweep;

// 7. What people see and do.
pub mod cli;
pub mod ops;

// Adapters: the only modules that name their dependency.
pub mod broker;
pub mod config;
pub mod store;
pub mod telemetry;
pub mod trace;

// How the parts run together.
pub mod clients;
pub mod error_chain;
pub mod failpoint;
pub mod process;
pub mod random;
pub mod target_watch;
