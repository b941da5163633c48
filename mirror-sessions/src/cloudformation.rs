//! CloudFormation templates of the resources that this program needs in AWS, to be reviewed and deployed.
//!
//! The hub is the account in which the program runs: queue, event rules, event bus policy, and the program's role. A
//! member is any other account: the role that the program assumes there, and rules that forward events.

use serde_json::{Map, Value, json};

use crate::ownership::OWNER_TAG;
use crate::policy::Policy;

/// Name of the event bus.
const BUS: &str = "default";
/// The principal of a role for Lambda.
const LAMBDA: &str = "lambda.amazonaws.com";
/// Visibility timeout of the queue, in seconds: a message that is not deleted in this time is delivered again.
const VISIBILITY_TIMEOUT: u32 = 120;
/// Number of deliveries after which a message is moved to the dead-letter queue.
const MAX_RECEIVES: u32 = 10;
/// Retention of the dead-letter queue, in seconds: 14 days, the maximum.
const DEAD_LETTER_RETENTION: u32 = 1_209_600;

/// Actions that read, in the order of the API reference.
pub const READS: [&str; 7] = [
    "ec2:DescribeAvailabilityZones",
    "ec2:DescribeInstances",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeTrafficMirrorFilters",
    "ec2:DescribeTrafficMirrorSessions",
    "ec2:DescribeTrafficMirrorTargets",
    "ec2:DescribeVpcEndpoints",
];
/// Actions that create resources, with tags.
const CREATES: [&str; 4] = [
    "ec2:CreateTrafficMirrorFilter",
    "ec2:CreateTrafficMirrorFilterRule",
    "ec2:CreateTrafficMirrorSession",
    "ec2:CreateTrafficMirrorTarget",
];
/// Actions that modify or delete resources.
const CHANGES: [&str; 7] = [
    "ec2:DeleteTrafficMirrorFilter",
    "ec2:DeleteTrafficMirrorFilterRule",
    "ec2:DeleteTrafficMirrorSession",
    "ec2:DeleteTrafficMirrorTarget",
    "ec2:ModifyTrafficMirrorFilterNetworkServices",
    "ec2:ModifyTrafficMirrorFilterRule",
    "ec2:ModifyTrafficMirrorSession",
];

/// The events that `watch` processes, as patterns of EventBridge rules.
fn patterns() -> [(&'static str, Value); 3] {
    [
        (
            "InstanceState",
            json!({"source": ["aws.ec2"], "detail-type": ["EC2 Instance State-change Notification"]}),
        ),
        (
            "TagChange",
            json!({
                "source": ["aws.tag"],
                "detail-type": ["Tag Change on Resource"],
                "detail": {"service": ["ec2"], "resource-type": ["instance", "network-interface"]}
            }),
        ),
        (
            "Calls",
            json!({
                "source": ["aws.ec2"],
                "detail-type": ["AWS API Call via CloudTrail"],
                "detail": {
                    "eventSource": ["ec2.amazonaws.com"],
                    "eventName": ["RunInstances", "CreateNetworkInterface", "AttachNetworkInterface", "DeleteNetworkInterface"]
                }
            }),
        ),
    ]
}

/// The permissions of a role in its account. Changes are only allowed to resources with the ownership tag, so resources
/// of others stay out of reach.
fn permissions(owner: &str) -> Value {
    let mirror_arn =
        |kind: &str| format!("arn:${{AWS::Partition}}:ec2:*:${{AWS::AccountId}}:traffic-mirror-{kind}/*");
    let mirror_resources: Vec<Value> = ["filter", "filter-rule", "session", "target"]
        .map(|kind| json!({"Fn::Sub": mirror_arn(kind)}))
        .into();
    let owned = json!({"StringEquals": {format!("aws:ResourceTag/{}", OWNER_TAG): owner}});
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "Look", "Effect": "Allow", "Action": READS, "Resource": "*"},
            {"Sid": "Make", "Effect": "Allow", "Action": CREATES, "Resource": "*"},
            {"Sid": "Change", "Effect": "Allow", "Action": CHANGES, "Resource": "*", "Condition": owned},
            {"Sid": "ChangeRules", "Effect": "Allow",
             "Action": ["ec2:DeleteTrafficMirrorFilterRule", "ec2:ModifyTrafficMirrorFilterRule"],
             "Resource": {"Fn::Sub": mirror_arn("filter-rule")}},
            {"Sid": "TagAsMade", "Effect": "Allow", "Action": "ec2:CreateTags", "Resource": mirror_resources,
             "Condition": {"StringLike": {"ec2:CreateAction": "CreateTrafficMirror*"}}},
            {"Sid": "Tag", "Effect": "Allow", "Action": ["ec2:CreateTags", "ec2:DeleteTags"],
             "Resource": {"Fn::Sub": mirror_arn("session")}, "Condition": owned}
        ]
    })
}

