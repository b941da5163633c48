mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                = "egress"
  service_name        = "com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0"
  vpc_id              = "vpc-0123456789abcdef0"
  transit_gateway_id  = "tgw-0123456789abcdef0"
  internet_gateway_id = "igw-0123456789abcdef0"
  spoke_cidrs         = ["10.0.0.0/16", "10.1.0.0/16"]
  zones = {
    eu-west-1a = { endpoint_subnet = "subnet-0a", attachment_subnet = "subnet-1a", public_subnet = "subnet-2a" }
    eu-west-1b = { endpoint_subnet = "subnet-0b", attachment_subnet = "subnet-1b", public_subnet = "subnet-2b" }
  }
}

run "routes_to_appliances_that_return_nothing" {
  command = plan
  variables {
    enabled = true
  }
  expect_failures = [var.enabled]
}

run "unknown_mode" {
  command = plan
  variables {
    mode = "peering"
  }
  expect_failures = [var.mode]
}

run "one_zone_without_a_yes" {
  command = plan
  variables {
    zones = { eu-west-1a = { endpoint_subnet = "subnet-0a", attachment_subnet = "subnet-1a", public_subnet = "subnet-2a" } }
  }
  expect_failures = [var.zones]
}

run "zone_without_attachment" {
  command = plan
  variables {
    zones = { a = { endpoint_subnet = "subnet-0a" }, b = { endpoint_subnet = "subnet-0b" } }
  }
  expect_failures = [var.zones]
}

run "internet_gateway_without_workloads" {
  command = plan
  variables {
    mode = "internet_gateway"
  }
  expect_failures = [var.zones]
}

run "no_transit_gateway" {
  command = plan
  variables {
    transit_gateway_id = null
  }
  expect_failures = [var.transit_gateway_id]
}

run "answers_past_the_appliances" {
  command = plan
  variables {
    spoke_cidrs = []
  }
  expect_failures = [var.spoke_cidrs]
}

run "no_internet_gateway" {
  command = plan
  variables {
    internet_gateway_id = "nat-0123"
  }
  expect_failures = [var.internet_gateway_id]
}
