# The variables are those of terraform.tfvars, as in the guide.
mock_provider "aws" {
  source = "../../../mocks"
}

override_data {
  target = module.central.data.aws_subnet.given["eu-west-1b"]
  values = { availability_zone = "eu-west-1b", availability_zone_id = "euw1-az2", vpc_id = "vpc-0123456789abcdef0", cidr_block = "10.255.1.0/24" }
}

variables {
  package_file = "tests/mirror-capture.deb"
  program_file = "tests/mirror-sessions"
}

run "before_the_clients" {
  command = apply
  assert {
    condition     = output.hub.account == "111111111111" && output.hub.region == "eu-west-1"
    error_message = "what the clients are told"
  }
  assert {
    condition     = !strcontains(output.policy, "[[rule]]") && strcontains(output.policy, "id = \"111111111111\"")
    error_message = "nothing is mirrored yet"
  }
}

run "with_the_clients" {
  command = apply
  variables {
    clients_folder = "tests/clients"
  }
  assert {
    condition     = strcontains(output.policy, "{ id = \"vpce-03bbbbbbbbbbbbbbb\", zone = \"euw1-az2\", region = \"eu-west-1\", account = \"333333333333\" },")
    error_message = "the endpoints of both clients"
  }
}
