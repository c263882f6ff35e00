//! Who may: the access token, and what its owner is allowed (contract, section 1).

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::options::{ChatwootOptions, ChatwootSettings};
use super::refusal::{INVALID_TOKEN, NOT_PERMITTED, Refusal};
use super::route::Route;
use crate::{Record, Request};

/// The header as it must be sent; Rack takes underscores for hyphens.
const HYPHENS: &str = "api-access-token";
/// The header as the documentation spells it; nginx drops it.
const UNDERSCORES: &str = "api_access_token";

/// What the owner of a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Administrator,
    Agent,
    Bot,
}

/// The access tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    roles: HashMap<String, Role>,
    revoked: HashSet<String>,
}

impl Tokens {
    /// The tokens of a new installation.
    pub(super) fn new(options: &ChatwootOptions) -> Self {
        let roles = [
            (options.token.clone(), Role::Administrator),
            (options.agent_token.clone(), Role::Agent),
            (options.bot_token.clone(), Role::Bot),
        ];
        Self { roles: HashMap::from(roles), revoked: HashSet::new() }
    }

    /// Who owns a token that is good.
    pub(super) fn role(&self, token: &str) -> Option<Role> {
        self.roles.get(token).copied().filter(|_| !self.revoked.contains(token))
    }

    /// Refuses the token from now on.
    pub(super) fn revoke(&mut self, token: &str) {
        self.revoked.insert(token.to_owned());
    }

    /// Refuses all tokens from now on.
    pub(super) fn revoke_all(&mut self) {
        self.revoked.extend(self.roles.keys().cloned());
    }

    /// Takes the token for an administrator's, also one that was revoked.
    pub(super) fn accept(&mut self, token: &str) {
        self.revoked.remove(token);
        self.roles.entry(token.to_owned()).or_insert(Role::Administrator);
    }

    /// A new administrator's token.
    pub(super) fn issue(&mut self) -> String {
        let token = Uuid::new_v4().simple().to_string();
        self.accept(&token);
        token
    }
}

/// The token that arrives behind the proxy.
pub(super) fn token<'r>(request: &'r Request, settings: &ChatwootSettings) -> Option<&'r str> {
    let underscored = || request.header(UNDERSCORES).filter(|_| !settings.drop_underscore_headers);
    request.header(HYPHENS).or_else(underscored)
}

/// The role of the sender of `request`, or why it is refused.
pub(super) fn admit(
    request: &Request,
    tokens: &Tokens,
    settings: &ChatwootSettings,
    record: &mut Record,
) -> Result<Role, Refusal> {
    if request.header(UNDERSCORES).is_some() {
        record.violation("underscore_header", UNDERSCORES);
    }
    if settings.refuse_accept_encoding && request.header("accept-encoding").is_some() {
        return Err(Refusal::NotSignedIn);
    }
    let token = token(request, settings).ok_or(Refusal::NotSignedIn)?;
    let role = tokens.role(token).ok_or(Refusal::Unauthorized(INVALID_TOKEN))?;
    if settings.suspended {
        return Err(Refusal::Unauthorized("Account is suspended"));
    }
    Ok(role)
}

/// What only some roles may.
pub(super) fn permit(role: Role, route: &Route, request: &Request) -> Result<(), Refusal> {
    let reads = request.method == hyper::Method::GET;
    let permitted = match (role, route) {
        (Role::Administrator, _) => true,
        (Role::Agent, Route::Webhooks | Route::Webhook(_)) => false,
        (Role::Agent, Route::Contact(_)) => request.method != hyper::Method::DELETE,
        (Role::Agent, Route::Definitions) => reads,
        (Role::Agent, _) => true,
        (Role::Bot, Route::Conversations | Route::Conversation(_) | Route::Messages(_)) => reads,
        (Role::Bot, _) => false,
    };
    if permitted { Ok(()) } else { Err(Refusal::Unauthorized(NOT_PERMITTED)) }
}
