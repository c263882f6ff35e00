//! The settings of the five targets. A target that is not enabled needs none of them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::reader::Reader;
use super::value;
use crate::limits;
use crate::remote::HttpSettings;
use crate::remote::runsignup::KeyVersion;
use crate::target::Target;

/// Every target's settings, whether it is enabled or not.
#[derive(Debug, Clone)]
pub struct Targets {
    /// The organisation's own timing system.
    pub tagserver: TagServerConfig,
    /// Marketing automation.
    pub mautic: MauticConfig,
    /// E-mail marketing.
    pub mailchimp: MailChimpConfig,
    /// The registration platform.
    pub runsignup: RunSignupConfig,
    /// Customer support.
    pub chatwoot: ChatwootConfig,
}

impl Targets {
    /// The targets that are enabled.
    #[must_use]
    pub fn enabled(&self) -> Vec<Target> {
        Target::ALL.into_iter().filter(|target| self.common(*target).enabled).collect()
    }

    /// How changes that come back from a target meet those of the EMS; `None` where none come back.
    #[must_use]
    pub const fn merge(&self, target: Target) -> Option<MergeMode> {
        match target {
            Target::TagServer | Target::Mautic | Target::MailChimp => None,
            Target::RunSignup => Some(self.runsignup.merge),
            Target::Chatwoot => Some(self.chatwoot.merge),
        }
    }

    /// What every target has.
    #[must_use]
    pub const fn common(&self, target: Target) -> &TargetConfig {
        match target {
            Target::TagServer => &self.tagserver.common,
            Target::Mautic => &self.mautic.common,
            Target::MailChimp => &self.mailchimp.common,
            Target::RunSignup => &self.runsignup.common,
            Target::Chatwoot => &self.chatwoot.common,
        }
    }
}

/// What every target has.
#[derive(Debug, Clone)]
pub struct TargetConfig {
    /// Whether this program serves the target.
    pub enabled: bool,
    /// Where the contract's paths begin, without a trailing slash. Always there when enabled.
    pub base_url: Option<String>,
    /// Certificates in PEM form that are trusted besides the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// Whether a plain `http://` base URL is accepted.
    pub allow_http: bool,
    /// Requests under way at once, over all processes.
    pub concurrency: usize,
    /// Requests per second over all processes, if bounded.
    pub requests_per_second: Option<NonZeroU32>,
    /// The deadline of one request.
    pub timeout: Duration,
    /// An applied write is visible after this.
    pub settle: Duration,
}

impl TargetConfig {
    /// What the HTTP edge needs, without a shared budget. The base URL is empty where none is set, which no enabled target has.
    #[must_use]
    pub fn http_settings(&self) -> HttpSettings {
        HttpSettings {
            base_url: self.base_url.clone().unwrap_or_default(),
            ca_pem: self.ca_pem.clone(),
            allow_http: self.allow_http,
            concurrency: self.concurrency,
            requests_per_second: self.requests_per_second,
            timeout: self.timeout,
            budget: None,
        }
    }
}

/// `TagServer`. Its credentials are empty when it is disabled without any.
#[derive(Debug, Clone)]
pub struct TagServerConfig {
    /// What every target has.
    pub common: TargetConfig,
    /// Who logs in.
    pub username: String,
    /// And how.
    pub password: SecretString,
}

/// One of Mautic's two ways to authenticate.
#[derive(Debug, Clone)]
pub enum MauticCredentials {
    /// `OAuth2` client credentials.
    Client {
        /// The public half.
        client_id: String,
        /// The secret half.
        client_secret: SecretString,
    },
    /// Basic authentication.
    Basic {
        /// Who logs in.
        username: String,
        /// And how.
        password: SecretString,
    },
}

/// Mautic.
#[derive(Debug, Clone)]
pub struct MauticConfig {
    /// What every target has.
    pub common: TargetConfig,
    /// Always there when enabled.
    pub credentials: Option<MauticCredentials>,
}

