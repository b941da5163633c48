//! Errors of the AWS SDK, classified.

use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};

use crate::api_error::{ApiError, ApiErrorKind};
use crate::error::chain;

/// Error codes with which AWS services throttle callers.
const THROTTLED: [&str; 6] = [
    "EC2ThrottledException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "Throttling",
    "ThrottlingException",
];

/// The [`ApiError`] for an error of the SDK.
pub(crate) fn api_error<E>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> ApiError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    let code = error.code().map_or_else(|| code_of(error, status), str::to_owned);
    let kind = if THROTTLED.contains(&&*code) || status == 429 {
        ApiErrorKind::Throttled
    } else if status >= 500
        || matches!(
            error,
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_)
        )
    {
        ApiErrorKind::Transient
    } else {
        ApiErrorKind::Refused
    };
    let message = error.message().map_or_else(|| chain(error).to_string(), str::to_owned);
    ApiError { operation, kind, code, message }
}

/// A code for an error that came without one.
fn code_of<E>(error: &SdkError<E, HttpResponse>, status: u16) -> String {
    match error {
        SdkError::TimeoutError(_) => "Timeout".to_owned(),
        SdkError::DispatchFailure(_) => "NotSent".to_owned(),
        SdkError::ConstructionFailure(_) => "NotBuilt".to_owned(),
        _ => format!("Http{status}"),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::operation::describe_instances::DescribeInstancesError;

    use super::*;

    #[test]
    fn the_cause_of_an_error_without_a_message_is_in_the_text_once() {
        let error: SdkError<DescribeInstancesError, HttpResponse> =
            SdkError::timeout_error("30 seconds are over");
        let error = api_error("DescribeInstances", &error);
        assert_eq!((&*error.code, error.kind), ("Timeout", ApiErrorKind::Transient));
        let expected = "DescribeInstances: Timeout: request has timed out: 30 seconds are over";
        assert_eq!(error.to_string(), expected);
    }
}
