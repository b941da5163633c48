//! CloudFormation templates of the example organisation, compared with files in `tests/golden`, with which Terraform's
//! modules are compared in turn; and their permissions, compared with the calls in the source.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mirror_sessions::cloudformation;
use serde_json::Value;

use crate::support::policy;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The policy that Terraform makes of the example organisation.
fn example() -> mirror_sessions::policy::Policy {
    let path = root().join("../deploy/terraform/examples/organisation/hub/tests/policy.toml");
    policy(&std::fs::read_to_string(path).unwrap())
}

fn compare(name: &str, template: &Value) {
    let path = root().join(format!("tests/golden/{name}.template.json"));
    let text = format!("{}\n", serde_json::to_string_pretty(template).unwrap());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "{} differs; UPDATE_GOLDEN=1 rewrites it", path.display());
}

#[test]
fn the_example_organisation() {
    let policy = example();
    compare("hub", &cloudformation::hub(&policy, "ec2.amazonaws.com"));
    compare("hub-lambda", &cloudformation::hub(&policy, "lambda.amazonaws.com"));
    let member = |with_role| {
        cloudformation::member(&policy, "222222222222", "111111111111", "eu-west-1", with_role).unwrap()
    };
    compare("member", &member(true));
    compare("member-without-roles", &member(false));
}

/// Before the clients are there, the example's policy has an account and no rules.
#[test]
fn the_example_without_clients() {
    let path = root().join("../deploy/terraform/examples/organisation/hub/tests/policy-without-clients.toml");
    let policy = policy(&std::fs::read_to_string(path).unwrap());
    assert_eq!((policy.accounts.len(), policy.rules.len()), (1, 0));
}

/// The actions that a template's role allows.
fn allowed(template: &Value, role: &str) -> BTreeSet<String> {
    let policies = template["Resources"][role]["Properties"]["Policies"].as_array().unwrap();
    let statements =
        policies.iter().flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().unwrap());
    statements
        .flat_map(|statement| match &statement["Action"] {
            Value::String(action) => vec![action.clone()],
            actions => {
                actions.as_array().unwrap().iter().map(|action| action.as_str().unwrap().to_owned()).collect()
            }
        })
        .collect()
}

/// The actions that the calls of the SDK in a source file need: each call is a method of a client, in snake case.
fn called(service: &str, file: &str) -> BTreeSet<String> {
    let source = std::fs::read_to_string(root().join("src").join(file)).unwrap();
    let mut actions = BTreeSet::new();
    for (at, client) in source.match_indices("client") {
        let Some(rest) = source[at + client.len()..].trim_start().strip_prefix('.') else { continue };
        let Some((method, _)) = rest.split_once('(') else { continue };
        let operation: String =
            method.split('_').map(|word| format!("{}{}", word[..1].to_uppercase(), &word[1..])).collect();
        // A batch needs the permission of the single call.
        actions.insert(format!("{service}:{}", operation.trim_end_matches("Batch")));
        // Tags that go with the creation need a permission of their own.
        if operation.starts_with("CreateTrafficMirror") {
            actions.insert(format!("{service}:CreateTags"));
        }
    }
    actions
}

#[test]
fn the_roles_allow_what_the_program_calls_and_nothing_else() {
    let policy = example();
    let ec2 = &called("ec2", "ec2/mod.rs") | &called("ec2", "ec2/write.rs");
    assert_eq!(ec2.len(), 7 + 11 + 2, "the calls were found: {ec2:?}");
    let member = cloudformation::member(&policy, "222222222222", "111111111111", "eu-west-1", true).unwrap();
    assert_eq!(allowed(&member, "Role"), ec2);

    // The program's own role also reads the queue and assumes the others. GetCallerIdentity needs no permission.
    let connects = std::fs::read_to_string(root().join("src/ec2/mod.rs")).unwrap();
    assert!(connects.contains("AssumeRoleProvider::builder"));
    let mut own = &ec2 | &called("sqs", "sqs.rs");
    own.insert("sts:AssumeRole".to_owned());
    assert_eq!(allowed(&cloudformation::hub(&policy, "ec2.amazonaws.com"), "Manager"), own);

    // As a Lambda the queue is read, and the log written, by Lambda.
    own.remove("sqs:SendMessage");
    own.extend(["sqs:GetQueueAttributes", "logs:CreateLogStream", "logs:PutLogEvents"].map(str::to_owned));
    assert_eq!(allowed(&cloudformation::hub(&policy, "lambda.amazonaws.com"), "Manager"), own);
}
