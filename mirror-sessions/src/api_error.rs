//! Errors of the AWS APIs.

use std::fmt;

/// Failure of an API call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ApiError {
    /// The operation.
    pub operation: &'static str,
    /// Kind of the failure, which decides about a retry.
    pub kind: ApiErrorKind,
    /// The error code, such as `RequestLimitExceeded`.
    pub code: String,
    /// The error message.
    pub message: String,
}

/// Kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiErrorKind {
    /// Too many calls: retry at a lower rate.
    Throttled,
    /// A fault of the service or the network: retry.
    Transient,
    /// A refusal: a retry would fail too.
    Refused,
}

impl ApiError {
    /// Returns true if the resource does not exist.
    pub fn is_not_found(&self) -> bool {
        self.code.ends_with(".NotFound")
    }

    /// Returns true if the permission is missing.
    pub fn is_denied(&self) -> bool {
        matches!(&*self.code, "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException")
    }

    /// Returns true if a session was refused because instances of this type cannot be mirrored. EC2 answers
    /// `NetworkInterfaceNotSupported`, "eni-… must be attached to a supported instance". Its documentation lists no code
    /// for this refusal, so for other codes the message decides.
    pub fn is_unsupported_source(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        let about_type = message.contains("instance type") || message.contains("instance-type");
        let by_message = about_type
            && (self.code.starts_with("Unsupported")
                || message.contains("not supported")
                || message.contains("unsupported"));
        let by_code = self.code == "NetworkInterfaceNotSupported" && message.contains("supported instance");
        self.kind == ApiErrorKind::Refused && (by_code || by_message)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, code, message, .. } = self;
        write!(formatter, "{operation}: {code}: {message}")?;
        if self.is_denied() {
            write!(
                formatter,
                " (allow ec2:{operation} to the role; `mirror-sessions init` prints a policy that does)"
            )?;
        }
        Ok(())
    }
}
