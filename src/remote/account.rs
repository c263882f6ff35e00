//! Who the remote is, and who we are to it. Digests only: they are stored and compared, never shown.

use crate::hash::ContentHash;

/// A remote account, as far as two of them can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// What identifies our login; where the remote does not say who it is, its address too.
    pub login: ContentHash,
    /// What the remote says it is: another one when it was set up anew.
    pub instance: Option<ContentHash>,
}