/// The permissions of the program's own role besides those of [`permissions`]: queues, and the roles of the members.
///
/// With Lambda as the `principal`, Lambda itself reads the queue, sets messages aside and writes the log.
fn manage(policy: &Policy, principal: &str) -> Value {
    let lambda = principal == LAMBDA;
    let events = json!({"Fn::GetAtt": ["Events", "Arn"]});
    let mut actions = vec!["sqs:DeleteMessage", "sqs:ReceiveMessage"];
    if lambda {
        actions.push("sqs:GetQueueAttributes");
    }
    let mut statements =
        vec![json!({"Sid": "Queue", "Effect": "Allow", "Action": actions, "Resource": events})];
    if !lambda {
        statements.push(json!({"Sid": "SetAside", "Effect": "Allow", "Action": ["sqs:SendMessage"],
               "Resource": {"Fn::GetAtt": ["DeadLetters", "Arn"]}}));
    }
    let roles: Vec<&String> =
        policy.accounts.iter().filter_map(|account| account.role_arn.as_ref()).collect();
    if !roles.is_empty() {
        statements.push(
            json!({"Sid": "Members", "Effect": "Allow", "Action": ["sts:AssumeRole"], "Resource": roles}),
        );
    }
    if lambda {
        let group = format!(
            "arn:${{AWS::Partition}}:logs:${{AWS::Region}}:${{AWS::AccountId}}:log-group:/aws/lambda/mirror-sessions-{}:*",
            policy.owner
        );
        statements.push(json!({"Sid": "Log", "Effect": "Allow",
               "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": {"Fn::Sub": group}}));
    }
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// The template for the account in which the program runs, in one of its regions.
///
/// `principal` can assume the program's role: a service (`ec2.amazonaws.com`, `lambda.amazonaws.com`).
pub fn hub(policy: &Policy, principal: &str) -> Value {
    let owner = &policy.owner;
    let mut resources = Map::new();
    resources.insert(
        "DeadLetters".to_owned(),
        json!({"Type": "AWS::SQS::Queue", "Properties": {
            "QueueName": format!("mirror-sessions-{owner}-dead-letters"),
            "SqsManagedSseEnabled": true,
            "MessageRetentionPeriod": DEAD_LETTER_RETENTION}}),
    );
    resources.insert(
        "Events".to_owned(),
        json!({"Type": "AWS::SQS::Queue", "Properties": {
            "QueueName": format!("mirror-sessions-{owner}"),
            "SqsManagedSseEnabled": true,
            "VisibilityTimeout": VISIBILITY_TIMEOUT,
            "RedrivePolicy": {
                "deadLetterTargetArn": {"Fn::GetAtt": ["DeadLetters", "Arn"]},
                "maxReceiveCount": MAX_RECEIVES}}}),
    );
    resources.insert(
        "EventsPolicy".to_owned(),
        json!({"Type": "AWS::SQS::QueuePolicy", "Properties": {
            "Queues": [{"Ref": "Events"}],
            "PolicyDocument": {"Version": "2012-10-17", "Statement": [{
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": {"Fn::GetAtt": ["Events", "Arn"]},
                "Condition": {"ArnLike": {"aws:SourceArn": {
                    "Fn::Sub": format!("arn:${{AWS::Partition}}:events:${{AWS::Region}}:${{AWS::AccountId}}:rule/mirror-sessions-{owner}-*")}}}
            }]}}}),
    );
    for (name, pattern) in patterns() {
        resources.insert(
            format!("{name}Rule"),
            json!({"Type": "AWS::Events::Rule", "Properties": {
                "Name": format!("mirror-sessions-{owner}-{name}"),
                "EventBusName": BUS,
                "EventPattern": pattern,
                "State": "ENABLED",
                "Targets": [{"Id": "queue", "Arn": {"Fn::GetAtt": ["Events", "Arn"]}}]}}),
        );
    }
    let members: Vec<Value> = policy
        .accounts
        .iter()
        .filter(|account| account.role_arn.is_some())
        .map(|account| json!(account.id))
        .collect();
    for account in policy.accounts.iter().filter(|account| account.role_arn.is_some()) {
        resources.insert(
            format!("From{}", account.id),
            json!({"Type": "AWS::Events::EventBusPolicy", "Properties": {
                "EventBusName": BUS,
                "StatementId": format!("mirror-sessions-{owner}-{}", account.id),
                "Action": "events:PutEvents",
                "Principal": account.id}}),
        );
    }
    resources.insert(
        "Manager".to_owned(),
        json!({"Type": "AWS::IAM::Role", "Properties": {
        "RoleName": format!("mirror-sessions-{owner}-manager"),
        "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": principal}, "Action": "sts:AssumeRole"}]},
        "Policies": [
            {"PolicyName": "manage", "PolicyDocument": manage(policy, principal)},
            {"PolicyName": "mirror", "PolicyDocument": permissions(owner)}
        ]}}),
    );
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": format!("mirror-sessions for {owner}: the account in which it runs"),
        "Metadata": {"Members": members},
        "Resources": resources,
        "Outputs": {
            "QueueUrl": {"Value": {"Ref": "Events"}},
            "DeadLetterUrl": {"Value": {"Ref": "DeadLetters"}},
            "ManagerRoleArn": {"Value": {"Fn::GetAtt": ["Manager", "Arn"]}}
        }
    })
}

