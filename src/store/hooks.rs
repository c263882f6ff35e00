//! What webhooks hint at.

use super::{Store, StoreError};
use crate::inbound::hook::Hint;
use crate::limits;
use crate::target::Target;

impl Store {
    /// Heeds a webhook that is known by these digests; `false` when it was heeded before, by whichever process.
    ///
    /// # Errors
    /// [`StoreError`]; then it has no effect.
    pub async fn heed_hook(
        &self,
        target: Target,
        digests: &[Vec<u8>],
        hint: &Hint,
    ) -> Result<bool, StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/hook_heed.sql")).await?;
        let entity_type = hint.record.as_ref().map(|(entity_type, _)| entity_type.name());
        let remote_id = hint.record.as_ref().map(|(_, remote_id)| remote_id.as_str());
        let window = limits::HOOK_REMEMBERED.as_secs_f64();
        let (target, stream) = (target.name(), hint.stream.name());
        let waiting = limits::HINTS_WAITING_MAX;
        let row = client
            .query_one(
                &query,
                &[&target, &digests, &window, &stream, &entity_type, &remote_id, &waiting],
            )
            .await?;
        Ok(row.try_get(0)?)
    }
}
