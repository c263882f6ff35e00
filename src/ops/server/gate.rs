//! Who may use the API and the console: tokens, logins, roles, and what keeps other pages from using a person's login.
//!
//! A login is a cookie that says who it is, in which role and until when, signed with a key that is derived from the tokens:
//! it holds in every process with the same configuration, survives a restart, and ends when a token is changed. It is told from a
//! token by its place only: whoever has a token needs no login.
//!
//! A person who comes through a proxy that has asked them who they are (`OpenID` Connect) is named by `ops.user_header`. The
//! header is believed beside a token only, which the proxy adds: the token says the role, the header says who.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256, Sha512};

use crate::config::Ops;
use crate::limits;

/// The cookie of a login.
const LOGIN: &str = "ems_sync_login";
/// The cookie of what the next page says.
const TOLD: &str = "ems_sync_told";
/// Longest text that the next page says.
const TOLD_CHARS_MAX: usize = 500;
/// Seconds after which nobody wants to hear it any more.
const TOLD_LASTS: i64 = 60;
/// Longest name of a person that is taken.
const NAME_CHARS_MAX: usize = 60;

/// What opens the API and the console.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// Opens everything.
    pub operator: SecretString,
    /// Opens what changes nothing.
    pub reader: Option<SecretString>,
    /// The header in which a proxy says who somebody is.
    pub user_header: Option<String>,
}

impl Tokens {
    /// Those that are configured; `None` without that of the operators.
    #[must_use]
    pub fn of(ops: &Ops) -> Option<Self> {
        let Ops { token, read_token, user_header, .. } = ops;
        let (reader, user_header) = (read_token.clone(), user_header.clone());
        Some(Self { operator: token.clone()?, reader, user_header })
    }
}

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::ops) enum Role {
    /// See everything, change nothing.
    Reader,
    /// See everything and act.
    Operator,
}

impl Role {
    pub(in crate::ops) const fn name(self) -> &'static str {
        match self {
            Self::Reader => "read-only",
            Self::Operator => "operator",
        }
    }
}

/// Somebody who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ops) struct Visitor {
    /// What they may do.
    pub(in crate::ops) role: Role,
    /// Who they are, as they or the proxy said; empty when nobody did.
    pub(in crate::ops) name: String,
    /// Stands in every form of theirs: no other page knows it.
    pub(in crate::ops) csrf: String,
    /// They came with the console's cookie, so they can log out.
    pub(in crate::ops) has_login: bool,
    /// Their browser came by HTTPS, so it must send our cookies by nothing else.
    pub(in crate::ops) is_https: bool,
    /// What became of what they did last, to be said once.
    pub(in crate::ops) told: Option<String>,
}

impl Visitor {
    /// Who did something, as it stands in the audit trail.
    pub(in crate::ops) fn by(&self) -> String {
        if self.name.is_empty() { "console".to_owned() } else { format!("console, {}", self.name) }
    }
}

/// Decides who is let in.
pub(in crate::ops) struct Gate {
    operator: SecretString,
    reader: Option<SecretString>,
    user_header: Option<HeaderName>,
    operator_key: Hmac<Sha256>,
    reader_key: Option<Hmac<Sha256>>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

impl Gate {
    /// Who has one of the tokens.
    pub(in crate::ops) fn new(tokens: Tokens) -> Self {
        let Tokens { operator, reader, user_header } = tokens;
        let user_header = user_header.and_then(|name| HeaderName::try_from(name).ok());
        let operator_key = key_of(Role::Operator, &operator);
        let reader_key = reader.as_ref().map(|reader| key_of(Role::Reader, reader));
        Self { operator, reader, user_header, operator_key, reader_key }
    }

    /// Who sends a request, if they are let in.
    pub(in crate::ops) fn visitor(&self, headers: &HeaderMap, now: Timestamp) -> Option<Visitor> {
        let (is_https, told) = (is_https(headers), self.told(headers));
        let authorization = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        if let Some(token) = authorization.and_then(bearer) {
            let role = self.role_of(token)?;
            let user = self.user_header.as_ref().and_then(|name| only(headers, name));
            let name = printable(user.unwrap_or_default());
            let csrf = self.signature(role, "form", &format!("{}.{name}", role.name()))?;
            return Some(Visitor { role, name, csrf, has_login: false, is_https, told });
        }
        let visitor = cookies(headers, LOGIN).find_map(|login| self.logged_in(login, now))?;
        Some(Visitor { is_https, told, ..visitor })
    }

    /// The `Set-Cookie` that has the next page say a thing.
    pub(in crate::ops) fn tell(&self, text: &str, is_https: bool) -> String {
        let text: String = text.chars().take(TOLD_CHARS_MAX).collect();
        let text = URL_SAFE_NO_PAD.encode(text);
        let signature = self.signature(Role::Operator, TOLD, &text).unwrap_or_default();
        cookie(TOLD, &format!("{text}.{signature}"), TOLD_LASTS, is_https)
    }

