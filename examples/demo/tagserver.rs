//! The simulated TagServer: a remote, and what its rows are called.

use std::ops::{Deref, DerefMut};
use std::path::Path;

use anyhow::Result;
use ems_sync_remotes::tagserver::Resource;
use serde_json::Value;

use crate::remote::{Remote, text};

const USER: &str = "ems-sync";
const PASSWORD: &str = "a-password-of-the-demo";

/// What `ems-sync` has to know besides its address.
pub(crate) const SETTINGS: [(&str, &str); 2] = [("USERNAME", USER), ("PASSWORD", PASSWORD)];

pub(crate) struct TagServer(Remote);

impl TagServer {
    pub(crate) async fn start(folder: &Path) -> Result<Self> {
        let options = ["--username", USER, "--password", PASSWORD];
        Ok(Self(Remote::start("tagserver", &options, folder).await?))
    }

    pub(crate) async fn rows(&self, resource: Resource) -> Result<Vec<Value>> {
        self.0.rows(resource.segment()).await
    }

    /// The row that carries this EMS id.
    pub(crate) async fn row(&self, resource: Resource, id: i64) -> Result<Option<Value>> {
        let external_id = id.to_string();
        let rows = self.rows(resource).await?;
        Ok(rows.into_iter().find(|row| text(row, "externalId") == Some(&external_id)))
    }
}

impl Deref for TagServer {
    type Target = Remote;

    fn deref(&self) -> &Remote {
        &self.0
    }
}

impl DerefMut for TagServer {
    fn deref_mut(&mut self) -> &mut Remote {
        &mut self.0
    }
}
