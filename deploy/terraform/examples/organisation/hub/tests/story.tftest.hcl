# The variables are those of terraform.tfvars, as in the guide.
mock_provider "aws" {
  source = "../../../mocks"
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
    condition     = output.policy == file("tests/policy-without-clients.toml")
    error_message = "nothing is mirrored yet"
  }
}

run "with_the_clients" {
  command = apply
  variables {
    clients_folder = "tests/clients"
  }
  # These files are checked by mirror-sessions and by `mirror-capture config check`.
  assert {
    condition     = output.policy == file("tests/policy.toml")
    error_message = "the policy with the endpoints of both clients"
  }
  assert {
    condition     = output.configuration == file("tests/mirror-capture.toml")
    error_message = "the daemon's configuration"
  }
}
