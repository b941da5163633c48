mock_provider "aws" {
  source = "../../../mocks"
}

override_data {
  target = module.client.data.aws_subnet.endpoint["euw1-az2"]
  values = { id = "subnet-0bbbbbbbbbbbbbbbb", availability_zone_id = "euw1-az2", vpc_id = "vpc-0123456789abcdef0" }
}

override_data {
  target = module.client.data.aws_caller_identity.this
  values = { account_id = "222222222222" }
}

variables {
  hub_file    = "tests/hub.json"
  account     = "222222222222"
  external_id = "change-this-secret-of-client-2"
  vpc_id      = "vpc-0123456789abcdef0"
  endpoint_subnets = {
    euw1-az1 = "subnet-0aaaaaaaaaaaaaaaa"
    euw1-az2 = "subnet-0bbbbbbbbbbbbbbbb"
  }
}

run "client" {
  command = apply
  assert {
    condition     = output.client.role_arn == "arn:aws:iam::222222222222:role/mirror-sessions" && toset(keys(output.client.endpoints)) == toset(["euw1-az1", "euw1-az2"])
    error_message = "what the hub's policy is made of"
  }
}
