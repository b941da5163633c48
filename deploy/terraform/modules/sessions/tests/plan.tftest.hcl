mock_provider "aws" {
  source = "../../mocks"
}

variables {
  owner            = "inspection"
  policy           = "owner = \"inspection\"\n"
  client_roles     = { "222222222222" = "arn:aws:iam::222222222222:role/mirror-sessions", "333333333333" = "arn:aws:iam::333333333333:role/mirror-sessions" }
  program_file     = "tests/mirror-sessions"
  bucket           = { name = "inspection-mock", arn = "arn:aws:s3:::inspection-mock" }
  key_arn          = "arn:aws:kms:eu-west-1:111111111111:key/01234567-89ab-cdef-0123-456789abcdef"
  vpc_id           = "vpc-0123456789abcdef0"
  subnet_ids       = ["subnet-0aaaaaaaaaaaaaaaa"]
  alarm_topic_arns = ["arn:aws:sns:eu-west-1:111111111111:inspection-alarms"]
}

run "instance" {
  command = apply
  assert {
    condition     = aws_sqs_queue.events.visibility_timeout_seconds == 120 && jsondecode(aws_sqs_queue.events.redrive_policy).maxReceiveCount == 10
    error_message = "as in the templates of mirror-sessions init"
  }
  assert {
    condition     = toset(keys(aws_cloudwatch_event_rule.events)) == toset(["InstanceState", "TagChange", "Calls"]) && toset(keys(aws_cloudwatch_event_permission.client)) == toset(["222222222222", "333333333333"])
    error_message = "events of this account and of the clients"
  }
  assert {
    condition     = [for statement in jsondecode(aws_iam_role_policy.manage.policy).Statement : statement.Sid] == ["Queue", "SetAside", "Members"]
    error_message = "the manager's own permissions"
  }
  assert {
    condition     = aws_autoscaling_group.manager[0].max_size == 1 && length(aws_ecs_service.manager) + length(aws_lambda_function.manager) == 0
    error_message = "one instance, and nothing else"
  }
  assert {
    condition     = contains(flatten(yamldecode(output.user_data).runcmd), "mirror-sessions.service") && [for file in yamldecode(output.user_data).write_files : file.content if file.path == "/etc/mirror-sessions/policy.toml"] == [var.policy]
    error_message = "the policy and the service"
  }
  assert {
    condition     = jsonencode([jsondecode(aws_iam_role_policy.manage.policy), jsondecode(aws_iam_role_policy.mirror.policy)]) == replace(replace(replace(replace(replace(jsonencode(jsondecode(file("../../../../mirror-sessions/tests/golden/hub.template.json")).Resources.Manager.Properties.Policies[*].PolicyDocument), "/\\{\"Fn::Sub\":(\"[^\"]*\")\\}/", "$1"), "$${AWS::Partition}", "aws"), "$${AWS::AccountId}", "111111111111"), "$${AWS::Region}", "eu-west-1"), "/\\{\"Fn::GetAtt\":[^}]*\\}/", jsonencode(aws_sqs_queue.events.arn))
    error_message = "the manager's permissions are those of the CloudFormation template"
  }
  assert {
    condition     = jsonencode(jsondecode(aws_iam_role.manager.assume_role_policy)) == jsonencode(jsondecode(file("../../../../mirror-sessions/tests/golden/hub.template.json")).Resources.Manager.Properties.AssumeRolePolicyDocument)
    error_message = "and so is who may assume its role"
  }
}

run "container" {
  command = apply
  variables {
    run_as          = "container"
    program_file    = null
    container_image = "111111111111.dkr.ecr.eu-west-1.amazonaws.com/mirror-sessions@sha256:0123"
  }
  assert {
    condition     = [for container in jsondecode(aws_ecs_task_definition.manager[0].container_definitions) : container.name] == ["mirror-sessions", "publisher"] && length(aws_autoscaling_group.manager) == 0
    error_message = "the manager and the publisher of its map"
  }
  assert {
    condition     = one(aws_ecs_service.manager[0].network_configuration).assign_public_ip == false && aws_ecs_service.manager[0].deployment_maximum_percent == 100
    error_message = "one at a time, without a public address"
  }
  assert {
    condition     = output.user_data == null
    error_message = "no instance"
  }
}

run "lambda" {
  command = apply
  variables {
    run_as   = "lambda"
    bucket   = null
    key_arn  = null
    interval = 600
  }
  assert {
    condition     = aws_cloudwatch_event_rule.schedule[0].schedule_expression == "rate(10 minutes)" && aws_lambda_function.manager[0].timeout < aws_sqs_queue.events.visibility_timeout_seconds
    error_message = "a schedule, and a time below the visibility timeout"
  }
  assert {
    condition     = [for statement in jsondecode(aws_iam_role_policy.manage.policy).Statement : statement.Sid] == ["Queue", "Members", "Log"] && length(aws_iam_role_policy.publish) == 0
    error_message = "its own permissions"
  }
  assert {
    condition     = jsonencode([jsondecode(aws_iam_role_policy.manage.policy), jsondecode(aws_iam_role_policy.mirror.policy)]) == replace(replace(replace(replace(replace(jsonencode(jsondecode(file("../../../../mirror-sessions/tests/golden/hub-lambda.template.json")).Resources.Manager.Properties.Policies[*].PolicyDocument), "/\\{\"Fn::Sub\":(\"[^\"]*\")\\}/", "$1"), "$${AWS::Partition}", "aws"), "$${AWS::AccountId}", "111111111111"), "$${AWS::Region}", "eu-west-1"), "/\\{\"Fn::GetAtt\":[^}]*\\}/", jsonencode(aws_sqs_queue.events.arn))
    error_message = "the manager's permissions are those of the CloudFormation template"
  }
  assert {
    condition     = jsonencode(jsondecode(aws_iam_role.manager.assume_role_policy)) == jsonencode(jsondecode(file("../../../../mirror-sessions/tests/golden/hub-lambda.template.json")).Resources.Manager.Properties.AssumeRolePolicyDocument)
    error_message = "and so is who may assume its role"
  }
}
