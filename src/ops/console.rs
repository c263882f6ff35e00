//! The console at `/`: what `status`, `explain`, `dead-letters`, `conflicts` and `target` show and do, for people with a browser.
//!
//! Pages are made here and need no script; every value is escaped by the macro that makes them. What a page shows is read, and
//! what a form does is done, by the same functions as on the command line. Each action is a form of its own, answered with the way
//! to the page that shows what became of it.

mod audit;
mod conflicts;
mod dead_letters;
mod explain;
mod holds;
pub(in crate::ops) mod login;
mod overview;
pub(in crate::ops) mod page;
mod parts;

use std::sync::Arc;

use axum::response::{IntoResponse, Response};

use super::server::Desk;
use super::server::gate::Role;
use super::server::routes::{Access, Routes};
use crate::error_chain::chain;
use crate::store::StoreError;

const READER: Access = Access::From(Role::Reader);
const OPERATOR: Access = Access::From(Role::Operator);

/// The pages and forms, each with who may use it. Where nobody can log in there are none.
pub(super) fn routes(routes: Routes<Arc<Desk>>) -> Routes<Arc<Desk>> {
    if !routes.has_gate() {
        return routes;
    }
    routes
        .get(Access::Anyone, "/console.css", page::style)
        .get(Access::Anyone, "/console.svg", page::icon)
        .get(Access::Anyone, "/login", login::form)
        .post(Access::Anyone, "/login", login::log_in)
        .post(READER, "/logout", login::log_out)
        .get(READER, "/", overview::show)
        .order(OPERATOR, "/targets/{target}/orders", overview::order)
        .get(READER, "/dead-letters", dead_letters::list)
        .get(READER, "/dead-letters/{number}", dead_letters::show)
        .post(OPERATOR, "/dead-letters/replay", dead_letters::replay)
        .post(OPERATOR, "/dead-letters/discard", dead_letters::discard)
        .get(READER, "/holds", holds::list)
        .post(OPERATOR, "/holds/{target}/decision", holds::decide)
        .get(READER, "/conflicts", conflicts::list)
        .get(READER, "/conflicts/{number}", conflicts::show)
        .post(OPERATOR, "/conflicts/{number}/adopt", conflicts::adopt)
        .post(OPERATOR, "/conflicts/{number}/dismiss", conflicts::dismiss)
        .post(READER, "/search", explain::search)
        .get(READER, "/explain/{entity}/{id}", explain::show)
        .get(READER, "/audit", audit::list)
}

/// The database can't be read or written.
struct Unavailable(StoreError);

impl From<StoreError> for Unavailable {
    fn from(error: StoreError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Unavailable {
    fn into_response(self) -> Response {
        if self.0.is_of_given_value() {
            let why = "the database takes no such text";
            return page::failure(axum::http::StatusCode::BAD_REQUEST, why);
        }
        tracing::warn!(error = chain(&self.0), "The console has no database");
        page::failure(
            axum::http::StatusCode::SERVICE_UNAVAILABLE,
            "the database does not answer: nothing was changed, or it is not known whether it was",
        )
    }
}

/// What a handler answers.
type Answer = Result<Response, Unavailable>;
