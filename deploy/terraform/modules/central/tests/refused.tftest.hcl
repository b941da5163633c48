# Combinations that AWS refuses, or that lose packets: each is refused by the variable that it is about.

mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name            = "inspection"
  vpc_cidr        = "10.255.0.0/20"
  zones           = ["eu-west-1a", "eu-west-1b"]
  client_accounts = ["222222222222"]
}

run "bad_name" {
  command = plan
  variables {
    name = "Not Valid"
  }
  expect_failures = [var.name]
}

run "vpc_given_twice" {
  command = plan
  variables {
    vpc_id     = "vpc-0123456789abcdef0"
    subnet_ids = { eu-west-1a = "subnet-0aaaaaaaaaaaaaaaa" }
  }
  expect_failures = [var.vpc_cidr]
}

run "no_vpc" {
  command = plan
  variables {
    vpc_cidr    = null
    zones       = []
    single_zone = true
  }
  expect_failures = [var.vpc_cidr]
}

run "vpc_too_small" {
  command = plan
  variables {
    vpc_cidr = "10.0.0.0/28"
  }
  expect_failures = [var.vpc_cidr]
}

run "zones_without_vpc_cidr" {
  command = plan
  variables {
    vpc_cidr   = null
    vpc_id     = "vpc-0123456789abcdef0"
    subnet_ids = { eu-west-1a = "subnet-0aaaaaaaaaaaaaaaa" }
  }
  expect_failures = [var.zones]
}

run "zone_twice" {
  command = plan
  variables {
    zones = ["eu-west-1a", "eu-west-1a"]
  }
  expect_failures = [var.zones]
}

run "vpc_without_subnets" {
  command = plan
  variables {
    vpc_cidr    = null
    vpc_id      = "vpc-0123456789abcdef0"
    zones       = []
    single_zone = true
  }
  expect_failures = [var.subnet_ids]
}

run "one_zone_without_a_yes" {
  command = plan
  variables {
    zones = ["eu-west-1a"]
  }
  expect_failures = [var.single_zone]
}

run "no_account_number" {
  command = plan
  variables {
    client_accounts = ["2222"]
  }
  expect_failures = [var.client_accounts]
}

run "health_on_the_port_of_geneve" {
  command = plan
  variables {
    admin_port = 6081
  }
  expect_failures = [var.admin_port]
}

run "health_timeout_equals_interval" {
  command = plan
  variables {
    health_check = { interval = 10, timeout = 10 }
  }
  expect_failures = [var.health_check]
}

run "health_interval_too_short" {
  command = plan
  variables {
    health_check = { interval = 4, timeout = 2 }
  }
  expect_failures = [var.health_check]
}

run "health_by_one_check" {
  command = plan
  variables {
    health_check = { unhealthy = 1 }
  }
  expect_failures = [var.health_check]
}

run "unequal_failover" {
  command = plan
  variables {
    failover = { on_deregistration = "no_rebalance", on_unhealthy = "rebalance" }
  }
  expect_failures = [var.failover]
}

run "unknown_failover" {
  command = plan
  variables {
    failover = { on_deregistration = "drop", on_unhealthy = "drop" }
  }
  expect_failures = [var.failover]
}

run "unknown_stickiness" {
  command = plan
  variables {
    stickiness = "source_ip"
  }
  expect_failures = [var.stickiness]
}

run "stickiness_with_appliance_mode" {
  command = plan
  variables {
    stickiness                     = "source_ip_dest_ip"
    transit_gateway_appliance_mode = true
  }
  expect_failures = [var.transit_gateway_appliance_mode]
}

run "three_tuple_with_appliance_mode" {
  command = plan
  variables {
    stickiness                     = "source_ip_dest_ip_proto"
    transit_gateway_appliance_mode = true
  }
  expect_failures = [var.transit_gateway_appliance_mode]
}

run "resets_with_rebalance" {
  command = plan
  variables {
    tcp_resets = true
    inline     = true
  }
  expect_failures = [var.tcp_resets]
}

run "resets_with_stickiness" {
  command = plan
  variables {
    tcp_resets = true
    inline     = true
    failover   = { on_deregistration = "no_rebalance", on_unhealthy = "no_rebalance" }
    stickiness = "source_ip_dest_ip_proto"
  }
  expect_failures = [var.tcp_resets]
}

run "resets_of_mirrored_traffic" {
  command = plan
  variables {
    tcp_resets = true
    failover   = { on_deregistration = "no_rebalance", on_unhealthy = "no_rebalance" }
  }
  expect_failures = [var.tcp_resets]
}

run "idle_timeout_too_short" {
  command = plan
  variables {
    tcp_idle_timeout = 59
  }
  expect_failures = [var.tcp_idle_timeout]
}

run "deregistration_below_the_drain" {
  command = plan
  variables {
    deregistration_delay = 20
    drain_timeout        = 30
  }
  expect_failures = [var.deregistration_delay]
}

run "deregistration_too_long" {
  command = plan
  variables {
    deregistration_delay = 3601
  }
  expect_failures = [var.deregistration_delay]
}

run "no_image" {
  command = plan
  variables {
    image = "debian"
  }
  expect_failures = [var.image]
}

run "no_package" {
  command = plan
  variables {
    package_file = "mirror-capture.tar"
  }
  expect_failures = [var.package_file]
}

run "burstable_instances" {
  command = plan
  variables {
    instance_type = "t3.large"
  }
  expect_failures = [var.instance_type]
}

run "arm_instances_with_an_x86_image" {
  command = plan
  variables {
    instance_type = "c7gn.2xlarge"
  }
  expect_failures = [var.instance_type]
}

run "no_appliances" {
  command = plan
  variables {
    fleet = { min = 0 }
  }
  expect_failures = [var.fleet]
}

run "no_room_for_an_upgrade" {
  command = plan
  variables {
    fleet = { min = 2, max = 2 }
  }
  expect_failures = [var.fleet]
}

run "zone_without_an_appliance" {
  command = plan
  variables {
    cross_zone = false
    fleet      = { min = 1, max = 4 }
  }
  expect_failures = [var.fleet]
}

run "too_few_packets" {
  command = plan
  variables {
    packets_per_second = 10
  }
  expect_failures = [var.packets_per_second]
}

run "mtu_below_the_tunnel" {
  command = plan
  variables {
    mtu = 8567
  }
  expect_failures = [var.mtu]
}

run "mtu_above_jumbo_frames" {
  command = plan
  variables {
    mtu = 9002
  }
  expect_failures = [var.mtu]
}

run "drain_too_long" {
  command = plan
  variables {
    drain_timeout        = 601
    deregistration_delay = 700
  }
  expect_failures = [var.drain_timeout]
}
