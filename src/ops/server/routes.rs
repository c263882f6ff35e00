//! Routes with who may use them. A route is added with its access or not at all, so the list of both is the router's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Form, FromRequest as _, Request, State};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{self, MethodRouter};
use jiff::Timestamp;

use super::gate::{self, Gate, Role};
use crate::ops::console;

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

/// A router under construction.
pub(in crate::ops) struct Routes<S> {
    router: Router<S>,
    gate: Option<Arc<Gate>>,
    list: Vec<Route>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// No routes yet. Without a gate there is nothing that needs one: its routes are left out.
    pub(in crate::ops) fn new(gate: Option<Arc<Gate>>) -> Self {
        Self { router: Router::new(), gate, list: Vec::new() }
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
        self.add(Method::GET, access, path, routing::get(handler))
    }

    /// A form. It is taken from our own pages only; its fields are in [`Fields`].
    pub(in crate::ops) fn post<H, T>(self, access: Access, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add(Method::POST, access, path, routing::post(handler))
    }

    fn add(
        mut self,
        method: Method,
        access: Access,
        path: &'static str,
        handler: MethodRouter<S>,
    ) -> Self {
        let handler = match (access, &self.gate) {
            (Access::Anyone, _) => handler,
            (Access::From(_), None) => return self,
            (Access::From(role), Some(gate)) => {
                let guard = Guard { gate: Arc::clone(gate), role };
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
}

/// Lets in who may, and forms that are ours.
async fn admit(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let (mut parts, mut body) = request.into_parts();
    let Some(visitor) = guard.gate.visitor(&parts.headers, Timestamp::now()) else {
        return unknown(&parts);
    };
    if visitor.role < guard.role {
        return refused(&parts, "your login is for reading only");
    }
    if parts.method == Method::POST {
        let Some(fields) = fields(&parts, body).await else {
            return refused(&parts, "this is no form of this page");
        };
        if !gate::is_ours(&parts.headers) || !gate::is_same(fields.get("csrf"), &visitor.csrf) {
            return refused(
                &parts,
                "this form was not sent by a page of this console, or is of an earlier login",
            );
        }
        parts.extensions.insert(fields);
        body = Body::empty();
    }
    let was_told = visitor.told.is_some() && parts.method == Method::GET;
    parts.extensions.insert(visitor);
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if was_told && let Ok(cookie) = HeaderValue::try_from(Gate::was_told()) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// The fields of a form.
pub(in crate::ops) async fn fields(parts: &Parts, body: Body) -> Option<Fields> {
    let request = Request::from_parts(parts.clone(), body);
    Form::from_request(request, &()).await.ok().map(|Form(fields)| Fields(fields))
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

fn refused(parts: &Parts, why: &'static str) -> Response {
    if is_api(parts) {
        super::failure(StatusCode::FORBIDDEN, why)
    } else {
        console::page::failure(StatusCode::FORBIDDEN, why)
    }
}
