//! The queue of events.

use std::future::Future;

use crate::api_error::ApiError;

/// A message of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its text.
    pub body: String,
    /// Receipt handle, by which it is deleted.
    pub receipt_handle: String,
}

/// A queue that delivers each message again until it is deleted.
pub trait Queue: Send + Sync + 'static {
    /// Waits up to 20 seconds for messages, and receives up to ten.
    fn receive(&self) -> impl Future<Output = Result<Vec<Message>, ApiError>> + Send;

    /// Deletes messages that have been processed.
    fn delete(&self, messages: &[Message]) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// Moves a message that cannot be parsed to the dead-letter queue.
    fn move_to_dead_letters(&self, message: &Message) -> impl Future<Output = Result<(), ApiError>> + Send;
}