/// `MailChimp`.
#[derive(Debug, Clone)]
pub struct MailChimpConfig {
    /// What every target has.
    pub common: TargetConfig,
    /// Empty when disabled without one.
    pub api_key: SecretString,
    /// Audience id by list code. Never empty when enabled.
    pub lists: BTreeMap<String, String>,
}

/// The caller registration of `RunSignup`: identifies the program, not the account.
#[derive(Debug, Clone)]
pub struct RunSignupCaller {
    /// `targets.runsignup.caller_id`.
    pub id: String,
    /// `targets.runsignup.caller_secret`.
    pub secret: SecretString,
}

/// What is compared where both sides changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeMode {
    /// The entity as a whole.
    Entity,
    /// Field by field.
    Fields,
}

/// `RunSignup`. Its credentials are empty when it is disabled without any.
#[derive(Debug, Clone)]
pub struct RunSignupConfig {
    /// What every target has.
    pub common: TargetConfig,
    /// Key of the account.
    pub api_key: SecretString,
    /// Secret of the account.
    pub api_secret: SecretString,
    /// How the two are sent.
    pub key_version: KeyVersion,
    /// The caller registration, if there is one.
    pub caller: Option<RunSignupCaller>,
    /// Whether events and races are created and changed there.
    pub push_races: bool,
    /// The EMS organisation that owns events created from there.
    pub organisation_id: Option<i64>,
    /// What is compared where both sides changed.
    pub merge: MergeMode,
}

/// Chatwoot. Token and account are empty when it is disabled without any.
#[derive(Debug, Clone)]
pub struct ChatwootConfig {
    /// What every target has.
    pub common: TargetConfig,
    /// Token of the API.
    pub api_token: SecretString,
    /// The account; 0 when disabled without one.
    pub account_id: u64,
    /// What web hooks are signed with; without one none is accepted.
    pub webhook_secret: Option<SecretString>,
    /// The one before it, accepted while it is being changed.
    pub webhook_secret_previous: Option<SecretString>,
    /// What is compared where both sides changed.
    pub merge: MergeMode,
}

/// Bounds of a request's deadline.
const TIMEOUT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(120));
/// Bounds of the settle time.
const SETTLE: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(10 * 60));
/// Requests per second that may be configured.
const REQUESTS_PER_SECOND_MAX: i64 = 100_000;

/// The vendors' own bounds of calls at once; we may not be told more.
const fn concurrency_max(target: Target) -> usize {
    match target {
        Target::TagServer | Target::Mautic | Target::Chatwoot => limits::CONCURRENCY_MAX,
        Target::MailChimp => 9,
        Target::RunSignup => 2,
    }
}

/// Reads all five.
pub(super) fn read(r: &mut Reader) -> Option<Targets> {
    let tagserver = tagserver(&mut Scope::of(r, Target::TagServer));
    let mautic = mautic(&mut Scope::of(r, Target::Mautic));
    let mailchimp = mailchimp(&mut Scope::of(r, Target::MailChimp));
    let runsignup = runsignup(&mut Scope::of(r, Target::RunSignup));
    let chatwoot = chatwoot(&mut Scope::of(r, Target::Chatwoot));
    Some(Targets {
        tagserver: tagserver?,
        mautic: mautic?,
        mailchimp: mailchimp?,
        runsignup: runsignup?,
        chatwoot: chatwoot?,
    })
}

/// The reader within one target.
struct Scope<'a> {
    r: &'a mut Reader,
    target: Target,
    enabled: bool,
    /// Why its settings are needed, if they are.
    why: Option<String>,
    /// Why its base URL is needed, if it is.
    why_base_url: Option<String>,
}

impl<'a> Scope<'a> {
    fn of(r: &'a mut Reader, target: Target) -> Self {
        let path = format!("targets.{target}.enabled");
        let enabled = r.get(&path, value::boolean).unwrap_or_default();
        let why = enabled.then(|| format!("is not set, and {target} is enabled"));
        Self { r, target, enabled, why_base_url: why.clone(), why }
    }

    fn path(&self, name: &str) -> String {
        format!("targets.{}.{name}", self.target)
    }