/// The template for another account, in each of its regions; `hub_account` and `hub_region` say where the hub's template is
/// deployed. `None` if the policy has no role for the account.
///
/// IAM is global: set `with_role`, which adds the roles, in one region only.
pub fn member(
    policy: &Policy,
    account: &str,
    hub_account: &str,
    hub_region: &str,
    with_role: bool,
) -> Option<Value> {
    let owner = &policy.owner;
    let account = policy.accounts.iter().find(|candidate| candidate.id.as_str() == account)?;
    let role_name = account.role_arn.as_ref()?.rsplit('/').next()?.to_owned();
    let forward_role = format!("mirror-sessions-{owner}-forward");
    let bus = format!("arn:${{AWS::Partition}}:events:{hub_region}:{hub_account}:event-bus/{BUS}");
    let mut resources = Map::new();
    if with_role {
        let mut trust = json!({
            "Effect": "Allow",
            "Principal": {"AWS": {"Fn::Sub": format!("arn:${{AWS::Partition}}:iam::{hub_account}:role/mirror-sessions-{owner}-manager")}},
            "Action": "sts:AssumeRole"
        });
        if let (Some(external_id), Some(trust)) = (&account.external_id, trust.as_object_mut()) {
            trust.insert("Condition".to_owned(), json!({"StringEquals": {"sts:ExternalId": external_id}}));
        }
        resources.insert(
            "Role".to_owned(),
            json!({"Type": "AWS::IAM::Role", "Properties": {
                "RoleName": role_name,
                "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
                "Policies": [{"PolicyName": "mirror", "PolicyDocument": permissions(owner)}]}}),
        );
        resources.insert(
            "Forward".to_owned(),
            json!({"Type": "AWS::IAM::Role", "Properties": {
                "RoleName": forward_role,
                "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [{
                    "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sts:AssumeRole"}]},
                "Policies": [{"PolicyName": "forward", "PolicyDocument": {"Version": "2012-10-17", "Statement": [{
                    "Effect": "Allow", "Action": "events:PutEvents", "Resource": {"Fn::Sub": bus}}]}}]}}),
        );
    }
    for (name, pattern) in patterns() {
        let role = json!({"Fn::Sub": format!("arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{forward_role}")});
        let mut rule = json!({"Type": "AWS::Events::Rule", "Properties": {
            "Name": format!("mirror-sessions-{owner}-{name}"),
            "EventBusName": BUS,
            "EventPattern": pattern,
            "State": "ENABLED",
            "Targets": [{"Id": "hub", "Arn": {"Fn::Sub": bus}, "RoleArn": role}]}});
        if let (true, Some(rule)) = (with_role, rule.as_object_mut()) {
            rule.insert("DependsOn".to_owned(), json!("Forward"));
        }
        resources.insert(format!("{name}Rule"), rule);
    }
    Some(json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": format!("mirror-sessions for {owner}: an account whose interfaces are mirrored"),
        "Resources": resources
    }))
}
