//! Routes with who may use them. A route is added with its access or not at all, so the list of both is the router's own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Form, FromRequest as _, FromRequestParts, MatchedPath, Query, Request, State};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{self, MethodRouter};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::task::TaskTracker;

use super::gate::{self, Gate, Role, Visitor};
use crate::error_chain::chain;
use crate::limits;
use crate::ops::console;
use crate::store::Store;
use crate::target::Target;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ops) enum Access {
    /// Everybody, without a login: it shows nothing of the EMS.
    Anyone,
    /// Whoever has this role, or one that may do more.
    From(Role),
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ops) struct Route {
    /// Its method; `GET` includes `HEAD`.
    pub(in crate::ops) method: Method,
    /// Its path, with the names of what varies in braces.
    pub(in crate::ops) path: &'static str,
    /// Who may use it.
    pub(in crate::ops) access: Access,
}

/// What was sent with a form, by name.
#[derive(Debug, Clone)]
pub(in crate::ops) struct Fields(BTreeMap<String, String>);

impl Fields {
    /// The value of a field; empty when there is none.
    pub(in crate::ops) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

/// What the query of an address asks for: words that its page knows, or nothing.
pub(in crate::ops) struct Asked<T>(pub(in crate::ops) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(asked)) if !has_nul(&parts.uri.to_string()) => Ok(Self(asked)),
            Ok(_) | Err(_) => Err(refused(
                parts,
                StatusCode::BAD_REQUEST,
                "this page has nothing of what the address asks for",
            )),
        }
    }
}

/// No text has this character, and the database takes none that does.
fn has_nul(text: &str) -> bool {
    text.contains('\0') || text.contains("%00")
}

/// So long a person waits for what became of an action; it goes on all the same.
const ACTION_PATIENCE: Duration = Duration::from_secs(8);

/// What people have begun. It runs to its end, whoever has stopped waiting for it.
#[derive(Clone)]
pub(in crate::ops) struct Actions {
    under_way: TaskTracker,
    slots: Arc<Semaphore>,
    order_slots: Arc<Semaphore>,
    store: Store,
}

/// Whom an action shares the places with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// With all that may take long.
    Action,
    /// With other orders to targets.
    Order,
}

/// Says of an answer that what was asked for was not done, and why. Nothing personal: it may stand in the audit trail.
#[derive(Debug, Clone, Copy)]
pub(in crate::ops) struct NotDone(pub(in crate::ops) &'static str);

/// What became of an action, with its target and how much of what: for the log, where nobody waits for the answer. Nothing personal.
#[derive(Debug, Clone)]
pub(in crate::ops) struct Outcome(pub(in crate::ops) String);

impl Actions {
    /// None is under way. The audit trail of `store` is told of those that nobody waits for any more and that come to nothing.
    pub(in crate::ops) fn new(store: Store) -> Self {
        let slots = Arc::new(Semaphore::new(limits::CONSOLE_ACTIONS_AT_ONCE));
        let order_slots = Arc::new(Semaphore::new(limits::CONSOLE_ORDERS_AT_ONCE));
        Self { under_way: TaskTracker::new(), slots, order_slots, store }
    }

    /// The places of a kind.
    pub(super) fn slots(&self, kind: Kind) -> Arc<Semaphore> {
        Arc::clone(match kind {
            Kind::Action => &self.slots,
            Kind::Order => &self.order_slots,
        })
    }

    /// Waits until all are at their end, for so long at most.
    pub(in crate::ops) async fn end(&self, within: Duration) {
        self.under_way.close();
        if tokio::time::timeout(within, self.under_way.wait()).await.is_err() {
            tracing::warn!(
                "An action of the console was under way when the process ended; the audit trail tells whether it was done"
            );
        }
    }

    /// Does it, and says what became of it, or that it goes on.
    async fn run(&self, kind: Kind, request: Request, next: Next) -> Response {
        let Ok(slot) = self.slots(kind).try_acquire_owned() else {
            return console::page::busy("too many actions are under way at once");
        };
        let action = Attempted::of(&request);
        let (tell, told) = oneshot::channel();
        let store = self.store.clone();
        self.under_way.spawn(async move {
            let response = tokio::spawn(next.run(request)).await.unwrap_or_else(|_| {
                let why = "the program failed; the log tells whether it was done";
                console::page::failure(StatusCode::INTERNAL_SERVER_ERROR, why)
            });
            drop(slot);
            if let Err(response) = tell.send(response) {
                action.came_to(response, &store).await;
            }
        });
        match tokio::time::timeout(ACTION_PATIENCE, told).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) | Err(_) => console::page::goes_on(),
        }
    }
}

/// What somebody wanted to do, as it may stand in the audit trail.
struct Attempted {
    /// The words of the route's path.
    what: String,
    target: Option<Target>,
    number: Option<i64>,
    by: String,
}

impl Attempted {
    fn of(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let words = route.split('/').filter(|word| !word.is_empty() && !word.starts_with('{'));
        let mut given = request.uri().path().split('/');
        Self {
            what: words.collect::<Vec<_>>().join(" "),
            target: given.clone().find_map(|word| word.parse().ok()),
            number: given.find_map(|word| word.parse().ok()),
            by: request.extensions().get::<Visitor>().map(Visitor::by).unwrap_or_default(),
        }
    }

