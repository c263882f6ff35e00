//! E-mail addresses: their hash, and those that are refused.

use md5::{Digest as _, Md5};

use crate::ledger::hex;

/// Second-level and top-level domains that nobody can receive mail at.
const FAKE_DOMAINS: [&str; 9] = [
    "example.com",
    "example.org",
    "example.net",
    "test",
    "example",
    "invalid",
    "localhost",
    "local",
    "test.com",
];

/// The id of a member: MD5 of the trimmed address in lower case, in hexadecimal digits.
pub fn subscriber_hash(email: &str) -> String {
    hex(&Md5::digest(email.trim().to_lowercase().as_bytes()))
}

/// The id that some very old lists hold: the hash of the address as it was typed.
pub(super) fn legacy_hash(email: &str) -> String {
    hex(&Md5::digest(email.trim().as_bytes()))
}

/// Whether an address has the form of one.
pub(super) fn is_valid(email: &str) -> bool {
    let email = email.trim();
    let Some((local, domain)) = email.rsplit_once('@') else { return false };
    !local.is_empty()
        && !local.contains('@')
        && domain.contains('.')
        && domain.split('.').all(|label| !label.is_empty())
        && email.len() <= 254
        && !email.chars().any(|c| c.is_whitespace() || c.is_control() || ",;<>()".contains(c))
}

/// Whether an address is at a domain that is reserved or for tests.
pub(super) fn is_fake(email: &str) -> bool {
    let domain = email.trim().rsplit('@').next().unwrap_or_default().to_lowercase();
    FAKE_DOMAINS.iter().any(|fake| {
        domain == *fake || domain.strip_suffix(fake).is_some_and(|rest| rest.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_documentation() {
        let email = " Urist.McVankab@freddiesjokes.com";
        assert_eq!(subscriber_hash(email), "62eeb292278cc15f5817cb78f7790b08");
        assert_ne!(legacy_hash(email), subscriber_hash(email));
    }

    #[test]
    fn an_address_has_one_at_and_a_domain() {
        assert!(is_valid("a.b+c@club.co.za"));
        for wrong in ["", "a", "a@", "@b.c", "a@b", "a b@c.de", "a@b..c", "a@b@c.de"] {
            assert!(!is_valid(wrong), "{wrong}");
        }
    }

    #[test]
    fn reserved_domains_are_fake_and_those_that_end_alike_are_not() {
        for fake in ["a@example.com", "a@mail.example.org", "a@b.test", "a@x.invalid"] {
            assert!(is_fake(fake), "{fake}");
        }
        for real in ["a@myexample.com", "a@contest", "a@club.org"] {
            assert!(!is_fake(real), "{real}");
        }
    }
}
