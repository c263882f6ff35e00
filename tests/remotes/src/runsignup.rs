//! RunSignup, the registration platform, by `tests/remotes/contracts/runsignup.md`.
//!
//! Its words are turned round: a *race* is the EMS's event, an *event* is the EMS's race, a
//! *registration* is an event participant, a *user* is a person. Errors come inside HTTP 200,
//! answers are XML unless JSON is asked for, and much of what a client writes is ignored in silence.
//! The parts, in the order of a request: `route` and `subject` tell what it is about, `throttle`
//! and `auth` who may, `form` and `draft` what a body says, `write`, `moves` and `race_write`
//! change the `store`, `races`, `participants` and `removed` read it, `error` and `render` word
//! the answers. `people` is what happens at the remote without the worker.

mod auth;
mod callback;
mod clock;
mod draft;
mod error;
mod form;
mod handle;
mod options;
mod participants;
mod people;
mod query;
mod race_write;
mod races;
mod removed;
mod render;
mod resource;
mod route;
mod rows;
mod serve;
mod server;
mod store;
mod subject;
mod throttle;
mod write;

mod moves;

pub use error::{api_error, throttled};
pub use options::{
    BatchErrors, CallerRegistration, RaceWrites, RunSignupOptions, RunSignupSettings,
    ThrottleAnswer, UnrestrictedAdd,
};
pub use people::Action;
pub use resource::Resource;
pub use rows::{Address, Event, Race, Reason, Registration, Removal, User, Visibility};
pub use server::RunSignup;
