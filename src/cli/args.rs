//! What the command line accepts (`docs/design.md` section 8).

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgGroup, Args, CommandFactory as _, Parser, Subcommand};

use crate::entity::{EntityRef, EntityType};
use crate::ops::dead_letters::Reason;
use crate::ops::explain::Named;
use crate::process::Role;
use crate::target::Target;
use crate::telemetry::{LogFilter, LogFormat};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "ems-sync", version, about, long_about = None, arg_required_else_help = true)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Flags that stand before or after the subcommand.
#[derive(Debug, Args)]
pub(super) struct Global {
    /// Configuration file; also `EMS_SYNC_CONFIG`
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// How logs are written to standard error
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(super) log_format: LogFormat,
    /// What is logged, for example `debug` or `warn,ems_sync::sweep=debug`
    #[arg(long, global = true, value_name = "FILTER", env = "EMS_SYNC_LOG")]
    pub(super) log_level: Option<LogFilter>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Bring schema `sync`, projections, triggers and queues to this version; safe to repeat
    Migrate(MigrateArgs),
    /// Run until SIGTERM or SIGINT
    Run(RunArgs),
    /// Scan for what was missed, now
    #[command(subcommand)]
    Sweep(SweepCommand),
    /// Show per target what is owed, waiting and failed
    Status(StatusArgs),
    /// Show for one entity its state at every target, why, and what happens next
    Explain(ExplainArgs),
    /// List, show, replay or discard what needs a person
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// List, show, adopt or dismiss what people changed at a target and the EMS did not take
    #[command(subcommand)]
    Conflicts(ConflictsCommand),
    /// Pause, resume, enable, disable or rebind a target, decide about held deletes; takes effect in every process within
    /// seconds
    #[command(subcommand)]
    Target(TargetOrder),
    /// Read a whole target and say what differs from the EMS; exits with 1 if anything does that can be put right
    Verify(VerifyArgs),
    /// Bring a target up to date whatever was told: plan what would change, then push it in the bulk lane
    Resync(ResyncArgs),
    /// Check the configuration: every problem at once, none of the secrets
    CheckConfig(Json),
}

#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Json {
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    /// For an EMS with other tables: apply the .sql files of this folder (projections, look-ups, calls of
    /// sync.watch), in the order of their names, instead of those for the reference EMS
    #[arg(long, value_name = "FOLDER")]
    pub(super) projections: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The roles that this process plays, separated by commas
    #[arg(
        long,
        value_name = "ROLES",
        value_delimiter = ',',
        num_args = 1,
        default_value = "relay,consume,sweep,ops"
    )]
    pub(super) roles: Vec<Role>,
}

#[derive(Debug, Subcommand)]
pub(super) enum SweepCommand {
    /// Compare everything with what was pushed, and push what differs
    Outbound(SweepArgs),
    /// Read what the targets hold, and take in what has changed there
    Inbound(SweepInboundArgs),
}

#[derive(Debug, Args)]
pub(super) struct SweepInboundArgs {
    #[command(flatten)]
    pub(super) sweep: SweepArgs,
    /// Look at every record that the target does not show, however many they are. Without it, none is looked at when
    /// more are missing than `guard` allows
    #[arg(long, requires = "target")]
    pub(super) accept_missing: bool,
}

