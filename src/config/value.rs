//! From a raw value to a typed one: pure, each with its bounds. The text of an error follows the setting's name,
//! says what is expected and never quotes the value.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;
use secrecy::SecretString;

use super::base_url;
use super::source::{self, Raw};

/// A typed value, or what was expected.
pub(super) type Parsed<T> = Result<T, String>;

const NO_STRING: &str = "must be a string, in quotes";
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// A text that is not empty and has nothing invisible in it.
fn text(raw: &Raw) -> Parsed<&str> {
    let (Raw::Loose(text) | Raw::Text(text)) = raw else { return Err(NO_STRING.to_owned()) };
    if text.is_empty() {
        return Err("is empty: give it a value or leave it out".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("holds a line break or another control character".to_owned());
    }
    Ok(text)
}

/// What was expected of something that is not a string, and how it differs where that is known.
fn expected<T>(raw: &Raw, what: &str) -> Parsed<T> {
    let hint = if matches!(raw, Raw::Text(_)) { ", without quotes" } else { "" };
    Err(format!("must be {what}{hint}"))
}

/// A name, without spaces around it.
pub(super) fn name(raw: &Raw) -> Parsed<String> {
    let text = text(raw)?;
    if text.trim() != text {
        return Err("has spaces around it".to_owned());
    }
    Ok(text.to_owned())
}

/// An id that may be a number or a text.
pub(super) fn id_text(raw: &Raw) -> Parsed<String> {
    if let Raw::Integer(Some(n)) = raw { Ok(n.to_string()) } else { name(raw) }
}

/// An id that stands in paths of URLs.
pub(super) fn word(raw: &Raw) -> Parsed<String> {
    let name = name(raw)?;
    let is_word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    is_word.then_some(name).ok_or_else(|| "must have only letters, digits, - and _".to_owned())
}

/// A secret.
pub(super) fn secret(raw: &Raw) -> Parsed<SecretString> {
    text(raw).map(SecretString::from)
}

/// A secret that is sent in a header, and not to be guessed.
pub(super) fn token(raw: &Raw, chars_min: usize) -> Parsed<SecretString> {
    let text = text(raw)?;
    if !text.chars().all(|c| c.is_ascii_graphic()) {
        return Err("must have only visible ASCII characters, without spaces".to_owned());
    }
    if text.len() < chars_min {
        return Err(format!("must have at least {chars_min} characters"));
    }
    Ok(SecretString::from(text))
}

/// The URL of the database. Its driver reads the rest.
pub(super) fn database_url(raw: &Raw) -> Parsed<SecretString> {
    url(raw, &["postgres://", "postgresql://"])
}

/// The URL of the broker. Its client reads the rest.
pub(super) fn broker_url(raw: &Raw) -> Parsed<SecretString> {
    url(raw, &["amqp://", "amqps://"])
}

fn url(raw: &Raw, schemes: &[&str]) -> Parsed<SecretString> {
    let text = text(raw)?;
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    match rest {
        Some(rest) if !rest.is_empty() => Ok(SecretString::from(text)),
        _ => Err(format!("must be a URL that begins with {}", schemes.join(" or "))),
    }
}

/// The base URL of a target.
pub(super) fn base_url(raw: &Raw) -> Parsed<String> {
    base_url::parse(text(raw)?).map_err(str::to_owned)
}

/// The first part of the names of exchanges and queues.
pub(super) fn prefix(raw: &Raw, chars_max: usize) -> Parsed<String> {
    let text = text(raw)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if text.len() > chars_max || !text.chars().all(allowed) {
        return Err(format!("must have at most {chars_max} letters, digits, dots, - and _"));
    }
    if text == "amq" || text.starts_with("amq.") {
        return Err("must not begin with amq., which brokers keep for themselves".to_owned());
    }
    Ok(text.to_owned())
}

/// An address to listen on.
pub(super) fn address(raw: &Raw) -> Parsed<SocketAddr> {
    let what = "must be an IP address and a port, such as 127.0.0.1:9090 or [::]:9090";
    text(raw)?.parse().map_err(|_| what.to_owned())
}

/// Yes or no.
pub(super) fn boolean(raw: &Raw) -> Parsed<bool> {
    let value = if let Raw::Boolean(value) = raw {
        Some(*value)
    } else {
        raw.loose().and_then(|text| text.parse().ok())
    };
    value.map_or_else(|| expected(raw, "true or false"), Ok)
}

/// A whole number within bounds.
pub(super) fn integer<T: TryFrom<i64>>(raw: &Raw, bounds: RangeInclusive<i64>) -> Parsed<T> {
    let number = if let Raw::Integer(number) = raw {
        *number
    } else {
        raw.loose().and_then(|text| text.parse().ok())
    };
    let within = number.filter(|n| bounds.contains(n)).and_then(|n| T::try_from(n).ok());
    within.map_or_else(
        || match bounds.into_inner() {
            (min, i64::MAX) => expected(raw, &format!("a whole number, at least {min}")),
            (min, max) => expected(raw, &format!("a whole number from {min} to {max}")),
        },
        Ok,
    )
}

/// A share, 0 to 1.
pub(super) fn share(raw: &Raw) -> Parsed<f64> {
    let number = match raw {
        Raw::Float(number) => Some(*number),
        Raw::Integer(number) => number.and_then(|n| i32::try_from(n).ok()).map(f64::from),
        Raw::Loose(text) => text.parse().ok(),
        Raw::Text(_) | Raw::Boolean(_) | Raw::Other | Raw::Broken => None,
    };
    number
        .filter(|n| (0.0..=1.0).contains(n))
        .map_or_else(|| expected(raw, "a share from 0 to 1, such as 0.02"), Ok)
}

/// A duration with its unit, within bounds.
pub(super) fn duration(raw: &Raw, (min, max): (Duration, Duration)) -> Parsed<Duration> {
    let text = if let Raw::Text(text) = raw { Some(text.as_str()) } else { raw.loose() };
    let Some(parsed) = text.and_then(|text| text.parse::<SignedDuration>().ok()) else {
        return Err("must be a text with a unit, such as \"5m\", \"2s\" or \"500ms\"".to_owned());
    };
    Duration::try_from(parsed)
        .ok()
        .filter(|duration| (min..=max).contains(duration))
        .ok_or_else(|| format!("must be from {} to {}", friendly(min), friendly(max)))
}

fn friendly(duration: Duration) -> String {
    SignedDuration::try_from(duration).map_or_else(|_| String::new(), |d| format!("{d:#}"))
}

/// One of a few words.
pub(super) fn choice<T: Copy>(raw: &Raw, words: &[(&str, T)]) -> Parsed<T> {
    let text = text(raw)?;
    words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        format!("must be one of {}", words.join(", "))
    })
}