    /// What the page before had this one say.
    fn told(&self, headers: &HeaderMap) -> Option<String> {
        let (text, signature) = cookies(headers, TOLD).next()?.rsplit_once('.')?;
        if !is_same(signature, &self.signature(Role::Operator, TOLD, text)?) {
            return None;
        }
        String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }

    /// The `Set-Cookie` after it was said.
    pub(in crate::ops) fn was_told(is_https: bool) -> String {
        cookie(TOLD, "", 0, is_https)
    }

    /// What a token opens.
    pub(in crate::ops) fn role_of(&self, token: &str) -> Option<Role> {
        let is_reader =
            self.reader.as_ref().is_some_and(|reader| is_same(token, reader.expose_secret()));
        if is_same(token, self.operator.expose_secret()) {
            Some(Role::Operator)
        } else {
            is_reader.then_some(Role::Reader)
        }
    }

    /// The `Set-Cookie` of a login. `is_https`: the browser came by it, so it must send the cookie by nothing else.
    pub(in crate::ops) fn log_in(
        &self,
        role: Role,
        name: &str,
        now: Timestamp,
        is_https: bool,
    ) -> String {
        let until = now.as_second().saturating_add(seconds(limits::CONSOLE_LOGIN_LASTS));
        let name = URL_SAFE_NO_PAD.encode(printable(name));
        let claim = format!("{}.{until}.{}.{name}", role.name(), uuid::Uuid::new_v4().simple());
        let signature = self.signature(role, LOGIN, &claim).unwrap_or_default();
        let login = format!("{claim}.{signature}");
        let lasts = seconds(limits::CONSOLE_LOGIN_LASTS);
        cookie(LOGIN, &login, lasts, is_https)
    }

    /// The `Set-Cookie` that ends a login.
    pub(in crate::ops) fn log_out(is_https: bool) -> String {
        cookie(LOGIN, "", 0, is_https)
    }

    fn logged_in(&self, login: &str, now: Timestamp) -> Option<Visitor> {
        let (claim, signature) = login.rsplit_once('.')?;
        let mut parts = claim.split('.');
        let role = parts.next()?;
        let role = [Role::Reader, Role::Operator].into_iter().find(|known| known.name() == role)?;
        if !is_same(signature, &self.signature(role, LOGIN, claim)?) {
            return None;
        }
        let until: i64 = parts.next()?.parse().ok()?;
        let name = URL_SAFE_NO_PAD.decode(parts.nth(1)?).ok()?;
        let csrf = self.signature(role, "form", claim)?;
        (now.as_second() < until).then(|| Visitor {
            role,
            name: String::from_utf8_lossy(&name).into_owned(),
            csrf,
            has_login: true,
            is_https: false,
            told: None,
        })
    }

    /// With the key of a role, which follows from its own token only: what readers are given says nothing about the operators' token.
    /// `None` where nobody has the role any more. `purpose` keeps a signature of one kind from being used as another.
    fn signature(&self, role: Role, purpose: &str, text: &str) -> Option<String> {
        let mut mac = match role {
            Role::Operator => self.operator_key.clone(),
            Role::Reader => self.reader_key.clone()?,
        };
        mac.update(purpose.as_bytes());
        mac.update(b"\0");
        mac.update(text.as_bytes());
        Some(URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }
}

fn key_of(role: Role, token: &SecretString) -> Hmac<Sha256> {
    let mut key = Sha512::new_with_prefix(b"ems-sync console login\0");
    key.update(role.name());
    key.update(b"\0");
    key.update(Sha256::digest(token.expose_secret()));
    Hmac::new(&key.finalize())
}

/// The value of a header that is there once: of two, one may be the browser's own.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    std::str::from_utf8(value.as_bytes()).ok()
}

fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    lines
        .flat_map(|line| line.split(';'))
        .filter_map(move |pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

fn cookie(name: &str, value: &str, lasts: i64, is_https: bool) -> String {
    let secure = if is_https { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; Max-Age={lasts}; HttpOnly; SameSite=Strict{secure}")
}

/// Whether a form was sent by one of our own pages, as far as the browser says. What it does not say, the form's secret does.
pub(in crate::ops) fn is_ours(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text("origin") else { return true };
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    let hosts = [text("host"), text("x-forwarded-host")];
    authority.is_some_and(|authority| hosts.contains(&Some(authority)))
}

/// The browser came by HTTPS to the first of the proxies in front of us.
pub(in crate::ops) fn is_https(headers: &HeaderMap) -> bool {
    let by = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    let first = by.and_then(|by| by.split(',').next());
    first.is_some_and(|first| first.trim().eq_ignore_ascii_case("https"))
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Compares digests, and all bytes of them: the time tells nothing about where the texts differ, or how long they are.
pub(in crate::ops) fn is_same(given: &str, expected: &str) -> bool {
    let (given, expected) = (Sha256::digest(given), Sha256::digest(expected));
    given.iter().zip(expected.iter()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// A name as it can stand in a table and in the audit trail.
fn printable(name: &str) -> String {
    let name: String = name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
    name.trim().to_owned()
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
