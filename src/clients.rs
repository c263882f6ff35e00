//! Which client speaks to which target: the one place that names all five. What works with any client is a [`Job`].

use anyhow::Context as _;

use crate::config::Config;
use crate::remote::Remote;
use crate::remote::runsignup::{Credentials, RunSignup};
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
        Target::RunSignup => job.run(|| runsignup(config)).await,
        Target::Chatwoot => no_client(target),
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

/// The client of the configured `RunSignup` account.
///
/// # Errors
/// When its CA can't be used.
pub fn runsignup(config: &Config) -> anyhow::Result<RunSignup> {
    let runsignup = &config.targets.runsignup;
    let credentials = Credentials {
        key: runsignup.api_key.clone(),
        secret: runsignup.api_secret.clone(),
        caller: runsignup.caller.clone().map(|caller| (caller.id, caller.secret)),
    };
    RunSignup::new(&runsignup.common.http_settings(), credentials, runsignup.push_races)
        .context("The client of `runsignup` can't be built")
}
