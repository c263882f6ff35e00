//! The normal forms of RunSignup's values: the same for what the EMS has and for what RunSignup shows. Pure.

use jiff::civil::Date;
use serde_json::Value;
use unicode_normalization::UnicodeNormalization as _;

use crate::limits;

/// NFC, without NUL and without white space around it, and not longer than is taken in; blank is nothing.
pub(super) fn text(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| *c != '\0').collect();
    let text: String = text.trim().nfc().take(limits::INBOUND_TEXT_CHARS_MAX).collect();
    let text = text.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// An e-mail address in lower case.
pub(super) fn email(email: &str) -> Option<String> {
    text(email).map(|email| email.to_lowercase())
}

/// E.164 where it can be told: ten digits, and eleven that begin with 1, are American (contract, section 5). Of anything
/// else the digits.
pub(super) fn phone(phone: &str) -> Option<String> {
    let phone = phone.trim();
    let digits = phone.chars().filter(char::is_ascii_digit);
    let digits: String = digits.take(limits::INBOUND_TEXT_CHARS_MAX).collect();
    match (phone.starts_with('+'), digits.len()) {
        (_, 0) => None,
        (true, _) => Some(format!("+{digits}")),
        (false, 10) => Some(format!("+1{digits}")),
        (false, 11) if digits.starts_with('1') => Some(format!("+{digits}")),
        (false, _) => Some(digits),
    }
}

/// `YYYY-MM-DD`; RunSignup may write a cleared one as `XXXX-XX-XX`.
pub(super) fn day_of_birth(text: &str) -> Option<Option<String>> {
    match text.trim() {
        "" | "XXXX-XX-XX" => Some(None),
        text => text.parse::<Date>().ok().map(|day| Some(day.to_string())),
    }
}

/// `M` or `F`. What the EMS calls unknown and RunSignup `X` is nothing: neither can say what the other means.
pub(super) fn gender(text: &str) -> Option<Option<String>> {
    match text.trim() {
        "MALE" | "M" => Some(Some("M".to_owned())),
        "FEMALE" | "F" => Some(Some("F".to_owned())),
        "UNKNOWN" | "X" | "" => Some(None),
        _ => None,
    }
}

/// A bib. A number is written without leading zeros, as RunSignup keeps it; any other bib is text.
pub(super) fn bib(value: &Value) -> Option<Option<String>> {
    match value {
        Value::Number(number) => number.as_i64().map(|number| Some(number.to_string())),
        Value::String(bib) => Some(text(bib).map(|bib| {
            let is_number = bib.chars().all(|c| c.is_ascii_digit());
            let short = bib.trim_start_matches('0');
            match (is_number, short.is_empty()) {
                (true, true) => "0".to_owned(),
                (true, false) => short.to_owned(),
                (false, _) => bib,
            }
        })),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Two letters in upper case; anything else as it is.
pub(super) fn code(code: &str) -> Option<String> {
    text(code).map(|code| if is_code(&code) { code.to_ascii_uppercase() } else { code })
}

/// Two letters, as RunSignup wants a state or a country.
pub(super) fn is_code(code: &str) -> bool {
    code.len() == 2 && code.chars().all(|c| c.is_ascii_alphabetic())
}

/// An id: a number, or its text (contract, section 4c).
pub(super) fn id(value: Option<&Value>) -> Option<i64> {
    let value = value?;
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn american_phones_are_the_same_however_they_are_written() {
        for written in ["856-850-1510", "(856) 850-1510", "+1 856 850 1510", "1-856-850-1510"] {
            assert_eq!(phone(written).as_deref(), Some("+18568501510"), "{written}");
        }
        assert_eq!(phone("+27 82 123 4567").as_deref(), Some("+27821234567"));
        assert_eq!(phone(" - "), None);
    }

    #[test]
    fn bibs_are_numbers_without_leading_zeros_or_text() {
        for (written, bib_num) in [
            (json!("00042"), Some("42")),
            (json!(42), Some("42")),
            (json!("0"), Some("0")),
            (json!("000"), Some("0")),
            (json!(" A12 "), Some("A12")),
            (json!(""), None),
        ] {
            assert_eq!(bib(&written).unwrap().as_deref(), bib_num, "{written}");
        }
        assert_eq!(bib(&json!([1])), None);
    }

    /// Obligation 4 of `remote::inbound`.
    #[test]
    fn no_text_is_longer_than_is_taken_in_or_holds_nul() {
        let long = "é\0".repeat(2 * limits::INBOUND_TEXT_CHARS_MAX);
        let text = text(&long).unwrap();
        assert_eq!(text.chars().count(), limits::INBOUND_TEXT_CHARS_MAX);
        assert!(!text.contains('\0'));
        assert_eq!(super::text("\0 \0"), None);
        assert_eq!(phone(&"1".repeat(5_000)).unwrap().len(), limits::INBOUND_TEXT_CHARS_MAX);
    }

    #[test]
    fn what_a_side_can_not_say_is_nothing() {
        assert_eq!(gender("X"), gender("UNKNOWN"));
        assert_eq!(gender("MALE"), gender("M"));
        assert_eq!(gender("something"), None);
        assert_eq!(day_of_birth("XXXX-XX-XX"), Some(None));
        assert_eq!(day_of_birth("1990-02-30"), None);
    }

    proptest! {
        #[test]
        fn normal_forms_are_normal(any in "\\PC{0,20}") {
            for form in [text, email, phone, code] {
                let once = form(&any);
                prop_assert_eq!(once.as_deref().and_then(form), once);
            }
            let once = bib(&json!(any)).flatten();
            prop_assert_eq!(once.as_ref().and_then(|bib_num| bib(&json!(bib_num))).flatten(), once);
        }
    }
}