/// The bytes of a file with certificates in PEM form.
pub(super) fn certificates(raw: &Raw) -> Parsed<Vec<u8>> {
    let path = text(raw)?;
    let bytes = source::read(Path::new(path), source::FILE_BYTES_MAX)
        .map_err(|why| format!("names a file that can't be read: {why}"))?;
    if !bytes.windows(CERTIFICATE.len()).any(|part| part == CERTIFICATE) {
        return Err("names a file that holds no certificate in PEM form".to_owned());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(7_200));

    fn loose(text: &str) -> Raw {
        Raw::Loose(text.to_owned())
    }

    fn quoted(text: &str) -> Raw {
        Raw::Text(text.to_owned())
    }

    #[test]
    fn durations_need_a_unit_and_bounds() {
        for (text, millis) in [
            ("5m", 300_000),
            ("2s", 2_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("2h", 7_200_000),
        ] {
            let duration = Ok(Duration::from_millis(millis));
            assert_eq!(duration_of(&quoted(text)), duration, "{text}");
            assert_eq!(duration_of(&loose(text)), duration, "{text}");
        }
        for text in
            ["5", "", "m", "-5m", "5m ago", "499ms", "2h1s", "1 month", "99999999999999999h"]
        {
            assert!(duration_of(&quoted(text)).is_err(), "{text}");
        }
        assert!(duration_of(&Raw::Integer(Some(5))).is_err());
        let error = duration_of(&quoted("3h")).unwrap_err();
        assert_eq!(error, "must be from 500ms to 2h");
    }

    fn duration_of(raw: &Raw) -> Parsed<Duration> {
        duration(raw, BOUNDS)
    }

    #[test]
    fn numbers_are_numbers_in_a_file_and_texts_in_the_environment() {
        assert_eq!(integer(&Raw::Integer(Some(3)), 0..=3), Ok(3_u32));
        assert_eq!(integer(&loose("3"), 0..=3), Ok(3_u32));
        for raw in [Raw::Integer(Some(4)), Raw::Integer(None), Raw::Float(1.0), loose("1.0")] {
            let error = integer::<u32>(&raw, 0..=3).unwrap_err();
            assert_eq!(error, "must be a whole number from 0 to 3");
        }
        let error = integer::<i64>(&quoted("3"), 1..=i64::MAX).unwrap_err();
        assert_eq!(error, "must be a whole number, at least 1, without quotes");
    }

    #[test]
    fn a_share_is_between_none_and_all() {
        for raw in [Raw::Float(0.0), Raw::Integer(Some(0)), loose("0")] {
            assert_eq!(share(&raw), Ok(0.0));
        }
        assert_eq!(share(&Raw::Integer(Some(1))), Ok(1.0));
        for raw in [Raw::Float(1.01), Raw::Float(-0.1), Raw::Float(f64::NAN), loose("nan")] {
            assert!(share(&raw).is_err());
        }
        assert!(share(&Raw::Integer(Some(2))).is_err() && share(&quoted("0.5")).is_err());
    }

    #[test]
    fn booleans_are_spelled_out() {
        assert_eq!(boolean(&Raw::Boolean(true)), Ok(true));
        assert_eq!(boolean(&loose("false")), Ok(false));
        for text in ["True", "1", "yes", ""] {
            assert!(boolean(&loose(text)).is_err(), "{text}");
        }
        assert_eq!(boolean(&quoted("true")), Err("must be true or false, without quotes".into()));
    }

    #[test]
    fn texts_are_visible() {
        for text in ["", "a\nb", "a\0"] {
            assert!(name(&loose(text)).is_err() && secret(&loose(text)).is_err(), "{text:?}");
        }
        assert!(name(&loose(" a")).is_err());
        assert_eq!(name(&Raw::Integer(Some(1))), Err(NO_STRING.to_owned()));
        assert_eq!(id_text(&Raw::Integer(Some(12))).as_deref(), Ok("12"));
        assert_eq!(id_text(&quoted("12.ab")).as_deref(), Ok("12.ab"));
        assert!(word(&quoted("a/../b")).is_err());
        assert_eq!(word(&quoted("a1B2-c_3")).as_deref(), Ok("a1B2-c_3"));
    }

    #[test]
    fn tokens_are_long_and_fit_into_a_header() {
        for bad in ["", "123456789012345", "12345678 01234567", "tökentökentökentöken"] {
            assert!(token(&loose(bad), 16).is_err(), "{bad}");
        }
        assert!(token(&loose("1234567890123456"), 16).is_ok());
    }

    #[test]
    fn a_prefix_fits_into_the_name_of_a_queue() {
        for bad in ["", "a b", "ä", "amq", "amq.x", &"x".repeat(65), "a/b"] {
            assert!(prefix(&loose(bad), 64).is_err(), "{bad}");
        }
        for good in ["ems-sync", "A.b_c-1", "amqp", &"x".repeat(64)] {
            assert!(prefix(&loose(good), 64).is_ok(), "{good}");
        }
    }

    #[test]
    fn urls_have_the_right_scheme() {
        assert!(database_url(&loose("postgres:///ems?host=/run/postgresql")).is_ok());
        assert!(database_url(&loose("postgresql://db/ems")).is_ok());
        assert!(broker_url(&loose("amqps://mq")).is_ok());
        for bad in ["mysql://db", "db/ems", "amqp://", "postgres://"] {
            assert!(
                database_url(&loose(bad)).is_err() && broker_url(&loose(bad)).is_err(),
                "{bad}"
            );
        }
        assert!(
            address(&loose("localhost:9090")).is_err() && address(&loose("127.0.0.1")).is_err()
        );
        assert!(address(&loose("[::]:9090")).is_ok());
    }
}
