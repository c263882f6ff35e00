//! What a simulated remote is to the shared core: a state that answers requests.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::journal::{Effect, RowEffect};
use crate::{Request, Response};

/// What a request is meant to do; the same words for every remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Obtain a token.
    Login,
    /// Ask whether the token or the server is alive.
    Probe,
    /// Ask which server this is.
    Info,
    /// Make one record.
    Create,
    /// Overwrite one record.
    Replace,
    /// Change some fields of one record.
    Patch,
    /// Remove one record.
    Delete,
    /// Write several records in one request.
    Bulk,
    /// Read one record by its remote id.
    Read,
    /// Look one record up by our key.
    Find,
    /// Page through records.
    List,
    /// Anything else, also what the remote does not have.
    Other,
}

impl Operation {
    /// Whether it changes records.
    pub fn is_write(self) -> bool {
        match self {
            Self::Create | Self::Replace | Self::Patch | Self::Delete | Self::Bulk => true,
            Self::Login
            | Self::Probe
            | Self::Info
            | Self::Read
            | Self::Find
            | Self::List
            | Self::Other => false,
        }
    }
}

/// What a request is about, told before anything is applied.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What it is meant to do.
    pub operation: Operation,
    /// The route's template, for example `/api/races/{id}`.
    pub route: String,
    /// The resource, by the name that [`Remote::resource_name`] gives.
    pub resource: Option<&'static str>,
    /// The remote id it names.
    pub remote_id: Option<String>,
    /// Our ids it names or is known to touch.
    pub external_ids: Vec<String>,
    /// How far the remote's rows had come when it arrived, in a count of the remote's own: what a
    /// remote that checks first and inserts later has looked at.
    pub seen: u64,
}

impl Subject {
    /// A subject that concerns no record.
    pub fn new(operation: Operation, route: impl Into<String>) -> Self {
        Self {
            operation,
            route: route.into(),
            resource: None,
            remote_id: None,
            external_ids: Vec::new(),
            seen: 0,
        }
    }
}

/// What a remote notes about a request while it answers.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// What became of each row.
    pub rows: Vec<RowEffect>,
    /// Breaches of the contract by the client: a stable code and a detail without personal data.
    pub violations: Vec<(&'static str, String)>,
}

impl Record {
    /// Notes a breach of the contract.
    pub fn violation(&mut self, code: &'static str, detail: impl Into<String>) {
        self.violations.push((code, detail.into()));
    }

    /// Whether anything was committed.
    pub fn applied(&self) -> bool {
        self.rows.iter().any(|row| row.effect != Effect::Refused)
    }
}

/// What a remote says to a request before anything else happens to it.
pub enum Admission {
    /// It may enter. What is given is held until the server is done with the request, even if the
    /// client has given up before.
    Admitted(Option<Box<dyn Send + Sync>>),
    /// It is turned away at once: nothing is applied, no fault strikes.
    Refused(Response),
}

/// How a server comes back from being set up anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reimage {
    /// Without rows; ids start again, so that new rows get ids that once meant others.
    #[default]
    Empty,
    /// With the same rows under each other's ids.
    Shuffled,
}

/// An event that hits a whole remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upheaval {
    /// The token of the request at hand is revoked.
    RevokeToken,
    /// All tokens are revoked.
    NewSecret,
    /// All rows are gone; ids start again; the instance stays.
    Wipe,
    /// Another instance, with what is left of the rows.
    Reimage(Reimage),
}

/// Why the control API could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The remote has no such resource.
    #[error("No resource is called {0:?}")]
    UnknownResource(String),
    /// The row or the settings do not fit.
    #[error("It does not fit: {0}")]
    Unfit(String),
}

/// A simulated remote. Calls are short and never wait: latency and faults are the core's.
pub trait Remote: Send + Sync + 'static {
    /// Its name, as in `ems-sync-remotes <name>`.
    fn name(&self) -> &'static str;

    /// What `request` is about.
    fn subject(&self, request: &Request) -> Subject;

    /// Whether `request` may enter: for limits on simultaneous requests and on their rate.
    fn admit(&self, _request: &Request, _record: &mut Record) -> Admission {
        Admission::Admitted(None)
    }

    /// Applies `request` and answers it.
    fn answer(&self, request: &Request, subject: &Subject, record: &mut Record) -> Response;

    /// The answer that this remote gives with `status` when nothing more is known.
    fn plain_error(&self, status: hyper::StatusCode, request: &Request) -> Response;

    /// A well-formed success that shows somebody else's record.
    fn strangers_record(&self, request: &Request, subject: &Subject) -> Response;

    /// Lets `upheaval` happen; `request` is the one it was scripted for.
    fn upheave(&self, upheaval: Upheaval, request: Option<&Request>);

    /// The remote's clock, for the `Date` header.
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// The resource's one name for a name that people use.
    fn resource_name(&self, name: &str) -> Option<&'static str>;

    /// All resources.
    fn resources(&self) -> Vec<&'static str>;

    /// All rows of a resource, by id; each has `id`.
    ///
    /// # Errors
    /// If there is no such resource.
    fn rows_of(&self, resource: &str) -> Result<Vec<Value>, ControlError>;

    /// Makes a row, or changes the one that has the `id`, behind the worker's back.
    ///
    /// # Errors
    /// If there is no such resource, or the row does not fit it.
    fn plant_row(&self, resource: &str, row: &Value) -> Result<Value, ControlError>;

    /// Removes a row behind the worker's back; `false` if it was not there.
    ///
    /// # Errors
    /// If there is no such resource.
    fn remove_row(&self, resource: &str, id: &str) -> Result<bool, ControlError>;

    /// Does what a person at the remote does, and returns what became of it.
    ///
    /// # Errors
    /// If people cannot do that here.
    fn act(&self, _act: &Value) -> Result<Value, ControlError> {
        Err(ControlError::Unfit(format!("nobody acts at {}", self.name())))
    }

    /// The settings that can be changed while it runs.
    fn settings(&self) -> Value;

    /// Changes the settings that `change` names.
    ///
    /// # Errors
    /// If a name or a value is unknown.
    fn change_settings(&self, change: &Value) -> Result<(), ControlError>;
}