    /// Nobody waits for the answer: the log says what became of it, and if it was not done, the audit trail says so.
    async fn came_to(self, response: Response, store: &Store) {
        let failed = response.status().is_server_error();
        let Self { what, target, number, by } = self;
        let name = target.map(Target::name);
        let Some(NotDone(why)) = response.extensions().get::<NotDone>().copied() else {
            let outcome = response.extensions().get::<Outcome>().map(|Outcome(words)| words);
            tracing::info!(
                action = what,
                target.name = name,
                number,
                outcome,
                "An action that nobody waits for was done"
            );
            return;
        };
        tracing::warn!(
            action = what,
            target.name = name,
            number,
            why,
            failed,
            "An action that nobody waits for was not done"
        );
        let detail = format!("{what}: {why}");
        let noted = store.note_not_done(target, number, &detail, failed, &by).await;
        if let Err(error) = noted {
            tracing::warn!(error = chain(&error), "That is not in the audit trail");
        }
    }
}

/// A router under construction.
pub(in crate::ops) struct Routes<S> {
    router: Router<S>,
    gate: Option<Arc<Gate>>,
    actions: Actions,
    list: Vec<Route>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// No routes yet. Without a gate there is nothing that needs one: its routes are left out.
    pub(in crate::ops) fn new(gate: Option<Arc<Gate>>, actions: Actions) -> Self {
        Self { router: Router::new(), gate, actions, list: Vec::new() }
    }

    /// Whether anybody can be let in.
    pub(in crate::ops) const fn has_gate(&self) -> bool {
        self.gate.is_some()
    }

    /// A page or a document.
    pub(in crate::ops) fn get<H, T>(self, access: Access, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add(Method::GET, access, path, Kind::Action, routing::get(handler))
    }

    /// A form. It is taken from our own pages only; its fields are in [`Fields`].
    pub(in crate::ops) fn post<H, T>(self, access: Access, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add(Method::POST, access, path, Kind::Action, routing::post(handler))
    }

    /// The same, of an order to a target: it waits for no other action.
    pub(in crate::ops) fn order<H, T>(self, access: Access, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add(Method::POST, access, path, Kind::Order, routing::post(handler))
    }

    fn add(
        mut self,
        method: Method,
        access: Access,
        path: &'static str,
        kind: Kind,
        handler: MethodRouter<S>,
    ) -> Self {
        let handler = match (access, &self.gate) {
            (Access::Anyone, _) => handler,
            (Access::From(_), None) => return self,
            (Access::From(role), Some(gate)) => {
                let (gate, actions) = (Arc::clone(gate), self.actions.clone());
                let guard = Guard { gate, role, kind, actions };
                handler.route_layer(middleware::from_fn_with_state(guard, admit))
            }
        };
        self.router = self.router.route(path, handler);
        self.list.push(Route { method, path, access });
        self
    }

    /// The router, and what it serves to whom.
    pub(in crate::ops) fn done(self, state: S) -> (Router, Vec<Route>) {
        (self.router.with_state(state), self.list)
    }
}

#[derive(Clone)]
struct Guard {
    gate: Arc<Gate>,
    role: Role,
    kind: Kind,
    actions: Actions,
}

/// Lets in who may, and forms that are ours.
async fn admit(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let (mut parts, mut body) = request.into_parts();
    let Some(visitor) = guard.gate.visitor(&parts.headers, Timestamp::now()) else {
        return unknown(&parts);
    };
    if visitor.role < guard.role {
        return refused(&parts, StatusCode::FORBIDDEN, "your login is for reading only");
    }
    if parts.method == Method::POST {
        let Some(fields) = fields(&parts, body).await else {
            return refused(&parts, StatusCode::BAD_REQUEST, "this is no form of this page");
        };
        if !gate::is_ours(&parts.headers) || !gate::is_same(fields.get("csrf"), &visitor.csrf) {
            return refused(
                &parts,
                StatusCode::FORBIDDEN,
                "this form was not sent by a page of this console, or is of an earlier login",
            );
        }
        parts.extensions.insert(fields);
        body = Body::empty();
    }
    let was_told = visitor.told.is_some() && parts.method == Method::GET;
    let is_https = visitor.is_https;
    parts.extensions.insert(visitor);
    let acts = parts.method == Method::POST && guard.role == Role::Operator;
    let request = Request::from_parts(parts, body);
    let mut response = if acts {
        guard.actions.run(guard.kind, request, next).await
    } else {
        next.run(request).await
    };
    if was_told && let Ok(cookie) = HeaderValue::try_from(Gate::was_told(is_https)) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// The fields of a form, if it is one, and all of it is text.
pub(in crate::ops) async fn fields(parts: &Parts, body: Body) -> Option<Fields> {
    let request = Request::from_parts(parts.clone(), body);
    let Form(fields): Form<BTreeMap<String, String>> =
        Form::from_request(request, &()).await.ok()?;
    (!fields.values().any(|value| has_nul(value))).then_some(Fields(fields))
}

fn is_api(parts: &Parts) -> bool {
    parts.uri.path().starts_with("/api/")
}

/// Nobody knows who it is.
fn unknown(parts: &Parts) -> Response {
    let mut response = if is_api(parts) {
        super::failure(StatusCode::UNAUTHORIZED, "a bearer token is needed")
    } else {
        console::login::asked(parts)
    };
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn refused(parts: &Parts, code: StatusCode, why: &'static str) -> Response {
    if is_api(parts) { super::failure(code, why) } else { console::page::failure(code, why) }
}