#[derive(Debug, Args)]
pub(super) struct SweepArgs {
    /// Only this target
    #[arg(long)]
    pub(super) target: Option<Target>,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The target
    #[arg(long)]
    pub(super) target: Target,
    /// Owe what is missing, different or orphaned, so that the running processes put it right
    #[arg(long)]
    pub(super) repair: bool,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ResyncArgs {
    /// The target
    #[arg(long)]
    pub(super) target: Target,
    /// Only entities of this type
    #[arg(long)]
    pub(super) entity: Option<EntityType>,
    /// Only the entity with this EMS id
    #[arg(long, requires = "entity")]
    pub(super) id: Option<i64>,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Push also what differs in nothing
    #[arg(long)]
    pub(super) force: bool,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
    /// Show it again every 2 seconds until Ctrl-C; with `--json` one document per line
    #[arg(long, conflicts_with = "check")]
    pub(super) watch: bool,
    /// Exit with 1 if something needs a person
    #[arg(long)]
    pub(super) check: bool,
}

const EXPLAIN_USAGE: &str = "\
ems-sync explain [OPTIONS] <ENTITY> <ID>
       ems-sync explain [OPTIONS] --email <EMAIL>
       ems-sync explain [OPTIONS] --bib <BIB>
       ems-sync explain [OPTIONS] --remote <TARGET> <ID>";

#[derive(Debug, Args)]
#[command(override_usage = EXPLAIN_USAGE)]
#[command(group(ArgGroup::new("what").required(true).args(["entity", "email", "bib", "remote"])))]
pub(super) struct ExplainArgs {
    /// Type of the entity, for example `person`
    #[arg(requires = "id")]
    entity: Option<EntityType>,
    /// Its EMS id
    id: Option<i64>,
    /// Find the entities by e-mail address
    #[arg(long)]
    email: Option<String>,
    /// Find the entities by bib number
    #[arg(long)]
    bib: Option<String>,
    /// Find the entities by their id at a target
    #[arg(long, num_args = 2, value_names = ["TARGET", "ID"])]
    remote: Option<Vec<String>>,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

impl ExplainArgs {
    /// Which entities are meant.
    pub(super) fn named(&self) -> Result<Named, String> {
        let needed = || "one of ENTITY ID, --email, --bib or --remote is needed".to_owned();
        match (self.entity, self.id) {
            (Some(entity_type), Some(id)) => {
                return Ok(Named::Entity(EntityRef::new(entity_type, id)));
            }
            (Some(_), None) | (None, Some(_)) => return Err(needed()),
            (None, None) => {}
        }
        if let Some(email) = &self.email {
            return Ok(Named::Email(email.clone()));
        }
        if let Some(bib) = &self.bib {
            return Ok(Named::Bib(bib.clone()));
        }
        match self.remote.as_deref() {
            Some([target, id]) => {
                let target =
                    target.parse().map_err(|e| format!("invalid TARGET of --remote: {e}"))?;
                Ok(Named::Remote(target, id.clone()))
            }
            Some(_) | None => Err(needed()),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum DeadLettersCommand {
    /// List them, the oldest first
    List(ListArgs),
    /// Show them with their last attempts
    Show(DeadLetterArgs),
    /// Put them back: each entity is owed a new cycle of attempts. May be repeated and interrupted
    Replay(ReplayArgs),
    /// Give them up: their entities are left alone until they change
    Discard(ChangeArgs),
}

/// Which dead letters are meant: all that match everything that is given.
#[derive(Debug, Args)]
pub(super) struct DeadLetterArgs {
    /// Of this target
    #[arg(long)]
    pub(super) target: Option<Target>,
    /// Of entities of this type
    #[arg(long)]
    pub(super) entity: Option<EntityType>,
    /// Of the entity with this EMS id
    #[arg(long, requires = "entity")]
    pub(super) id: Option<i64>,
    /// The one with this number
    #[arg(long, value_name = "N")]
    pub(super) number: Option<i64>,
    /// With this reason, for example `rejected`
    #[arg(long)]
    pub(super) reason: Option<Reason>,
    /// With this text in the error
    #[arg(long, value_name = "TEXT")]
    pub(super) error: Option<String>,
    /// That failed last longer ago than this, for example `2h`
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(super) older_than: Option<Duration>,
    /// At most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: Option<u32>,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) which: DeadLetterArgs,
    /// Also those that are resolved or discarded
    #[arg(long)]
    pub(super) closed: bool,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("whose").required(true).multiple(true).args(["target", "number"])))]
pub(super) struct ChangeArgs {
    #[command(flatten)]
    pub(super) which: DeadLetterArgs,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    pub(super) change: ChangeArgs,
    /// How many per second
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) rate: u32,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConflictsCommand {
    /// List those that are open, the newest first
    List(ConflictListArgs),
    /// Show one, with what the EMS has and what people wrote at the target
    Show(ConflictArgs),
    /// Take the target's values into the EMS, or say whose a record is that nobody knows
    Adopt(AdoptArgs),
    /// Leave the EMS as it is
    Dismiss(ConflictArgs),
}

#[derive(Debug, Args)]
pub(super) struct ConflictListArgs {
    /// Of this target
    #[arg(long)]
    pub(super) target: Option<Target>,
    /// Of entities of this type
    #[arg(long)]
    pub(super) entity: Option<EntityType>,
    /// Of the entity with this EMS id
    #[arg(long, requires = "entity")]
    pub(super) id: Option<i64>,
    /// Also those that are closed
    #[arg(long)]
    pub(super) closed: bool,
    /// Instead what is not taken in and is no conflict: it can't be read, or the EMS refuses it
    #[arg(long, conflicts_with = "closed")]
    pub(super) not_taken: bool,
    /// At most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: Option<u32>,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ConflictArgs {
    /// Its number
    #[arg(value_name = "N")]
    pub(super) number: i64,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct AdoptArgs {
    #[command(flatten)]
    pub(super) which: ConflictArgs,
    /// Whose it is, by its EMS id: one of the candidates
    #[arg(long, value_name = "ID")]
    pub(super) candidate: Option<i64>,
    /// Also where the EMS has changed since the conflict was seen
    #[arg(long)]
    pub(super) anyway: bool,
}

/// A duration with its unit.
fn duration(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration =
        text.parse().map_err(|_| "a number with its unit, for example `90s` or `2h`".to_owned())?;
    Duration::try_from(signed).map_err(|_| "not negative".to_owned())
}

#[derive(Debug, Subcommand)]
pub(super) enum TargetOrder {
    /// Send nothing until it is resumed; changes stay owed
    Pause(TargetArgs),
    /// End a pause
    Resume(TargetArgs),
    /// End a disablement (a person's or a refusal's) and close the breaker
    Enable(TargetArgs),
    /// Send nothing until it is enabled; changes stay owed
    Disable(TargetArgs),
    /// Let what is held now through (deletes, opt-outs and fields that become empty), and have the EMS take the consents that were taken back there; later ones are
    /// weighed anew
    Approve(ApproveArgs),
    /// Leave at the target what is held to be deleted or taken away, until the EMS has it again or it is approved after all; leave
    /// the EMS as it is where consents were taken back there
    Reject(RejectArgs),
    /// Say that the target is where it belongs now: verify it, trust nothing that was known of it, bind it to this database
    /// and this account, and let it go on
    Rebind(RebindArgs),
}

#[derive(Debug, Args)]
pub(super) struct RebindArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,
    /// Only verify it: say what differs, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct ApproveArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,
    /// Also what was kept by an earlier `reject`
    #[arg(long)]
    pub(super) kept: bool,
    #[command(flatten)]
    pub(super) held: HeldArgs,
}

/// What a decision is about: what is held when it is made, unless it is said what was seen.
#[derive(Debug, Args)]
pub(super) struct HeldArgs {
    /// Show what is held, with a word for it, and decide nothing
    #[arg(long, conflicts_with = "seen")]
    pub(super) dry_run: bool,
    /// Decide about what was shown with this word, if all of it is held yet and as it was; what joined since stays held
    #[arg(long, value_name = "WORD")]
    pub(super) seen: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct RejectArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,
    #[command(flatten)]
    pub(super) held: HeldArgs,
}

#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// The target
    pub(super) target: Target,
    /// Why; kept with the order, and shown while the target is disabled, so nothing personal
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

impl Cli {
    /// The same, with what clap's own rules can't express checked too.
    pub(super) fn checked(self) -> Result<Self, clap::Error> {
        if let Command::Explain(args) = &self.command
            && let Err(text) = args.named()
        {
            return Err(Self::command().error(ErrorKind::ValueValidation, text));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, ErrorKind> {
        let words = std::iter::once("ems-sync").chain(line.split_whitespace());
        Cli::try_parse_from(words).and_then(Cli::checked).map_err(|error| error.kind())
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_stand_before_or_after_the_subcommand() {
        for line in [
            "--config a.toml --log-format json --log-level debug status --json",
            "status --json --config a.toml --log-format json --log-level debug",
            "sweep --config a.toml outbound --log-format json --log-level debug",
        ] {
            let global = parse(line).unwrap().global;
            assert_eq!(global.config.as_deref(), Some("a.toml".as_ref()), "{line}");
            assert_eq!(global.log_format, LogFormat::Json, "{line}");
            assert!(global.log_level.is_some(), "{line}");
        }
    }

    #[test]
    fn every_role_is_played_unless_some_are_named() {
        let roles = |line: &str| {
            let Command::Run(args) = parse(line).unwrap().command else { panic!("{line}") };
            args.roles
        };
        assert_eq!(roles("run"), Role::ALL);
        assert_eq!(roles("run --roles relay,ops"), [Role::Relay, Role::Ops]);
        assert!(parse("run --roles relay,web").is_err());
        assert!(parse("run --roles").is_err());
    }

    #[test]
    fn exactly_one_way_of_naming_what_is_explained_is_accepted() {
        let what = |line: &str| -> Result<Named, ErrorKind> {
            let Command::Explain(args) = parse(line)?.command else { panic!("{line}") };
            Ok(args.named().unwrap())
        };
        let person = Named::Entity(EntityRef::new(EntityType::Person, 5));
        assert_eq!(what("explain person 5"), Ok(person.clone()));
        assert_eq!(what("explain --json person 5"), Ok(person));
        assert_eq!(what("explain --email a@b.c"), Ok(Named::Email("a@b.c".to_owned())));
        assert_eq!(what("explain --bib 77"), Ok(Named::Bib("77".to_owned())));
        let remote = Named::Remote(Target::RunSignup, "9".to_owned());
        assert_eq!(what("explain --remote runsignup 9"), Ok(remote));
        for wrong in [
            "explain",
            "explain person",
            "explain 5",
            "explain runner 5",
            "explain person five",
            "explain person 5 --bib 7",
            "explain --email a --bib b",
            "explain --remote runsignup",
            "explain --remote elsewhere 9",
        ] {
            assert!(what(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn dead_letters_are_changed_only_where_it_is_said_which() {
        for line in [
            "dead-letters list",
            "dead-letters list --target tagserver --entity person --id 5 --closed --json",
            "dead-letters show --number 3",
            "dead-letters replay --target tagserver --older-than 2h --error time-out --limit 9 --rate 5",
            "dead-letters discard --number 3 --dry-run",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
        for line in [
            "dead-letters",
            "dead-letters replay",
            "dead-letters discard --entity person",
            "dead-letters list --id 5",
            "dead-letters list --older-than 5",
            "dead-letters list --older-than -5m",
            "dead-letters replay --target tagserver --rate 0",
            "dead-letters list --limit 0",
            "dead-letters list --reason refused",
            "dead-letters list --target mautik",
            "conflicts list --target mautik",
            "conflicts list --entity runner",
            "target approve mautic --dry-run --seen 0-0-0",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_watched_status_can_not_be_checked() {
        assert!(parse("status --watch --json").is_ok());
        assert_eq!(parse("status --watch --check").unwrap_err(), ErrorKind::ArgumentConflict);
    }
}
