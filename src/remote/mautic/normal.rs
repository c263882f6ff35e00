//! The normal form of single values, as Mautic can hold them (contract, sections 2a, 2c and 3). Pure.

use unicode_normalization::UnicodeNormalization as _;

/// Mautic keeps this much of an address (contract, section 3).
const EMAIL_BYTES_MAX: usize = 254;

/// NFC, without white space around it; `None` where it is blank.
///
/// A text that PHP takes for a number whose integer part is 0 ("0", "0.5") is dropped by POST and PATCH without a word
/// (section 2c, "Zero trap"), so that it would be different for ever: Mautic can't hold it, and it counts as blank.
pub(super) fn text(text: &str) -> Option<String> {
    let text: String = text.trim().nfc().collect();
    let is_zero = text.parse::<f64>().is_ok_and(|number| number.abs() < 1.0);
    (!text.is_empty() && !is_zero).then_some(text)
}

/// Trimmed, NFC, lower case. `None` where Mautic would keep another address than this one: it leaves out what
/// `FILTER_SANITIZE_EMAIL` does not allow and cuts what is too long, which may make it somebody else's.
pub(super) fn email(email: &str) -> Option<String> {
    let email: String = email.trim().nfc().collect::<String>().to_lowercase();
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-=?^_`{|}~@.[]".contains(c);
    let (local, domain) = email.rsplit_once('@')?;
    let is_domain = domain.contains('.') && domain.split('.').all(|label| !label.is_empty());
    let is_email = !local.is_empty()
        && !local.contains('@')
        && is_domain
        && email.len() <= EMAIL_BYTES_MAX
        && email.chars().all(is_allowed);
    is_email.then_some(email)
}

/// E.164; `None` where it is no international number.
pub(super) fn phone(phone: &str) -> Option<String> {
    let bare: String =
        phone.chars().filter(|c| !c.is_whitespace() && !"-.()/".contains(*c)).collect();
    let digits = bare.strip_prefix('+').or_else(|| bare.strip_prefix("00"))?;
    let is_number = (7..=15).contains(&digits.len())
        && digits.chars().all(|c| c.is_ascii_digit())
        && !digits.starts_with('0');
    is_number.then(|| format!("+{digits}"))
}

/// The locale of a BCP 47 tag, as Mautic's choices have it: `en`, `en_ZA`, `zh_Hans_CN`. `None` where the tag has more to
/// say, or something else: a value that is no choice fails the whole contact (section 2a).
pub(super) fn locale(tag: &str) -> Option<String> {
    let mut parts = tag.trim().split(['-', '_']);
    let is_letters = |part: &str| part.chars().all(|c| c.is_ascii_alphabetic());
    let language = parts.next().filter(|p| matches!(p.len(), 2 | 3) && is_letters(p))?;
    let mut locale = language.to_ascii_lowercase();
    let mut part = parts.next();
    if let Some(script) = part.filter(|p| p.len() == 4 && is_letters(p)) {
        let (first, rest) = script.split_at(1);
        locale.push_str(&format!("_{}{}", first.to_ascii_uppercase(), rest.to_ascii_lowercase()));
        part = parts.next();
    }
    if let Some(region) = part.filter(|p| p.len() == 2 && is_letters(p)) {
        locale.push_str(&format!("_{}", region.to_ascii_uppercase()));
        part = parts.next();
    }
    part.is_none().then_some(locale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_mautic_takes_for_nothing_is_nothing() {
        for nothing in ["", "  ", "0", " 0.5", "-0", "0.0", "\u{a0}"] {
            assert_eq!(text(nothing), None, "{nothing:?}");
        }
        for (sent, held) in
            [(" Zoe\u{308} ", "Zo\u{eb}"), ("0001", "0001"), ("10", "10"), ("0a", "0a")]
        {
            assert_eq!(text(sent).as_deref(), Some(held));
        }
    }

    #[test]
    fn an_address_that_mautic_would_change_is_none() {
        assert_eq!(email(" Thandi+Run@Example.ORG ").as_deref(), Some("thandi+run@example.org"));
        let long = format!("{}@example.org", "a".repeat(250));
        for not in [
            "te,st@user.email",
            "a@b.org,",
            "zo\u{eb}@example.org",
            "a b@example.org",
            "\"a\"@example.org",
            "n/a",
            "@example.org",
            "a@b",
            "a@b..org",
            "a@b@example.org",
            &long,
        ] {
            assert_eq!(email(not), None, "{not}");
        }
    }

    #[test]
    fn numbers_are_e164_or_nothing() {
        for spelled in ["+27 82 123-4567", "0027821234567", "+27(82)1234567", "+27821234567"] {
            assert_eq!(phone(spelled).as_deref(), Some("+27821234567"), "{spelled}");
        }
        for not in ["", "082 123 4567", "+27", "+27x21234567", "+1234567890123456", "+0821234567"] {
            assert_eq!(phone(not), None, "{not}");
        }
    }

    #[test]
    fn a_locale_is_language_script_and_region() {
        for (tag, held) in [
            ("en", "en"),
            ("EN-za", "en_ZA"),
            ("zh-hans-CN", "zh_Hans_CN"),
            ("nso_ZA", "nso_ZA"),
            ("sr-Latn", "sr_Latn"),
        ] {
            assert_eq!(locale(tag).as_deref(), Some(held), "{tag}");
        }
        for not in ["", "x-klingon", "en-GB-oed", "english", "e", "en-1", "es-419", "de-", "ü"] {
            assert_eq!(locale(not), None, "{not}");
        }
    }

    proptest! {
        /// Obligation 7: a normal form is its own.
        #[test]
        fn normalising_twice_changes_nothing(any in ".*", mail in "[a-zA-Z+.]{1,9}@[a-z]{1,5}\\.[a-z]{2}",
            number in "\\+?[0-9 ()-]{5,20}", tag in "[a-zA-Z]{2,4}(-[a-zA-Z]{2,4}){0,2}") {
            for value in [any.as_str(), mail.as_str(), number.as_str(), tag.as_str()] {
                for normalise in [text, email, phone, locale] {
                    if let Some(once) = normalise(value) {
                        prop_assert_eq!(normalise(&once), Some(once.clone()));
                        // What was sent is read back with `text`.
                        prop_assert_eq!(text(&once), Some(once));
                    }
                }
            }
        }
    }
}
