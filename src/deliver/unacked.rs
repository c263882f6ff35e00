//! The messages of a batch that are not acked yet, by what they are about.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::broker::{Message, ack_all, hand_back_all};
use crate::entity::EntityRef;

/// Messages that were taken. Whatever becomes of a batch, each is acked or handed back once.
#[derive(Default)]
pub struct Unacked(Mutex<HashMap<EntityRef, Vec<Message>>>);

impl Unacked {
    /// Those of these messages that are deliveries.
    #[must_use]
    pub fn new(messages: impl IntoIterator<Item = (EntityRef, Message)>) -> Self {
        let mut by_entity: HashMap<EntityRef, Vec<Message>> = HashMap::new();
        for (entity, message) in messages {
            by_entity.entry(entity).or_default().push(message);
        }
        Self(Mutex::new(by_entity))
    }

    /// Acks what is about these entities.
    pub async fn ack(&self, entities: impl IntoIterator<Item = &EntityRef>) {
        let messages = {
            let mut by_entity = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let messages = entities.into_iter().filter_map(|entity| by_entity.remove(entity));
            messages.flatten().collect::<Vec<_>>()
        };
        ack_all(messages).await;
    }

    /// Acks all that is left.
    pub async fn ack_rest(self) {
        ack_all(self.rest()).await;
    }

    /// Gives all that is left back to the queue.
    pub async fn hand_back_rest(self) {
        hand_back_all(self.rest()).await;
    }

    fn rest(self) -> Vec<Message> {
        let by_entity = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        by_entity.into_values().flatten().collect()
    }
}
