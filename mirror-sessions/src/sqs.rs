//! The queue of events in SQS.

use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;

use crate::api_error::{ApiError, ApiErrorKind};
use crate::queue::{Message, Queue};
use crate::sdk_error::api_error;

/// Maximum number of messages per call that SQS allows.
const BATCH_SIZE: i32 = 10;
/// Maximum time of long polling that SQS allows, in seconds.
const WAIT_TIME: i32 = 20;

/// An SQS queue, with a dead-letter queue for messages that cannot be parsed.
#[derive(Debug)]
pub struct Sqs {
    client: Client,
    url: String,
    dead_letter_url: Option<String>,
}

impl Sqs {
    /// The queue at `url`, in the region that the URL names. Without a dead-letter queue here, a message that cannot be parsed
    /// stays in the queue until its redrive policy moves it.
    pub fn new(config: &SdkConfig, url: String, dead_letter_url: Option<String>) -> Self {
        let mut builder = aws_sdk_sqs::config::Builder::from(config);
        if let Some(region) = region_of(&url) {
            builder = builder.region(aws_config::Region::new(region.to_owned()));
        }
        Self { client: Client::from_conf(builder.build()), url, dead_letter_url }
    }
}

/// The region of a queue URL: from `https://sqs.eu-west-1.amazonaws.com/111111111111/name`, `eu-west-1`.
fn region_of(url: &str) -> Option<&str> {
    let host = url.split("://").nth(1)?.split('/').next()?;
    host.strip_prefix("sqs.")?.split('.').next()
}

impl Queue for Sqs {
    async fn receive(&self) -> Result<Vec<Message>, ApiError> {
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(BATCH_SIZE)
            .wait_time_seconds(WAIT_TIME)
            .send()
            .await
            .map_err(|error| api_error("ReceiveMessage", &error))?;
        let message = |message: &aws_sdk_sqs::types::Message| {
            Some(Message {
                body: message.body()?.to_owned(),
                receipt_handle: message.receipt_handle()?.to_owned(),
            })
        };
        Ok(answer.messages().iter().filter_map(message).collect())
    }

    async fn delete(&self, messages: &[Message]) -> Result<(), ApiError> {
        let entries = messages.iter().enumerate().filter_map(|(index, message)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(index.to_string());
            entry.receipt_handle(&message.receipt_handle).build().ok()
        });
        let call = self.client.delete_message_batch().queue_url(&self.url);
        let answer = call.set_entries(Some(entries.collect())).send().await;
        let answer = answer.map_err(|error| api_error("DeleteMessageBatch", &error))?;
        match answer.failed().first() {
            None => Ok(()),
            Some(failed) => Err(ApiError {
                operation: "DeleteMessageBatch",
                kind: ApiErrorKind::Transient,
                code: failed.code().to_owned(),
                message: failed.message().unwrap_or_default().to_owned(),
            }),
        }
    }

    async fn move_to_dead_letters(&self, message: &Message) -> Result<(), ApiError> {
        let Some(url) = &self.dead_letter_url else { return Ok(()) };
        let send = self.client.send_message().queue_url(url).message_body(&message.body).send();
        send.await.map_err(|error| api_error("SendMessage", &error))?;
        self.delete(std::slice::from_ref(message)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_names_the_region() {
        assert_eq!(region_of("https://sqs.eu-west-1.amazonaws.com/111111111111/events"), Some("eu-west-1"));
        assert_eq!(region_of("http://127.0.0.1:5000/111111111111/events"), None);
    }
}
