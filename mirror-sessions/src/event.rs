//! EventBridge events, as SQS and Lambda deliver them, and the resources that they affect.

use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::id::AccountRegion;
use crate::observation::Affected;

/// An EventBridge event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Account and region in which it occurred.
    pub account_region: AccountRegion,
    /// The resources that it affects; none if it affects nothing that can be mirrored.
    pub affected: Affected,
    /// Time at which it occurred.
    pub time: Option<OffsetDateTime>,
}

/// Reason why a message is not an event.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// It is not JSON of the shape that EventBridge sends.
    #[error("not an EventBridge event (send the event itself, without an input transformer)")]
    Shape(#[from] serde_json::Error),
}

/// The envelope of every EventBridge event (EventBridge user guide, "Event structure").
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "detail-type")]
    detail_type: String,
    account: String,
    region: String,
    time: Option<String>,
    #[serde(default)]
    resources: Vec<String>,
    detail: Value,
}

/// The batch of messages that Lambda receives from a queue.
#[derive(Deserialize)]
struct Batch {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    body: String,
}

/// Parses an event, or the batch of events that Lambda receives from a queue.
///
/// # Errors
///
/// When the text is neither.
pub fn parse(text: &str) -> Result<Vec<Event>, EventError> {
    match serde_json::from_str::<Batch>(text) {
        Ok(batch) => batch.records.iter().map(|record| parse_one(&record.body)).collect(),
        Err(_) => Ok(vec![parse_one(text)?]),
    }
}

/// Parses one event.
///
/// # Errors
///
/// When the text is not an event.
pub fn parse_one(text: &str) -> Result<Event, EventError> {
    let envelope: Envelope = serde_json::from_str(text)?;
    let affected = match &*envelope.detail_type {
        "EC2 Instance State-change Notification" => instances([text_at(&envelope.detail, "/instance-id")]),
        "Tag Change on Resource" => from_tag_change(&envelope.resources),
        "AWS API Call via CloudTrail" => from_cloudtrail(&envelope.detail),
        _ => Affected::default(),
    };
    Ok(Event {
        account_region: AccountRegion { account: envelope.account.into(), region: envelope.region.into() },
        affected,
        time: envelope.time.and_then(|time| OffsetDateTime::parse(&time, &Rfc3339).ok()),
    })
}

fn text_at<'value>(value: &'value Value, pointer: &str) -> Option<&'value str> {
    value.pointer(pointer).and_then(Value::as_str)
}

fn instances<'id>(ids: impl IntoIterator<Item = Option<&'id str>>) -> Affected {
    Affected { instances: ids.into_iter().flatten().map(Into::into).collect(), ..Affected::default() }
}

fn interfaces<'id>(ids: impl IntoIterator<Item = Option<&'id str>>) -> Affected {
    Affected { interfaces: ids.into_iter().flatten().map(Into::into).collect(), ..Affected::default() }
}

/// Resources of a tag change, from ARNs such as `arn:aws:ec2:eu-west-1:111111111111:instance/i-0123456789abcdef0`.
fn from_tag_change(resources: &[String]) -> Affected {
    let of = |kind: &'static str| {
        resources.iter().map(move |arn| arn.rsplit_once(':').and_then(|(_, name)| name.strip_prefix(kind)))
    };
    let mut affected = instances(of("instance/"));
    affected.merge(interfaces(of("network-interface/")));
    affected
}

