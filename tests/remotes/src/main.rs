//! One simulated remote as a process: for the demo and for tests that kill processes.
//!
//! When it is ready it prints one line of JSON with its addresses on standard output.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ems_sync_remotes::chatwoot::{Chatwoot, ChatwootOptions, Jobs};
use ems_sync_remotes::mailchimp::{ListOptions, MailChimp, MailChimpOptions};
use ems_sync_remotes::mautic::{Mautic, MauticOptions};
use ems_sync_remotes::runsignup::{RunSignup, RunSignupOptions};
use ems_sync_remotes::tagserver::{Bulk, TagServer, TagServerOptions};
use ems_sync_remotes::{Certificate, Remote, ServerOptions, Simulator};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

/// Simulated remotes of ems-sync.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    remote: RemoteCommand,
}

#[derive(Debug, Subcommand)]
enum RemoteCommand {
    /// The organisation's timing system.
    #[command(name = "tagserver")]
    TagServer(TagServerArgs),
    /// Marketing automation.
    Mautic(MauticArgs),
    /// The support desk.
    Chatwoot(ChatwootArgs),
    /// An account of MailChimp.
    #[command(name = "mailchimp")]
    MailChimp(MailChimpArgs),
    /// The registration platform.
    #[command(name = "runsignup")]
    RunSignup(RunSignupArgs),
}

/// What every remote takes.
#[derive(Debug, Args)]
struct ServerArgs {
    /// Where the remote listens.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where the control API listens.
    #[arg(long, default_value = "127.0.0.1:0")]
    control: SocketAddr,
    /// Speak TLS, with such a certificate.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "valid")]
    tls: Option<CertificateArg>,
    /// Where the private authority is written, with --tls.
    #[arg(long, requires = "tls")]
    ca_file: Option<PathBuf>,
    /// How long every request takes.
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// The seed of the fault scripts' dice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep so many journal entries only.
    #[arg(long)]
    journal_limit: Option<usize>,
    /// Stop when standard input ends: the parent process is gone.
    #[arg(long)]
    stop_on_eof: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CertificateArg {
    Valid,
    WrongName,
    Expired,
    SelfSigned,
}

#[derive(Debug, Args)]
struct TagServerArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The user who may log in.
    #[arg(long, default_value = "ems-sync")]
    username: String,
    /// The user's password.
    #[arg(long, default_value = "ems-sync-password")]
    password: String,
    /// Have no bulk endpoint.
    #[arg(long)]
    no_bulk: bool,
    /// How long a token lives.
    #[arg(long, default_value_t = 1800)]
    token_life_seconds: u64,
    /// The first id of the server's sequence.
    #[arg(long, default_value_t = 900_001)]
    first_id: i64,
}

#[derive(Debug, Args)]
struct MauticArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The id of the `OAuth2` client.
    #[arg(long, default_value = "1_ems-sync")]
    client_id: String,
    /// The secret of the `OAuth2` client.
    #[arg(long, default_value = "ems-sync-secret")]
    client_secret: String,
    /// Have basic authentication on, too.
    #[arg(long)]
    basic_auth: bool,
    /// The user of basic authentication.
    #[arg(long, default_value = "ems-sync")]
    username: String,
    /// The user's password.
    #[arg(long, default_value = "ems-sync-password")]
    password: String,
    /// How long a token lives.
    #[arg(long, default_value_t = 3600)]
    token_life_seconds: u64,
    /// The first id of a contact.
    #[arg(long, default_value_t = 700_001)]
    first_id: i64,
}

#[derive(Debug, Args)]
struct ChatwootArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The account's number.
    #[arg(long, default_value_t = 1)]
    account_id: i64,
    /// The administrator's access token.
    #[arg(long, default_value = "ems-sync-token")]
    token: String,
    /// The first contact id.
    #[arg(long, default_value_t = 700_001)]
    first_id: i64,
    /// Let webhooks go to loopback and private addresses.
    #[arg(long)]
    allow_private_network: bool,
    /// Run background jobs after each request: webhooks go out by themselves.
    #[arg(long)]
    immediate_jobs: bool,
}

#[derive(Debug, Args)]
struct MailChimpArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The account's API key.
    #[arg(long, default_value = "0123456789abcdef0123456789abcdef-us19")]
    api_key: String,
    /// The id of an audience; may be given several times.
    #[arg(long = "list", default_value = "a1b2c3d4e5")]
    lists: Vec<String>,
    /// Give the audiences the merge field EMSID.
    #[arg(long)]
    ems_id_field: bool,
    /// Let people confirm before they are members.
    #[arg(long)]
    double_optin: bool,
}

