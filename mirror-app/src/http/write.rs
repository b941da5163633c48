//! Heads as bytes, for tests and for traffic that is made.

/// A request to write; nothing is escaped or checked.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method's name.
    pub method: &'a str,
    /// The target, such as a path with its query.
    pub target: &'a str,
    /// The value of the Host field, with the port if there is one.
    pub host: &'a str,
    /// The user agent.
    pub user_agent: Option<&'a str>,
    /// Number of bytes of the body, which the caller writes.
    pub content_length: Option<usize>,
}

impl Request<'_> {
    /// Appends the head to `bytes`.
    pub fn append_to(&self, bytes: &mut Vec<u8>) {
        let Self { method, target, host, .. } = self;
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
        if let Some(user_agent) = self.user_agent {
            head += &format!("User-Agent: {user_agent}\r\n");
        }
        if let Some(length) = self.content_length {
            head += &format!("Content-Length: {length}\r\n");
        }
        bytes.extend(head.into_bytes());
        bytes.extend(b"\r\n");
    }
}