/// Resources of an API call, from its CloudTrail record. A call that failed changed nothing.
fn from_cloudtrail(detail: &Value) -> Affected {
    if detail.get("errorCode").is_some_and(|code| !code.is_null()) {
        return Affected::default();
    }
    match text_at(detail, "/eventName") {
        Some("RunInstances") => {
            let items = detail.pointer("/responseElements/instancesSet/items").and_then(Value::as_array);
            instances(items.into_iter().flatten().map(|item| text_at(item, "/instanceId")))
        }
        Some("CreateNetworkInterface") => {
            interfaces([text_at(detail, "/responseElements/networkInterface/networkInterfaceId")])
        }
        Some("AttachNetworkInterface") => {
            let mut affected = interfaces([text_at(detail, "/requestParameters/networkInterfaceId")]);
            affected.merge(instances([text_at(detail, "/requestParameters/instanceId")]));
            affected
        }
        Some("DeleteNetworkInterface") => {
            interfaces([text_at(detail, "/requestParameters/networkInterfaceId")])
        }
        _ => Affected::default(),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use serde_json::json;

    use super::*;

    fn event(detail_type: &str, resources: &[&str], detail: &Value) -> String {
        json!({
            "version": "0",
            "id": "7bf73129-1428-4cd3-a780-95db273d1602",
            "detail-type": detail_type,
            "source": "aws.ec2",
            "account": "111111111111",
            "time": "2026-11-11T21:29:54Z",
            "region": "eu-west-1",
            "resources": resources,
            "detail": detail,
        })
        .to_string()
    }

    #[test]
    fn every_kind() {
        const CALL: &str = "AWS API Call via CloudTrail";
        let run = json!({"eventName": "RunInstances", "responseElements": {"instancesSet": {"items": [{"instanceId": "i-1"}, {"instanceId": "i-2"}]}}});
        let failed = json!({"eventName": "RunInstances", "errorCode": "Client.InstanceLimitExceeded", "responseElements": null});
        let create = json!({"eventName": "CreateNetworkInterface", "responseElements": {"networkInterface": {"networkInterfaceId": "eni-1"}}});
        let attach = json!({"eventName": "AttachNetworkInterface", "requestParameters": {"networkInterfaceId": "eni-1", "instanceId": "i-1"}});
        let delete = json!({"eventName": "DeleteNetworkInterface", "requestParameters": {"networkInterfaceId": "eni-1"}});
        // Detail type, resources, detail; then the instances and the interfaces that are expected.
        type Case<'a> = (&'a str, &'a [&'a str], Value, &'a [&'a str], &'a [&'a str]);
        let cases: &[Case<'_>] = &[
            (
                "EC2 Instance State-change Notification",
                &[],
                json!({"instance-id": "i-1", "state": "running"}),
                &["i-1"],
                &[],
            ),
            (
                "Tag Change on Resource",
                &["arn:aws:ec2:eu-west-1:111111111111:instance/i-1"],
                json!({}),
                &["i-1"],
                &[],
            ),
            (
                "Tag Change on Resource",
                &["arn:aws:ec2:eu-west-1:111111111111:network-interface/eni-1"],
                json!({}),
                &[],
                &["eni-1"],
            ),
            (
                "Tag Change on Resource",
                &["arn:aws:ec2:eu-west-1:111111111111:traffic-mirror-session/tms-1"],
                json!({}),
                &[],
                &[],
            ),
            (CALL, &[], run, &["i-1", "i-2"], &[]),
            (CALL, &[], failed, &[], &[]),
            (CALL, &[], create, &[], &["eni-1"]),
            (CALL, &[], attach, &["i-1"], &["eni-1"]),
            (CALL, &[], delete, &[], &["eni-1"]),
            (CALL, &[], json!({"eventName": "StopLogging"}), &[], &[]),
            ("EC2 Spot Instance Interruption Warning", &[], json!({}), &[], &[]),
        ];
        for (detail_type, resources, detail, instances, interfaces) in cases {
            let event = parse_one(&event(detail_type, resources, detail)).unwrap();
            let expected = Affected {
                instances: instances.iter().map(|id| (*id).into()).collect(),
                interfaces: interfaces.iter().map(|id| (*id).into()).collect(),
            };
            assert_eq!(event.affected, expected, "{detail_type} {detail}");
            assert_eq!(event.account_region.to_string(), "111111111111 eu-west-1");
            assert_eq!(event.time.unwrap().unix_timestamp(), 1_794_432_594);
        }
    }

    #[test]
    fn a_batch_of_lambda() {
        let one = event("EC2 Instance State-change Notification", &[], &json!({"instance-id": "i-1"}));
        let batch = json!({"Records": [{"messageId": "1", "body": one}, {"messageId": "2", "body": one}]});
        assert_eq!(parse(&batch.to_string()).unwrap().len(), 2);
        assert_eq!(parse(&one).unwrap().len(), 1);
    }

    #[test]
    fn other_texts_are_errors() {
        for text in ["", "hello", "{}", "[]", "{\"Records\": [{\"body\": \"x\"}]}"] {
            let error = parse(text).unwrap_err();
            let cause = error.source().unwrap().to_string();
            assert!(!error.to_string().contains(&cause), "{text}: {error}");
        }
    }
}
