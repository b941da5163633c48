mock_provider "aws" {
  source = "../../mocks"
}

variables {
  owner            = "inspection"
  policy           = "owner = \"inspection\"\n"
  client_roles     = { "222222222222" = "arn:aws:iam::222222222222:role/mirror-sessions" }
  program_file     = "tests/mirror-sessions"
  bucket           = { name = "inspection-mock", arn = "arn:aws:s3:::inspection-mock" }
  key_arn          = "arn:aws:kms:eu-west-1:111111111111:key/01234567-89ab-cdef-0123-456789abcdef"
  vpc_id           = "vpc-0123456789abcdef0"
  subnet_ids       = ["subnet-0aaaaaaaaaaaaaaaa"]
  alarm_topic_arns = ["arn:aws:sns:eu-west-1:111111111111:inspection-alarms"]
}

run "bad_owner" {
  command = plan
  variables {
    owner  = "A"
    policy = "owner = \"A\"\n"
  }
  expect_failures = [var.owner]
}

run "policy_of_another_owner" {
  command = plan
  variables {
    policy = "owner = \"other\"\n"
  }
  expect_failures = [var.policy]
}

run "role_of_another_account" {
  command = plan
  variables {
    client_roles = { "222222222222" = "arn:aws:iam::333333333333:role/mirror-sessions" }
  }
  expect_failures = [var.client_roles]
}

run "unknown_form" {
  command = plan
  variables {
    run_as = "cron"
  }
  expect_failures = [var.run_as]
}

run "lambda_with_a_map" {
  command = plan
  variables {
    run_as = "lambda"
  }
  expect_failures = [var.bucket]
}

run "instance_without_a_bucket" {
  command = plan
  variables {
    bucket = null
  }
  expect_failures = [var.bucket]
}

run "interval_too_short" {
  command = plan
  variables {
    interval = 59
  }
  expect_failures = [var.interval]
}

run "no_subnets" {
  command = plan
  variables {
    subnet_ids = []
  }
  expect_failures = [var.subnet_ids]
}

run "no_program" {
  command = plan
  variables {
    program_file = null
  }
  expect_failures = [var.program_file]
}

run "no_container_image" {
  command = plan
  variables {
    run_as = "container"
  }
  expect_failures = [var.container_image]
}

run "policy_too_long_for_user_data" {
  command = apply
  variables {
    policy = "owner = \"inspection\"\n${join("", [for number in range(1000) : sha256(tostring(number))])}"
  }
  expect_failures = [aws_launch_template.manager]
}