    fn get<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&super::source::Raw) -> value::Parsed<T>,
    ) -> Option<T> {
        self.r.get(&self.path(name), parse)
    }

    fn needed<T: Default>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&super::source::Raw) -> value::Parsed<T>,
    ) -> Option<T> {
        self.r.needed(self.why.as_deref(), &self.path(name), parse)
    }

    fn is_set(&self, name: &str) -> bool {
        self.r.is_set(&self.path(name))
    }

    fn missing(&mut self, name: &str, why: &str) {
        self.r.missing(&self.path(name), why);
    }

    fn problem(&mut self, name: &str, text: &str) {
        self.r.problem(&self.path(name), text);
    }

    fn merge(&mut self) -> Option<MergeMode> {
        let words = [("entity", MergeMode::Entity), ("fields", MergeMode::Fields)];
        self.get("merge", |raw| value::choice(raw, &words))
    }

    /// Two settings that are of no use without each other.
    fn pair<A, B>(&mut self, a: (&str, Option<A>), b: (&str, Option<B>)) -> Option<(A, B)> {
        let ((a, a_value), (b, b_value)) = (a, b);
        if self.enabled {
            match (self.is_set(a), self.is_set(b)) {
                (true, false) => self.missing(b, &format!("is not set, and {a} is")),
                (false, true) => self.missing(a, &format!("is not set, and {b} is")),
                (true, true) | (false, false) => {}
            }
        }
        a_value.zip(b_value)
    }

    /// What every target has; `vendors` is the base URL that follows from another setting.
    fn common(&mut self, vendors: Option<String>) -> Option<TargetConfig> {
        let allow_http = self.get("allow_http", value::boolean);
        let base_url = self.get("base_url", value::base_url).or(vendors);
        match &base_url {
            Some(url) if url.starts_with("http://") && allow_http == Some(false) => {
                let path = self.path("allow_http");
                self.problem(
                    "base_url",
                    &format!("is not encrypted: use https://, or set {path} = true"),
                );
            }
            None if !self.is_set("base_url") => {
                if let Some(why) = self.why_base_url.take() {
                    self.missing("base_url", &why);
                }
            }
            Some(_) | None => {}
        }
        let max = i64::try_from(concurrency_max(self.target)).unwrap_or(i64::MAX);
        let ca_pem = self.get("ca_file", value::certificates);
        let concurrency = self.get("concurrency", |raw| value::integer(raw, 1..=max));
        let requests_per_second = self.get("requests_per_second", |raw| {
            value::integer::<u32>(raw, 1..=REQUESTS_PER_SECOND_MAX)
        });
        let timeout = self.get("timeout", |raw| value::duration(raw, TIMEOUT));
        let settle = self.get("settle", |raw| value::duration(raw, SETTLE));
        Some(TargetConfig {
            enabled: self.enabled,
            base_url,
            ca_pem,
            allow_http: allow_http?,
            concurrency: concurrency?,
            requests_per_second: requests_per_second.and_then(NonZeroU32::new),
            timeout: timeout?,
            settle: settle?,
        })
    }
}

fn tagserver(s: &mut Scope<'_>) -> Option<TagServerConfig> {
    let common = s.common(None);
    let username = s.needed("username", value::name);
    let password = s.needed("password", value::secret);
    Some(TagServerConfig { common: common?, username: username?, password: password? })
}

fn mautic(s: &mut Scope<'_>) -> Option<MauticConfig> {
    let common = s.common(None);
    let client_id = s.get("client_id", value::name);
    let client_secret = s.get("client_secret", value::secret);
    let username = s.get("username", value::name);
    let password = s.get("password", value::secret);
    let client_set = s.is_set("client_id") || s.is_set("client_secret");
    let basic_set = s.is_set("username") || s.is_set("password");
    if s.enabled && client_set && basic_set {
        let name = if s.is_set("client_id") { "client_id" } else { "client_secret" };
        s.problem(name, "is set besides username or password: mautic takes one of the two ways");
        return None;
    }
    if s.enabled && !client_set && !basic_set {
        s.missing("client_id", "is not set, nor is username, and mautic is enabled");
    }
    let client = s
        .pair(("client_id", client_id), ("client_secret", client_secret))
        .map(|(client_id, client_secret)| MauticCredentials::Client { client_id, client_secret });
    let basic = s
        .pair(("username", username), ("password", password))
        .map(|(username, password)| MauticCredentials::Basic { username, password });
    Some(MauticConfig { common: common?, credentials: client.or(basic) })
}

