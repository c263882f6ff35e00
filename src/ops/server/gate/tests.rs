//! Who is let in, by which token, login or header, and which forms are ours.

use axum::http::HeaderValue;

use super::*;

const OPERATOR: &str = "a-token-of-some-length";
const READER: &str = "another-token-to-read-with";

fn gate() -> Gate {
    gate_of(Some(READER), Some("X-Forwarded-User"))
}

fn gate_of(reader: Option<&str>, user_header: Option<&str>) -> Gate {
    Gate::new(Tokens {
        operator: OPERATOR.into(),
        reader: reader.map(SecretString::from),
        user_header: user_header.map(str::to_owned),
    })
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
    };
    pairs.iter().map(pair).collect()
}

/// What a browser sends back of a `Set-Cookie`.
fn sent_back(cookie: &str) -> HeaderMap {
    let pair = cookie.split(';').next().unwrap();
    headers(&[("cookie", &format!("theme=dark; {pair}; x=y"))])
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

#[test]
fn a_token_is_the_same_only_when_every_character_is() {
    assert!(is_same(OPERATOR, OPERATOR));
    for other in ["", "a-token-of-some-lengt", "a-token-of-some-length ", "A-token-of-some-length"]
    {
        assert!(!is_same(other, OPERATOR), "{other:?}");
    }
}

#[test]
fn each_token_opens_its_role_and_nothing_else_opens_any() {
    let gate = gate();
    let role = |authorization: &str| {
        gate.visitor(&headers(&[("authorization", authorization)]), at(0)).map(|v| v.role)
    };
    assert_eq!(role(&format!("Bearer {OPERATOR}")), Some(Role::Operator));
    assert_eq!(role(&format!("bearer {READER}")), Some(Role::Reader));
    for wrong in ["", "Bearer", "Bearer ", "Bearer x", OPERATOR, &format!("Basic {OPERATOR}")] {
        assert_eq!(role(wrong), None, "{wrong}");
    }
    assert_eq!(gate.visitor(&HeaderMap::new(), at(0)), None);
    let without = gate_of(None, None);
    assert_eq!(without.role_of(READER), None);
    assert_eq!(without.role_of(""), None);
}

#[test]
fn a_login_holds_until_it_ends_and_for_nobody_who_changes_it() {
    let gate = gate();
    let cookie = gate.log_in(Role::Reader, "Thandi; N\u{f6}kosi", at(0), false);
    assert!(
        cookie.contains("; HttpOnly; SameSite=Strict") && !cookie.contains("Secure"),
        "{cookie}"
    );
    assert!(gate.log_in(Role::Reader, "", at(0), true).ends_with("; Secure"));
    let lasts = i64::try_from(limits::CONSOLE_LOGIN_LASTS.as_secs()).unwrap();
    let visitor = gate.visitor(&sent_back(&cookie), at(lasts - 1)).unwrap();
    assert_eq!((visitor.role, visitor.name.as_str()), (Role::Reader, "Thandi; N\u{f6}kosi"));
    assert_eq!(gate.visitor(&sent_back(&cookie), at(lasts)), None);
    // In every process with these tokens, and in none with others.
    assert!(self::gate().visitor(&sent_back(&cookie), at(0)).is_some());
    let other = gate_of(None, None);
    assert_eq!(other.visitor(&sent_back(&cookie), at(0)), None);
    // Whoever makes a reader an operator, or the end a later one, has no login.
    for (from, to) in [("read-only", "operator"), (".170", ".180"), (".", ".x"), ("=", "=x")] {
        let changed = cookie.replacen(from, to, 1);
        assert_ne!(changed, cookie);
        assert_eq!(gate.visitor(&sent_back(&changed), at(0)), None, "{changed}");
    }
    // What the next page says is no login, though the same key signed it.
    let told = gate.tell("read-only.9999999999.x.eA", false).replace(TOLD, LOGIN);
    assert_eq!(gate.visitor(&sent_back(&told), at(0)), None);
}

#[test]
fn two_logins_have_two_secrets_of_their_forms() {
    let gate = gate();
    let csrf = |_| {
        let login = gate.log_in(Role::Operator, "x", at(0), false);
        gate.visitor(&sent_back(&login), at(0)).unwrap().csrf
    };
    let secrets: std::collections::BTreeSet<_> = (0..5).map(csrf).collect();
    assert_eq!(secrets.len(), 5);
}

#[test]
fn the_proxy_s_header_names_a_person_beside_a_token_only() {
    let gate = gate();
    let token = format!("Bearer {OPERATOR}");
    let named = [("authorization", token.as_str()), ("x-forwarded-user", "thandi\u{9}")];
    let visitor = gate.visitor(&headers(&named), at(0)).unwrap();
    assert_eq!(visitor.by(), "console, thandi");
    assert_eq!(gate.visitor(&headers(&[("x-forwarded-user", "thandi")]), at(0)), None);
    let login = gate.log_in(Role::Operator, "me", at(0), false);
    let mut both = sent_back(&login);
    both.insert("x-forwarded-user", HeaderValue::from_static("somebody else"));
    assert_eq!(gate.visitor(&both, at(0)).unwrap().by(), "console, me");
    let unnamed = gate.log_in(Role::Operator, " ", at(0), false);
    assert_eq!(gate.visitor(&sent_back(&unnamed), at(0)).unwrap().by(), "console");
}

#[test]
fn what_the_next_page_says_is_ours() {
    let gate = gate();
    let mut headers = headers(&[("authorization", &format!("Bearer {READER}"))]);
    let told = gate.tell("3 put back", false);
    headers.insert("cookie", HeaderValue::from_str(told.split(';').next().unwrap()).unwrap());
    assert_eq!(gate.visitor(&headers, at(0)).unwrap().told.as_deref(), Some("3 put back"));
    headers.insert("cookie", HeaderValue::from_static("ems_sync_told=TXkgdGV4dA.AAAA"));
    assert_eq!(gate.visitor(&headers, at(0)).unwrap().told, None);
}

#[test]
fn every_cookie_of_a_browser_that_came_by_https_goes_by_nothing_else() {
    let gate = gate();
    let login = gate.log_in(Role::Operator, "Thandi", at(0), false);
    for by in ["https", "http"] {
        let mut by_login = sent_back(&login);
        by_login.insert("x-forwarded-proto", HeaderValue::from_static(by));
        let bearer = format!("Bearer {READER}");
        let by_token = headers(&[("authorization", &bearer), ("x-forwarded-proto", by)]);
        for given in [by_login, by_token] {
            let is_https = gate.visitor(&given, at(0)).unwrap().is_https;
            for cookie in [gate.tell("3 put back", is_https), Gate::was_told(is_https)] {
                assert_eq!(cookie.contains("; Secure"), by == "https", "{cookie}");
            }
        }
    }
}

#[test]
fn a_form_of_another_page_is_not_ours() {
    let form = |pairs: &[(&'static str, &str)]| is_ours(&headers(pairs));
    assert!(form(&[("sec-fetch-site", "same-origin")]));
    assert!(!form(&[("sec-fetch-site", "cross-site")]));
    assert!(!form(&[("sec-fetch-site", "same-site"), ("host", "a"), ("origin", "http://a")]));
    assert!(form(&[("host", "ops:9090"), ("origin", "http://ops:9090")]));
    assert!(form(&[("host", "x"), ("x-forwarded-host", "ops"), ("origin", "https://ops")]));
    for origin in ["http://evil.example", "null", "ops:9090"] {
        assert!(!form(&[("host", "ops:9090"), ("origin", origin)]), "{origin}");
    }
}

#[test]
fn what_readers_are_given_depends_on_nothing_that_only_operators_know() {
    let login = |gate: &Gate, role| sent_back(&gate.log_in(role, "Sipho", at(0), true));
    let other = Gate::new(Tokens {
        operator: "another-operators-token".into(),
        reader: Some(READER.into()),
        user_header: None,
    });
    let role = |headers: &HeaderMap| other.visitor(headers, at(1)).map(|visitor| visitor.role);
    assert_eq!(role(&login(&gate(), Role::Reader)), Some(Role::Reader));
    assert_eq!(role(&login(&gate(), Role::Operator)), None);
    // A reader who writes another role into the cookie has no signature for it.
    let cookie = gate().log_in(Role::Reader, "Sipho", at(0), true);
    let forged = cookie.replacen(Role::Reader.name(), Role::Operator.name(), 1);
    assert_eq!(gate().visitor(&sent_back(&forged), at(1)), None);
    // Nobody reads any more.
    assert_eq!(gate_of(None, None).visitor(&login(&gate(), Role::Reader), at(1)), None);
}

#[test]
fn of_two_names_neither_is_believed_and_the_first_proxy_says_how_the_browser_came() {
    let bearer = format!("Bearer {OPERATOR}");
    let mut given = headers(&[("authorization", &bearer), ("x-forwarded-user", "Thandi")]);
    let name = |headers: &HeaderMap| gate().visitor(headers, at(0)).unwrap().name;
    assert_eq!(name(&given), "Thandi");
    given.append("x-forwarded-user", HeaderValue::from_static("Sipho"));
    assert_eq!(name(&given), "");
    for (by, secure) in [("https", true), ("HTTPS, http", true), ("http, https", false)] {
        assert_eq!(is_https(&headers(&[("x-forwarded-proto", by)])), secure, "{by}");
    }
}
