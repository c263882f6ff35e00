//! `ems-sync migrate`: schema `sync`, projections, triggers and queues. Says what it did.

use std::path::Path;

use anyhow::Context as _;

use super::args::MigrateArgs;
use super::{Exit, adapters, output};
use crate::broker::Queue;
use crate::config::Config;
use crate::store::Migrated;

pub(super) async fn migrate(config: &Config, args: MigrateArgs) -> anyhow::Result<Exit> {
    let (store, publisher) = adapters(config, "migrate")?;
    let own = args.projections.as_deref().map(own_projections).transpose()?;
    let migrated = store.migrate(own.as_deref()).await?;
    let watched = store.watched_tables().await?;
    output::text(&told(&migrated, &watched))?;
    publisher
        .connect()
        .await
        .context("The database is migrated, but the queues could not be declared")?;
    let queues = Queue::all().len();
    output::text(&format!("Queues: {queues} declared, named `{}.…`", config.broker.prefix))?;
    Ok(Exit::Fine)
}

/// The statements of an EMS with other tables, file by file.
fn own_projections(folder: &Path) -> anyhow::Result<Vec<String>> {
    let unreadable = || format!("The folder {} of --projections can't be read", folder.display());
    let entries = std::fs::read_dir(folder).with_context(unreadable)?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .with_context(unreadable)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    paths.sort();
    anyhow::ensure!(!paths.is_empty(), "The folder {} has no .sql file", folder.display());
    paths
        .iter()
        .map(|path| {
            std::fs::read_to_string(path)
                .with_context(|| format!("{} can't be read", path.display()))
        })
        .collect()
}

fn told(migrated: &Migrated, watched: &[String]) -> String {
    let list = |names: Vec<String>, none: &str| {
        if names.is_empty() { none.to_owned() } else { names.join(", ") }
    };
    let applied = list(migrated.applied.clone(), "none, schema `sync` was at this version already");
    let projections = migrated.projections.iter().map(|t| t.name().to_owned()).collect();
    let mut text = format!(
        "Migrations applied: {applied}\nProjections applied: {}\nWatched tables: {}\n",
        list(projections, "none"),
        list(watched.to_vec(), "none"),
    );
    if !migrated.watches_reference_ems {
        text.push_str(OWN_TABLES);
    }
    text
}

const OWN_TABLES: &str = "\
No reference EMS was found (there is no table `ems.person`), so no table of it is watched.
To attach your own tables:
  1. write the projections into .sql files of a folder, one view `sync.<target>_<entity>` each, with the columns
     of sql/projections/
  2. and, for every table that they read, with the entity type and the column that holds the entity's id:
       select sync.watch('your_schema.your_table', 'person', 'id');
  3. run `ems-sync migrate --projections FOLDER`, now and at every upgrade
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;

    #[test]
    fn it_says_what_was_done_and_how_to_attach_own_tables_where_nothing_is_watched() {
        let found = Migrated {
            applied: vec!["V1__create".to_owned(), "V2__more".to_owned()],
            watches_reference_ems: true,
            projections: vec![Target::TagServer],
        };
        let text = told(&found, &["ems.person".to_owned()]);
        assert!(text.contains("applied: V1__create, V2__more\n"), "{text}");
        assert!(text.contains("applied: tagserver\n") && text.contains("tables: ems.person\n"));
        assert!(!text.contains("sync.watch"));

        let bare = Migrated { applied: vec![], watches_reference_ems: false, projections: vec![] };
        let text = told(&bare, &[]);
        assert!(text.contains("at this version already") && text.contains("select sync.watch("));
    }
}
