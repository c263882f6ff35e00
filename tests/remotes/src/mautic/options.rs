//! How this Mautic is set up, and what can be changed while it runs.

use serde::{Deserialize, Serialize};

use crate::ServerOptions;

/// How a simulated Mautic starts.
#[derive(Clone, Debug)]
pub struct MauticOptions {
    /// Where and how it serves.
    pub server: ServerOptions,
    /// The id of the OAuth2 client.
    pub client_id: String,
    /// The secret of the OAuth2 client.
    pub client_secret: String,
    /// The user of basic authentication, where that is on.
    pub username: String,
    /// The user's password.
    pub password: String,
    /// The first contact id: far from the EMS ids, so that none is taken for one.
    pub first_id: i64,
    /// What can be changed later.
    pub settings: MauticSettings,
}

impl Default for MauticOptions {
    fn default() -> Self {
        Self {
            server: ServerOptions::default(),
            client_id: "1_ems-sync".to_owned(),
            client_secret: "ems-sync-secret".to_owned(),
            username: "ems-sync".to_owned(),
            password: "ems-sync-password".to_owned(),
            first_id: 700_001,
            settings: MauticSettings::default(),
        }
    }
}

/// What differs between Mautics, and can be changed while one runs. Sections are the contract's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MauticSettings {
    /// Which release line: the `Mautic-Version` header, and the quirks of 3.x (sections 1, 5).
    pub version: Version,
    /// Whether the API is on (section 1b).
    pub api_enabled: bool,
    /// Whether basic authentication is on (section 1b).
    pub basic_auth: bool,
    /// Whether the web server passes `Authorization` on to PHP (section 1a).
    pub authorization: AuthorizationHeader,
    /// What the client's role may do (sections 1a, 8).
    pub role: Role,
    /// How long a token lives, in seconds (section 1a).
    pub token_life_seconds: u64,
    /// The shape of refusals by OAuth (section 1a).
    pub oauth_errors: OauthErrors,
    /// The shape of all other refusals (section 8).
    pub error_shape: ErrorShape,
    /// Whether the custom field `ems_person_id` is a unique identifier (section 3).
    pub ems_person_id_unique: bool,
    /// How unique identifiers are combined (section 3).
    pub unique_operator: UniqueOperator,
    /// When a create looks for an existing contact (section 3).
    pub dedupe_check: DedupeCheck,
    /// Which contact of a merge is left (sections 2c, 3, 10).
    pub merge_winner: MergeWinner,
    /// What the id of a contact that was merged away means (section 3).
    pub merged_id: MergedId,
    /// The type of `total` in lists (section 2b).
    pub total: Total,
    /// What `contacts` is in an empty list (section 2b).
    pub empty_list: Shape,
    /// What the list of fields is (section 2).
    pub field_list: Shape,
    /// What becomes of zeros in POST and PATCH (section 2c).
    pub zeros: Zeros,
    /// The status of a failed validation (section 8).
    pub validation: Validation,
    /// How many contacts a batch may have (section 4).
    pub batch_limit: usize,
    /// What an edit batch with one stage in two rows gets (section 4).
    pub shared_stage: SharedStage,
    /// Calls per hour; 0 is no limit (section 8).
    pub rate_limit_per_hour: u64,
    /// How long the total of a list is cached, as with a cache that processes share (section 7).
    pub count_cache_seconds: u64,
    /// The API user's locale; search commands are known in English only (section 3).
    pub locale: String,
    /// PHP's default time zone, as an offset (section 6).
    pub php_utc_offset_minutes: i32,
    /// How far its clock is ahead of the real time, in seconds.
    pub clock_offset_seconds: i64,
}

impl Default for MauticSettings {
    fn default() -> Self {
        Self {
            version: Version::V5,
            api_enabled: true,
            basic_auth: false,
            authorization: AuthorizationHeader::Passed,
            role: Role::Full,
            token_life_seconds: 3600,
            oauth_errors: OauthErrors::Envelope,
            error_shape: ErrorShape::Errors,
            ems_person_id_unique: false,
            unique_operator: UniqueOperator::Or,
            dedupe_check: DedupeCheck::OnArrival,
            merge_winner: MergeWinner::Edited,
            merged_id: MergedId::NotFound,
            total: Total::Text,
            empty_list: Shape::Object,
            field_list: Shape::Object,
            zeros: Zeros::Dropped,
            validation: Validation::BadRequest,
            batch_limit: 200,
            shared_stage: SharedStage::ServerError,
            rate_limit_per_hour: 0,
            count_cache_seconds: 0,
            locale: "en_US".to_owned(),
            php_utc_offset_minutes: 120,
            clock_offset_seconds: 0,
        }
    }
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }
    };
}

choice! {
    /// The release line.
    Version {
        /// 3.x: a do-not-contact without reason does nothing, `doNotContact` is lost on create,
        /// empty arrays act.
        V3,
        /// 5.x.
        V5,
    }
}
choice! {
    /// The header `Authorization` on its way to PHP.
    AuthorizationHeader {
        /// It arrives.
        Passed,
        /// FastCGI drops it: every call is 401.
        Stripped,
    }
}
choice! {
    /// What the client's role may do.
    Role {
        /// View, create, edit and delete contacts, see segments.
        Full,
        /// View only: every write is 403.
        ViewOnly,
        /// Nothing: every call is 403.
        Nothing,
    }
}
choice! {
    /// The shape of refusals by OAuth.
    OauthErrors {
        /// Rewritten into `errors`.
        Envelope,
        /// `{"error","error_description"}`.
        Raw,
    }
}
choice! {
    /// The shape of refusals.
    ErrorShape {
        /// `{"errors":[{…}]}`.
        Errors,
        /// The old `{"error":{"code","message"}}`.
        Error,
    }
}
choice! {
    /// How unique identifiers are combined.
    UniqueOperator {
        /// A contact that has one of them matches.
        Or,
        /// A contact must have all that are sent.
        And,
    }
}
choice! {
    /// When a create looks for an existing contact.
    DedupeCheck {
        /// When it arrives: two that are under way together make two contacts.
        OnArrival,
        /// When it is applied.
        OnCommit,
    }
}
choice! {
    /// Which contact of a merge is left.
    MergeWinner {
        /// The one that is edited; the matching one is deleted.
        Edited,
        /// The matching one; the answer has its id, and the edited one is deleted.
        Matching,
    }
}
choice! {
    /// What the id of a contact that was merged away means.
    MergedId {
        /// 404.
        NotFound,
        /// The contact that it was merged into.
        Redirected,
    }
}
choice! {
    /// The type of `total` in lists.
    Total {
        /// A string.
        Text,
        /// A number.
        Number,
    }
}
choice! {
    /// What PHP made of an array.
    Shape {
        /// An object.
        Object,
        /// An array.
        Array,
    }
}
choice! {
    /// What becomes of zeros in POST and PATCH.
    Zeros {
        /// Numbers whose integer part is 0, and false, are dropped.
        Dropped,
        /// Numbers are dropped, false is not.
        FalseKept,
        /// Repaired: all are kept.
        Kept,
    }
}
choice! {
    /// The status of a failed validation.
    Validation {
        /// 400.
        BadRequest,
        /// 422.
        Unprocessable,
    }
}
choice! {
    /// An edit batch with one stage in two rows.
    SharedStage {
        /// 500, nothing applied.
        ServerError,
        /// It works.
        Accepted,
    }
}
