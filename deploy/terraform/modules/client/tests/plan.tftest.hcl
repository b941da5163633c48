mock_provider "aws" {
  source = "../../mocks"
}

variables {
  owner            = "inspection"
  hub              = { account = "111111111111", region = "eu-west-1" }
  external_id      = "change-this-secret-of-client-2"
  service_name     = "com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0"
  vpc_id           = "vpc-0123456789abcdef0"
  endpoint_subnets = { euw1-az1 = "subnet-0aaaaaaaaaaaaaaaa", euw1-az2 = "subnet-0bbbbbbbbbbbbbbbb" }
}

override_data {
  target = data.aws_subnet.endpoint["euw1-az2"]
  values = { id = "subnet-0bbbbbbbbbbbbbbbb", availability_zone_id = "euw1-az2", vpc_id = "vpc-0123456789abcdef0" }
}

override_data {
  target = data.aws_caller_identity.this
  values = { account_id = "222222222222" }
}

run "defaults" {
  command = apply
  assert {
    condition     = tomap({ for zone, endpoint in aws_vpc_endpoint.this : zone => one(endpoint.subnet_ids) }) == var.endpoint_subnets && aws_vpc_endpoint.this["euw1-az1"].vpc_endpoint_type == "GatewayLoadBalancer"
    error_message = "an endpoint for each zone"
  }
  assert {
    condition = jsondecode(aws_iam_role.sessions[0].assume_role_policy).Statement == [{
      Effect    = "Allow"
      Principal = { AWS = "arn:aws:iam::111111111111:role/mirror-sessions-inspection-manager" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "sts:ExternalId" = "change-this-secret-of-client-2" } }
    }]
    error_message = "the manager's role only, and only with the external id"
  }
  assert {
    condition     = jsonencode([for policy in [aws_iam_role.sessions[0].assume_role_policy, aws_iam_role.forward[0].assume_role_policy, aws_iam_role_policy.forward[0].policy] : jsondecode(policy)]) == replace(replace(replace(replace(jsonencode([jsondecode(file("../../../../mirror-sessions/tests/golden/member.template.json")).Resources.Role.Properties.AssumeRolePolicyDocument, jsondecode(file("../../../../mirror-sessions/tests/golden/member.template.json")).Resources.Forward.Properties.AssumeRolePolicyDocument, jsondecode(file("../../../../mirror-sessions/tests/golden/member.template.json")).Resources.Forward.Properties.Policies[0].PolicyDocument]), "/\\{\"Fn::Sub\":(\"[^\"]*\")\\}/", "$1"), "$${AWS::Partition}", "aws"), "$${AWS::AccountId}", "222222222222"), "$${AWS::Region}", "eu-west-1")
    error_message = "the roles are those of the CloudFormation template"
  }
  assert {
    condition     = alltrue([for target in aws_cloudwatch_event_target.forward : target.arn == "arn:aws:events:eu-west-1:111111111111:event-bus/default" && target.role_arn == "arn:aws:iam::222222222222:role/mirror-sessions-inspection-forward"])
    error_message = "events go to the hub"
  }
  assert {
    condition     = length(aws_ec2_traffic_mirror_target.this) == 0 && length(aws_ec2_traffic_mirror_filter.this) == 0
    error_message = "targets and filters are the manager's own"
  }
  assert {
    condition     = output.client == { account = "222222222222", region = "eu-west-1", role_arn = "arn:aws:iam::222222222222:role/mirror-sessions", endpoints = { euw1-az1 = "vpce-0aaaaaaaaaaaaaaaa", euw1-az2 = "vpce-0aaaaaaaaaaaaaaaa" } }
    error_message = "what the hub is told"
  }
}

run "second_region" {
  command = plan
  variables {
    create_roles = false
  }
  assert {
    condition     = length(aws_iam_role.sessions) == 0 && length(aws_iam_role.forward) == 0 && length(aws_cloudwatch_event_rule.forward) == 3
    error_message = "roles once, events in each region"
  }
}

run "sessions_by_hand" {
  command = plan
  variables {
    mirror_targets = true
    filters = {
      web = [
        { direction = "ingress", protocol = 6, destination = "10.0.0.0/8" },
        { direction = "egress", action = "reject" },
      ]
    }
  }
  assert {
    condition     = toset(keys(aws_ec2_traffic_mirror_target.this)) == toset(["euw1-az1", "euw1-az2"])
    error_message = "a target for each endpoint"
  }
  assert {
    condition     = { for name, rule in aws_ec2_traffic_mirror_filter_rule.this : name => rule.rule_number } == { "web/0" = 100, "web/1" = 101 }
    error_message = "rules numbered in their order"
  }
}
