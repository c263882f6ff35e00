//! The consumer of what comes back from a target: rows of the inbox, which messages name. A message is acked when its row is
//! decided, or has nothing to be decided now: what is due is published again.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

use super::apply::Applier;
use crate::broker::{Message, Publisher, Queue, ack_all, hand_back_all};
use crate::deliver::batch::Slot;
use crate::deliver::consumer::{Work, panicked, put_aside, wait_a_second};
use crate::error_chain::chain;
use crate::failpoint;
use crate::remote::Remote;
use crate::store::StoreError;

impl<R: Remote> Work for Applier<R> {
    fn queue(&self) -> Queue {
        Queue::inbound(self.remote.target())
    }

    fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    async fn work(&self, messages: Vec<Message>, slot: Slot) -> Result<bool, StoreError> {
        let target = self.remote.target();
        let (mut rows, mut taken, mut odd) = (Vec::new(), Vec::new(), Vec::new());
        for message in messages {
            match &message.delivery {
                Ok(delivery) if delivery.target == target => {
                    rows.push(delivery.id);
                    taken.push(message);
                }
                Ok(_) | Err(_) => odd.push(message),
            }
        }
        put_aside(&self.tokens, odd).await;
        let _slot = slot;
        match AssertUnwindSafe(Self::work(self, &rows)).catch_unwind().await {
            Ok(Ok(has_decided)) => {
                ack_all(taken).await;
                failpoint!("inbound.acked");
                Ok(has_decided)
            }
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), "The database failed; what came back is handed back");
                wait_a_second().await;
                hand_back_all(taken).await;
                Err(error)
            }
            Err(_panic) => {
                tracing::error!(
                    "A row of the inbox panicked, which is a bug; it is tried again when it is due"
                );
                self.put_off(&rows).await;
                ack_all(taken).await;
                Err(panicked())
            }
        }
    }
}
