//! The bench's own `RabbitMQ` connection: for the straight-line program, and to see how long a queue is.

use futures_util::future::try_join_all;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};

/// A connection with one channel.
pub(crate) struct Broker {
    #[expect(dead_code, reason = "held for its drop")]
    connection: Connection,
    channel: Channel,
}

const fn durable() -> QueueDeclareOptions {
    QueueDeclareOptions {
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        nowait: false,
    }
}

impl Broker {
    pub(crate) async fn connect(url: &str) -> anyhow::Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions { nowait: false }).await?;
        channel.basic_qos(1, BasicQosOptions { global: false }).await?;
        Ok(Self { connection, channel })
    }

    /// Declares a queue of the kind that ems-sync uses.
    pub(crate) async fn declare(&self, queue: &str) -> anyhow::Result<()> {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        self.channel.queue_declare(queue.into(), durable(), arguments).await?;
        Ok(())
    }

    pub(crate) async fn delete(&self, queue: &str) -> anyhow::Result<()> {
        let options = QueueDeleteOptions { if_unused: false, if_empty: false, nowait: false };
        self.channel.queue_delete(queue.into(), options).await?;
        Ok(())
    }

    /// How many messages are ready.
    pub(crate) async fn length(&self, queue: &str) -> anyhow::Result<u32> {
        let options = QueueDeclareOptions { passive: true, ..durable() };
        let declared = self.channel.queue_declare(queue.into(), options, FieldTable::default());
        Ok(declared.await?.message_count())
    }

    /// Publishes the numbers from 1, persistent and confirmed.
    pub(crate) async fn fill(&self, queue: &str, messages: u32) -> anyhow::Result<()> {
        let mut confirms = Vec::new();
        for number in 1..=messages {
            let options = BasicPublishOptions { mandatory: true, immediate: false };
            let properties = BasicProperties::default().with_delivery_mode(2);
            let body = number.to_string();
            let publish = self.channel.basic_publish(
                "".into(),
                queue.into(),
                options,
                body.as_bytes(),
                properties,
            );
            confirms.push(publish.await?);
        }
        try_join_all(confirms).await?;
        Ok(())
    }

    /// Consumes one message at a time.
    pub(crate) async fn consume(&self, queue: &str) -> anyhow::Result<Consumer> {
        let options =
            BasicConsumeOptions { no_local: false, no_ack: false, exclusive: false, nowait: false };
        let consume =
            self.channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
        Ok(consume.await?)
    }
}
