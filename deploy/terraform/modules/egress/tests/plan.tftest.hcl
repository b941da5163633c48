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

run "off_by_default" {
  command = apply
  assert {
    condition     = length(output.endpoint_ids) == 0 && output.attachment_id == null && length(aws_route_table.endpoint) == 0 && length(aws_nat_gateway.this) == 0
    error_message = "nothing is created"
  }
}

run "hub_and_spoke" {
  command = plan
  variables {
    enabled                = true
    daemon_returns_packets = true
  }
  assert {
    condition     = aws_ec2_transit_gateway_vpc_attachment.this[0].appliance_mode_support == "enable"
    error_message = "both directions in one zone"
  }
  assert {
    condition     = length(aws_vpc_endpoint.this) == 2 && length(aws_nat_gateway.this) == 2
    error_message = "each zone has its own"
  }
  assert {
    condition     = toset(keys(aws_route.answer)) == toset(["eu-west-1a/10.0.0.0/16", "eu-west-1a/10.1.0.0/16", "eu-west-1b/10.0.0.0/16", "eu-west-1b/10.1.0.0/16"]) && keys(aws_route.answer) == keys(aws_route.to_spoke)
    error_message = "answers to each spoke pass the endpoint of their zone"
  }
  assert {
    condition     = length(aws_route_table.ingress) == 0
    error_message = "nothing of the other mode"
  }
}

run "internet_gateway" {
  command = plan
  variables {
    enabled                = true
    daemon_returns_packets = true
    mode                   = "internet_gateway"
    zones = {
      eu-west-1a = { endpoint_subnet = "subnet-0a", workload_subnets = { subnet-3a = "10.0.1.0/24", subnet-4a = "10.0.2.0/24" } }
      eu-west-1b = { endpoint_subnet = "subnet-0b", workload_subnets = { subnet-3b = "10.0.3.0/24" } }
    }
  }
  assert {
    condition     = { for subnet, route in aws_route.ingress : subnet => route.destination_cidr_block } == { subnet-3a = "10.0.1.0/24", subnet-4a = "10.0.2.0/24", subnet-3b = "10.0.3.0/24" }
    error_message = "what comes in passes the endpoint of its zone"
  }
  assert {
    condition     = aws_route_table_association.ingress[0].gateway_id == "igw-0123456789abcdef0" && length(aws_ec2_transit_gateway_vpc_attachment.this) == 0
    error_message = "the table is the internet gateway's"
  }
}