impl MailChimpArgs {
    fn list(&self, id: &str) -> ListOptions {
        let list = ListOptions { double_optin: self.double_optin, ..ListOptions::named(id) };
        if self.ems_id_field { list.with_ems_id() } else { list }
    }
}

#[derive(Debug, Args)]
struct RunSignupArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The key.
    #[arg(long, default_value = "ems-sync-key")]
    api_key: String,
    /// The key's secret.
    #[arg(long, default_value = "ems-sync-secret")]
    api_secret: String,
}

/// Whatever keeps the process from serving.
type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do if standard error is closed, too.
            drop(writeln!(std::io::stderr(), "ems-sync-remotes: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    match cli.remote {
        RemoteCommand::TagServer(args) => {
            let mut options = TagServerOptions {
                server: server_options(&args.server),
                username: args.username,
                password: args.password,
                first_id: args.first_id,
                ..TagServerOptions::default()
            };
            options.settings.token_life_seconds = args.token_life_seconds;
            if args.no_bulk {
                options.settings.bulk = Bulk::NotFound;
            }
            let simulator = TagServer::start(options).await?;
            serve(&simulator, &args.server).await
        }
        RemoteCommand::Mautic(args) => {
            let mut options = MauticOptions {
                server: server_options(&args.server),
                client_id: args.client_id,
                client_secret: args.client_secret,
                username: args.username,
                password: args.password,
                first_id: args.first_id,
                ..MauticOptions::default()
            };
            options.settings.token_life_seconds = args.token_life_seconds;
            options.settings.basic_auth = args.basic_auth;
            let simulator = Mautic::start(options).await?;
            serve(&simulator, &args.server).await
        }
        RemoteCommand::Chatwoot(args) => {
            let mut options = ChatwootOptions {
                server: server_options(&args.server),
                account_id: args.account_id,
                token: args.token,
                first_id: args.first_id,
                ..ChatwootOptions::default()
            };
            options.settings.allow_private_network = args.allow_private_network;
            if args.immediate_jobs {
                options.settings.jobs = Jobs::Immediate;
            }
            let simulator = Chatwoot::start(options).await?;
            serve(&simulator, &args.server).await
        }
        RemoteCommand::MailChimp(args) => {
            let options = MailChimpOptions {
                server: server_options(&args.server),
                lists: args.lists.iter().map(|id| args.list(id)).collect(),
                api_key: args.api_key,
                ..MailChimpOptions::default()
            };
            let simulator = MailChimp::start(options).await?;
            serve(&simulator, &args.server).await
        }
        RemoteCommand::RunSignup(args) => {
            let options = RunSignupOptions {
                server: server_options(&args.server),
                api_key: args.api_key,
                api_secret: args.api_secret,
                ..RunSignupOptions::default()
            };
            let simulator = RunSignup::start(options).await?;
            serve(&simulator, &args.server).await
        }
    }
}

fn server_options(args: &ServerArgs) -> ServerOptions {
    ServerOptions {
        listen: args.listen,
        control: args.control,
        tls: args.tls.map(|certificate| match certificate {
            CertificateArg::Valid => Certificate::Valid,
            CertificateArg::WrongName => Certificate::WrongName,
            CertificateArg::Expired => Certificate::Expired,
            CertificateArg::SelfSigned => Certificate::SelfSigned,
        }),
        latency: Duration::from_millis(args.latency_ms),
        seed: args.seed,
        journal_limit: args.journal_limit,
        ..ServerOptions::default()
    }
}

/// Says where it is, serves until it is told to stop, and stops.
async fn serve<R: Remote>(simulator: &Simulator<R>, args: &ServerArgs) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let ca_file = match simulator.ca_pem() {
        None => None,
        Some(pem) => {
            let name = format!("ems-sync-remotes-{}-ca.pem", std::process::id());
            let path = args.ca_file.clone().unwrap_or_else(|| std::env::temp_dir().join(name));
            std::fs::write(&path, pem)?;
            Some(path)
        }
    };
    let ready = json!({
        "remote": simulator.remote().name(),
        "base_url": simulator.base_url(),
        "control_url": simulator.control_url(),
        "ca_file": ca_file,
        "pid": std::process::id(),
    });
    let mut output = std::io::stdout();
    writeln!(output, "{ready}")?;
    output.flush()?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
        () = end_of_input(), if args.stop_on_eof => {}
    }
    simulator.shutdown().await;
    // A file in the temporary directory was nobody's wish; one that was asked for stays.
    if let (Some(path), None) = (ca_file, &args.ca_file) {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// Waits for the end of standard input in a thread of its own: nothing waits for that thread, so
/// it keeps neither the runtime nor the process.
async fn end_of_input() {
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // An input that cannot be read has ended, too.
        drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        let _ = ended.send(());
    });
    let _ = end.await;
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