fn mailchimp(s: &mut Scope<'_>) -> Option<MailChimpConfig> {
    let api_key = s.needed("api_key", value::secret);
    let vendors = api_key.as_ref().and_then(mailchimp_base_url);
    // Without a usable key that is the one problem; with one, its data centre may be.
    let usable = api_key.is_some() && s.is_set("api_key");
    s.why_base_url =
        s.why.as_ref().filter(|_| usable).map(|why| {
            format!("{why}, and its api_key does not end in a data centre, such as -us19")
        });
    let common = s.common(vendors);
    let n = s.r.list_count();
    let lists = s.r.lists(value::word);
    if s.enabled && n == 0 {
        let path = super::keys::LISTS;
        s.r.missing(
            &format!("{path}.<list_code>"),
            "is not set, and mailchimp is enabled: at least one list needs its audience id",
        );
    }
    Some(MailChimpConfig { common: common?, api_key: api_key?, lists })
}

/// `https://<data centre>.api.mailchimp.com/3.0`; the data centre is what follows the key's last dash.
fn mailchimp_base_url(api_key: &SecretString) -> Option<String> {
    const CHARS_MAX: usize = 12;
    let (_, data_centre) = api_key.expose_secret().rsplit_once('-')?;
    let is_name = (1..=CHARS_MAX).contains(&data_centre.len())
        && data_centre.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        && data_centre.starts_with(|c: char| c.is_ascii_lowercase());
    is_name.then(|| format!("https://{data_centre}.api.mailchimp.com/3.0"))
}

fn runsignup(s: &mut Scope<'_>) -> Option<RunSignupConfig> {
    let common = s.common(None);
    let api_key = s.needed("api_key", value::secret);
    let api_secret = s.needed("api_secret", value::secret);
    let versions = [("v2", KeyVersion::V2), ("v1", KeyVersion::V1)];
    let key_version = s.get("key_version", |raw| value::choice(raw, &versions));
    let caller_id = s.get("caller_id", value::id_text);
    let caller_secret = s.get("caller_secret", value::secret);
    let caller = s.pair(("caller_id", caller_id), ("caller_secret", caller_secret));
    let push_races = s.get("push_races", value::boolean);
    let organisation_id = s.get("organisation_id", |raw| value::integer(raw, 1..=i64::MAX));
    let merge = s.merge();
    Some(RunSignupConfig {
        common: common?,
        api_key: api_key?,
        api_secret: api_secret?,
        key_version: key_version?,
        caller: caller.map(|(id, secret)| RunSignupCaller { id, secret }),
        push_races: push_races?,
        organisation_id,
        merge: merge?,
    })
}

fn chatwoot(s: &mut Scope<'_>) -> Option<ChatwootConfig> {
    let common = s.common(None);
    let api_token = s.needed("api_token", value::secret);
    let account_id = s.needed("account_id", |raw| value::integer(raw, 1..=i64::MAX));
    let webhook_secret = s.get("webhook_secret", value::secret);
    let webhook_secret_previous = s.get("webhook_secret_previous", value::secret);
    if s.enabled && s.is_set("webhook_secret_previous") && !s.is_set("webhook_secret") {
        s.missing("webhook_secret", "is not set, and webhook_secret_previous is");
    }
    let merge = s.merge();
    Some(ChatwootConfig {
        common: common?,
        api_token: api_token?,
        account_id: account_id?,
        webhook_secret,
        webhook_secret_previous,
        merge: merge?,
    })
}
