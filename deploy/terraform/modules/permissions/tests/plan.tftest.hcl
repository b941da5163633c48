# The CloudFormation templates that `mirror-sessions init` prints for the example organisation say the same.

variables {
  owner     = "inspection"
  account   = "222222222222"
  partition = "aws"
}

run "as_in_cloudformation" {
  command = plan
  assert {
    condition     = jsonencode(jsondecode(output.json)) == replace(replace(replace(replace(jsonencode(jsondecode(file("../../../../mirror-sessions/tests/golden/member.template.json")).Resources.Role.Properties.Policies[0].PolicyDocument), "/\\{\"Fn::Sub\":(\"[^\"]*\")\\}/", "$1"), "$${AWS::Partition}", "aws"), "$${AWS::AccountId}", "222222222222"), "$${AWS::Region}", "eu-west-1")
    error_message = "the role's permissions in a client account"
  }
  assert {
    condition     = jsonencode({ for name, pattern in output.event_patterns : name => jsondecode(pattern) }) == jsonencode({ for name in ["Calls", "InstanceState", "TagChange"] : name => jsondecode(file("../../../../mirror-sessions/tests/golden/member.template.json")).Resources["${name}Rule"].Properties.EventPattern })
    error_message = "the events"
  }
}
