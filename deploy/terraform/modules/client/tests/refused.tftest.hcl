# What AWS refuses, or what would not be mirrored.

mock_provider "aws" {
  source = "../../mocks"
}

variables {
  owner            = "inspection"
  hub              = { account = "111111111111", region = "eu-west-1" }
  external_id      = "something only two know"
  service_name     = "com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0"
  vpc_id           = "vpc-0123456789abcdef0"
  endpoint_subnets = { euw1-az1 = "subnet-0aaaaaaaaaaaaaaaa" }
  single_zone      = true
}

run "bad_owner" {
  command = plan
  variables {
    owner = "Inspection!"
  }
  expect_failures = [var.owner]
}

run "no_account_number" {
  command = plan
  variables {
    hub = { account = "1", region = "eu-west-1" }
  }
  expect_failures = [var.hub]
}

run "external_id_too_short" {
  command = plan
  variables {
    external_id = "short"
  }
  expect_failures = [var.external_id]
}

run "no_service" {
  command = plan
  variables {
    service_name = "com.amazonaws.eu-west-1.s3"
  }
  expect_failures = [var.service_name]
}

run "service_of_another_region" {
  command = plan
  variables {
    service_name = "com.amazonaws.vpce.eu-west-2.vpce-svc-0123456789abcdef0"
  }
  expect_failures = [var.service_name]
}

run "no_endpoint" {
  command = plan
  variables {
    endpoint_subnets = {}
  }
  expect_failures = [var.endpoint_subnets]
}

run "zone_without_the_load_balancer" {
  command = plan
  variables {
    service_zones = ["euw1-az2"]
  }
  expect_failures = [data.aws_subnet.endpoint]
}

run "one_zone_without_a_yes" {
  command = plan
  variables {
    single_zone = false
  }
  expect_failures = [var.single_zone]
}

run "subnet_of_another_vpc" {
  command = plan
  variables {
    vpc_id = "vpc-0fedcba9876543210"
  }
  expect_failures = [data.aws_subnet.endpoint]
}

run "subnet_of_another_zone" {
  command = plan
  variables {
    endpoint_subnets = { euw1-az3 = "subnet-0aaaaaaaaaaaaaaaa" }
  }
  expect_failures = [data.aws_subnet.endpoint]
}

run "filter_without_rules" {
  command = plan
  variables {
    filters = { none = [] }
  }
  expect_failures = [var.filters]
}

run "filter_of_no_direction" {
  command = plan
  variables {
    filters = { odd = [{ direction = "sideways" }] }
  }
  expect_failures = [var.filters]
}
