//! HTTP requests and the responses to them.

use std::collections::VecDeque;

use crate::http::{Request, Response};

/// Messages of one direction that wait for those of the other.
const PIPELINED: usize = 16;

/// The messages of one flow that were not told yet, in the order in which they were sent.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    requests: VecDeque<Box<Request>>,
    responses: VecDeque<Response>,
}

impl Exchanges {
    pub(super) fn request(&mut self, request: Box<Request>) {
        self.requests.push_back(request);
    }

    pub(super) fn response(&mut self, response: Response) {
        self.responses.push_back(response);
    }

    /// The next request and the response to it. One of them is missing where `all` are asked for, or too many wait.
    pub(super) fn next(&mut self, all: bool) -> Option<(Option<Box<Request>>, Option<Response>)> {
        let both = !self.requests.is_empty() && !self.responses.is_empty();
        let too_many = self.requests.len().max(self.responses.len()) > PIPELINED;
        if !both && !too_many && !all {
            return None;
        }
        match (self.requests.pop_front(), self.responses.pop_front()) {
            (None, None) => None,
            exchange => Some(exchange),
        }
    }
}
