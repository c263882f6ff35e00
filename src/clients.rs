//! Which client speaks to which target: the one place that names all five. What works with any client is a [`Job`].

use std::sync::Arc;

use anyhow::Context as _;

use crate::config::{Config, MauticCredentials};
use crate::deliver::budget::Terms;
use crate::deliver::budget::shared::{self, Keeper};
use crate::remote::budget::Budget;
use crate::remote::chatwoot::Chatwoot;
use crate::remote::mailchimp::MailChimp;
use crate::remote::mautic::{self, Mautic};
use crate::remote::runsignup::{self, RunSignup};
use crate::remote::tagserver::TagServer;
use crate::remote::{HttpSettings, Remote};
use crate::store::Store;
use crate::target::Target;

/// Something that is done with the client of one target, whichever it is.
pub trait Job {
    /// What comes of it.
    type Output;

    /// Does it. `build` makes a client that connects to nothing yet; it may be called several times.
    fn run<R: Remote>(
        self,
        build: impl Fn() -> anyhow::Result<R> + Send,
    ) -> impl Future<Output = anyhow::Result<Self::Output>>;
}

/// The budget of a target over all processes, as it is configured. Its clients wait until the keeper runs.
#[must_use]
pub fn budget(config: &Config, store: Store, target: Target) -> (Arc<dyn Budget>, Keeper) {
    let common = config.targets.common(target);
    let (concurrency, rate) = (common.concurrency, common.requests_per_second);
    let terms = Terms::new(target, concurrency, rate, common.timeout);
    let (budget, keeper) = shared::open(store, target, terms);
    (Arc::new(budget), keeper)
}

/// Does `job` with the client of `target`, as it is configured, under the budget of all processes. At its end nothing of
/// the budget is kept.
///
/// # Errors
/// What the job or the making of the client ends with.
pub async fn once<J: Job>(config: &Config, target: Target, job: J) -> anyhow::Result<J::Output> {
    let store = Store::new(&config.database.url, "budget")?;
    let (budget, keeper) = budget(config, store, target);
    let kept = tokio::spawn(keeper.run());
    let result = with_client(config, budget, target, job).await;
    // It waits for one answer of the database at most.
    kept.await.context("The keeper of the target's budget failed")?;
    result
}

/// Does `job` with the client of `target`, as it is configured.
///
/// # Errors
/// What the job or the making of the client ends with.
pub async fn with_client<J: Job>(
    config: &Config,
    budget: Arc<dyn Budget>,
    target: Target,
    job: J,
) -> anyhow::Result<J::Output> {
    let http =
        HttpSettings { budget: Some(budget), ..config.targets.common(target).http_settings() };
    match target {
        Target::TagServer => job.run(|| tagserver(config, &http)).await,
        Target::Mautic => job.run(|| mautic(config, &http)).await,
        Target::MailChimp => job.run(|| mailchimp(config, &http)).await,
        Target::RunSignup => job.run(|| runsignup(config, &http)).await,
        Target::Chatwoot => job.run(|| chatwoot(config, &http)).await,
    }
}

/// The client of the configured `TagServer`, with these settings of its connection.
///
/// # Errors
/// When its CA can't be used.
pub fn tagserver(config: &Config, http: &HttpSettings) -> anyhow::Result<TagServer> {
    let tagserver = &config.targets.tagserver;
    TagServer::new(http, tagserver.username.clone(), tagserver.password.clone())
        .context("The client of `tagserver` can't be built")
}

/// The client of the configured Mautic, with these settings of its connection.
///
/// # Errors
/// When its CA can't be used, or it has no credentials.
pub fn mautic(config: &Config, http: &HttpSettings) -> anyhow::Result<Mautic> {
    let mautic = &config.targets.mautic;
    let credentials = match mautic.credentials.clone().context("Mautic has no credentials")? {
        MauticCredentials::Client { client_id, client_secret } => {
            mautic::Credentials::Client { id: client_id, secret: client_secret }
        }
        MauticCredentials::Basic { username, password } => {
            mautic::Credentials::Basic { username, password }
        }
    };
    Mautic::new(http, credentials).context("The client of `mautic` can't be built")
}

/// The client of the configured Chatwoot.
///
/// # Errors
/// When its CA can't be used.
pub fn chatwoot(config: &Config, http: &HttpSettings) -> anyhow::Result<Chatwoot> {
    let chatwoot = &config.targets.chatwoot;
    Chatwoot::new(http, chatwoot.api_token.clone(), chatwoot.account_id)
        .context("The client of `chatwoot` can't be built")
}

/// The client of the configured `MailChimp` account.
///
/// # Errors
/// When its CA can't be used.
pub fn mailchimp(config: &Config, http: &HttpSettings) -> anyhow::Result<MailChimp> {
    let mailchimp = &config.targets.mailchimp;
    MailChimp::new(http, mailchimp.api_key.clone(), mailchimp.lists.clone())
        .context("The client of `mailchimp` can't be built")
}

/// The client of the configured `RunSignup` account.
///
/// # Errors
/// When its CA can't be used.
pub fn runsignup(config: &Config, http: &HttpSettings) -> anyhow::Result<RunSignup> {
    let runsignup = &config.targets.runsignup;
    let credentials = runsignup::Credentials {
        key: runsignup.api_key.clone(),
        secret: runsignup.api_secret.clone(),
        version: runsignup.key_version,
        caller: runsignup.caller.clone().map(|caller| (caller.id, caller.secret)),
    };
    RunSignup::new(http, credentials, runsignup.push_races)
        .map(|client| client.for_organisation(runsignup.organisation_id))
        .context("The client of `runsignup` can't be built")
}
