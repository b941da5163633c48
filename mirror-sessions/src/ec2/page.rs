//! The paged reader of Describe calls.

use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::types::Filter;

use super::from_sdk::Malformed;
use crate::api::{Describe, DescribeFilter, Page};
use crate::api_error::{ApiError, ApiErrorKind};
use crate::sdk_error::api_error;

/// Maximum number of results on a page that these calls allow.
pub(super) const PAGE_SIZE: i32 = 1000;

/// Sends a Describe call for one page. A macro, as the call builders of the SDK have these methods but share no trait.
macro_rules! page_call {
    ($call:expr, $filter:expr, $next_token:expr) => {
        $call
            .set_filters($crate::ec2::page::sdk_filters($filter))
            .max_results($crate::ec2::page::PAGE_SIZE)
            .set_next_token($next_token)
            .send()
    };
}
pub(super) use page_call;

/// The filter in the SDK's form.
pub(super) fn sdk_filters(filter: Option<&DescribeFilter>) -> Option<Vec<Filter>> {
    filter.map(|DescribeFilter { name, values }| {
        vec![Filter::builder().name(*name).set_values(Some(values.clone())).build()]
    })
}

/// Awaits the answer of a [`page_call`], takes it apart into items and NextToken, and converts each item.
pub(super) async fn read_page<R: Describe, Item, Answer, E>(
    call: impl Future<Output = Result<Answer, SdkError<E, HttpResponse>>>,
    parts: impl Fn(Answer) -> (Option<Vec<Item>>, Option<String>),
    convert: impl Fn(&Item) -> Result<R, Malformed>,
) -> Result<Page<R>, ApiError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let answer = call.await.map_err(|error| api_error(R::OPERATION, &error))?;
    let (items, next_token) = parts(answer);
    let items: Result<_, Malformed> = items.unwrap_or_default().iter().map(convert).collect();
    Ok(Page { items: items.map_err(|malformed| malformed_answer(R::OPERATION, &malformed))?, next_token })
}

fn malformed_answer(operation: &'static str, Malformed(field): &Malformed) -> ApiError {
    ApiError {
        operation,
        kind: ApiErrorKind::Refused,
        code: "MalformedAnswer".to_owned(),
        message: format!("the answer has no {field} that can be understood"),
    }
}
