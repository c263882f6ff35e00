//! The data hash: SHA-256 over a canonical encoding of what a target should hold (`docs/design.md` section 4).
//!
//! The input is the target's wire form after its normalisation, prefixed with the target and the version of its
//! mapping. RFC 8785 sorts keys and fixes the form of strings; its numbers are IEEE doubles, which merge large
//! integers, so every number is hashed as its decimal text. Equal meaning gives equal bytes, and different
//! meaning different ones: the encoding is injective.

use std::fmt;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::target::Target;

/// A SHA-256 of canonical content. Says nothing about the content, so it may be logged and stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash([u8; 32]);

impl ContentHash {
    /// The hash of `wire`, as `target` at `mapping_version` understands it.
    #[must_use]
    pub fn of(target: Target, mapping_version: u32, wire: &Value) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(target.name().as_bytes());
        hasher.update([0]);
        hasher.update(mapping_version.to_be_bytes());
        hasher.update(canonical(wire));
        Self(hasher.finalize().into())
    }

    /// The hash with these bytes, as read from a sync record.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Its bytes, as a sync record holds them.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        self.0.to_vec()
    }

    /// Lower-case hexadecimal digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        use fmt::Write as _;
        self.0.iter().fold(String::with_capacity(64), |mut text, byte| {
            write!(text, "{byte:02x}").ok();
            text
        })
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

/// RFC 8785 bytes of `value` with every number as text.
fn canonical(value: &Value) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(&numbers_as_text(value)).unwrap_or_default()
}

/// Numbers become `#` and their digits; a string that begins with `#` gets one more, so that no two values meet.
fn numbers_as_text(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::String(format!("#{number}")),
        Value::String(text) if text.starts_with('#') => Value::String(format!("#{text}")),
        Value::Array(items) => Value::Array(items.iter().map(numbers_as_text).collect()),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), numbers_as_text(value))).collect()
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn hash(value: &Value) -> ContentHash {
        ContentHash::of(Target::TagServer, 1, value)
    }

    /// Golden vectors, computed by another implementation over the documented bytes: a change of these re-pushes everything, everywhere.
    #[test]
    fn the_hash_of_known_content_never_changes() {
        let vectors = [
            (json!({}), "44a1fd527b2137098f3294de7129a7f9ef789452627f78a4462880467ea44749"),
            (
                json!({"externalId": "42", "lastName": "Ngũgĩ", "seq": 3, "validTo": null}),
                "be209a33c9e1a76b61567f407bcb4c11ca0b88e09fa1b267e653d2d10c21b534",
            ),
            (
                json!({"id": 9_007_199_254_740_993_i64}),
                "d296907962377a33f1f6152fe4d591b10cf4be8926daf7bbc00d7197f02bcdd6",
            ),
        ];
        for (value, expected) in vectors {
            assert_eq!(hash(&value).to_hex(), expected, "{value}");
        }
    }

    #[test]
    fn neighbouring_large_integers_differ() {
        assert_ne!(
            hash(&json!(9_007_199_254_740_993_i64)),
            hash(&json!(9_007_199_254_740_992_i64))
        );
    }

    #[test]
    fn a_number_and_its_text_differ_whatever_the_text() {
        for (number, text) in
            [(json!(1), json!("#1")), (json!(1), json!("1")), (json!("#1"), json!("##1"))]
        {
            assert_ne!(hash(&number), hash(&text));
        }
    }

    #[test]
    fn target_and_mapping_version_are_part_of_it() {
        let value = json!({"a": 1});
        let base = hash(&value);
        assert_ne!(base, ContentHash::of(Target::Mautic, 1, &value));
        assert_ne!(base, ContentHash::of(Target::TagServer, 2, &value));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[#a-c0-9]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[#a-c]{0,2}", inner, 0..4)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn equal_content_hashes_equal_whatever_the_key_order(value in any_json()) {
            let reordered: Value = match &value {
                Value::Object(fields) => Value::Object(fields.clone().into_iter().rev().collect()),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => value.clone(),
            };
            prop_assert_eq!(hash(&value), hash(&reordered));
        }

        #[test]
        fn different_content_hashes_differently(a in any_json(), b in any_json()) {
            prop_assert_eq!(a == b, hash(&a) == hash(&b));
        }
    }
}
