//! The base URL of a target: strict, since everything that is sent goes there.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Scheme, host, port and path; without a trailing slash. The text of an error never quotes it.
pub(super) fn parse(text: &str) -> Result<String, &'static str> {
    if !text.chars().all(|c| c.is_ascii_graphic() && !"\\\"<>^`{|}".contains(c)) {
        return Err("must be a URL without spaces and special characters");
    }
    let (scheme, rest) =
        text.split_once("://").ok_or("must be a URL that begins with https:// (or http://)")?;
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "https" && scheme != "http" {
        return Err("must begin with https:// (or http://)");
    }
    if rest.contains(['?', '#']) {
        return Err("must end before any ? or #");
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err("must hold no credentials; they have settings of their own");
    }
    let (host, port) = host_and_port(authority)?;
    let is_port = |port: &str| !port.starts_with('+') && port.parse::<u16>().is_ok_and(|n| n != 0);
    if !port.is_none_or(is_port) {
        return Err("must have a port from 1 to 65535, or none");
    }
    if !is_host(host) {
        return Err("must name a host, in ASCII");
    }
    if path.split('/').any(|part| part == "." || part == "..") {
        return Err("must have no . or .. in its path");
    }
    Ok(format!("{scheme}://{}{}", authority.to_ascii_lowercase(), path.trim_end_matches('/')))
}

fn host_and_port(authority: &str) -> Result<(&str, Option<&str>), &'static str> {
    let Some(end) = authority.find(']') else {
        return Ok(match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        });
    };
    let (host, rest) = authority.split_at(end + 1);
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err("must name a host, and perhaps a port after a colon"),
    }
}

fn is_host(host: &str) -> bool {
    if let Some(v6) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return v6.parse::<Ipv6Addr>().is_ok();
    }
    let labels = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let last_is_number =
        labels.rsplit('.').next().is_some_and(|last| last.chars().all(|c| c.is_ascii_digit()));
    labels.split('.').all(is_label) && (!last_is_number || labels.parse::<Ipv4Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn good_ones_lose_their_trailing_slash_and_nothing_else() {
        for (given, kept) in [
            ("https://tags.example.org", "https://tags.example.org"),
            ("https://tags.example.org/", "https://tags.example.org"),
            ("HTTPS://Tags.Example.org:8443/Api//", "https://tags.example.org:8443/Api"),
            ("http://localhost:8080/rest", "http://localhost:8080/rest"),
            ("http://127.0.0.1:1", "http://127.0.0.1:1"),
            ("https://[::1]:8443/x", "https://[::1]:8443/x"),
            ("https://[::1]", "https://[::1]"),
            ("https://tag_server.internal.", "https://tag_server.internal."),
        ] {
            assert_eq!(parse(given).as_deref(), Ok(kept), "{given}");
        }
    }

    #[test]
    fn bad_ones_are_refused() {
        for given in [
            "",
            "tags.example.org",
            "//tags.example.org",
            "ftp://tags.example.org",
            "https://",
            "https:///rest",
            "https://:443",
            "https://user:password@tags.example.org",
            "https://user@tags.example.org",
            "https://tags.example.org?key=1",
            "https://tags.example.org/x?key=1",
            "https://tags.example.org/#top",
            "https://tags.example.org:0",
            "https://tags.example.org:65536",
            "https://tags.example.org:",
            "https://tags.example.org:+80",
            "https://tags.example.org:http",
            "https://tags example.org",
            "https://tags.example.org\n",
            "https://tags..example.org",
            "https://täg.example.org",
            "https://300.1.1.1",
            "https://[::1",
            "https://[::1]x",
            "https://[nonsense]",
            "https://tags.example.org\\evil",
            "https://tags.example.org/a/../b",
        ] {
            assert!(parse(given).is_err(), "{given}");
        }
    }
}
