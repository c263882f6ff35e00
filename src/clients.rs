//! Which client speaks to which target: the one place that names all five. What works with any client is a [`Job`].

use anyhow::Context as _;

use crate::config::Config;
use crate::remote::Remote;
use crate::remote::chatwoot::Chatwoot;
use crate::remote::tagserver::TagServer;
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

/// Does `job` with the client of `target`, as it is configured.
///
/// # Errors
/// What the job or the making of the client ends with.
pub async fn with_client<J: Job>(
    config: &Config,
    target: Target,
    job: J,
) -> anyhow::Result<J::Output> {
    match target {
        Target::TagServer => job.run(|| tagserver(config)).await,
        Target::Mautic => no_client(target),
        Target::MailChimp => no_client(target),
        Target::RunSignup => no_client(target),
        Target::Chatwoot => job.run(|| chatwoot(config)).await,
    }
}

fn no_client<T>(target: Target) -> anyhow::Result<T> {
    anyhow::bail!("Target `{target}` has no client in this version")
}

/// The client of the configured `TagServer`.
///
/// # Errors
/// When its CA can't be used.
pub fn tagserver(config: &Config) -> anyhow::Result<TagServer> {
    let tagserver = &config.targets.tagserver;
    TagServer::new(
        &tagserver.common.http_settings(),
        tagserver.username.clone(),
        tagserver.password.clone(),
    )
    .context("The client of `tagserver` can't be built")
}

/// The client of the configured Chatwoot.
///
/// # Errors
/// When its CA can't be used.
pub fn chatwoot(config: &Config) -> anyhow::Result<Chatwoot> {
    let chatwoot = &config.targets.chatwoot;
    Chatwoot::new(&chatwoot.common.http_settings(), chatwoot.api_token.clone(), chatwoot.account_id)
        .context("The client of `chatwoot` can't be built")
}
