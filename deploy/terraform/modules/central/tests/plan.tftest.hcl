mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name            = "inspection"
  vpc_cidr        = "10.255.0.0/20"
  zones           = ["eu-west-1a", "eu-west-1b"]
  client_accounts = ["222222222222", "333333333333"]
}

run "defaults" {
  command = apply

  assert {
    condition     = aws_lb.this.load_balancer_type == "gateway" && aws_lb.this.enable_cross_zone_load_balancing && length(aws_lb.this.subnets) > 0
    error_message = "a Gateway Load Balancer in all zones"
  }
  assert {
    condition     = aws_lb_target_group.this.protocol == "GENEVE" && aws_lb_target_group.this.port == 6081
    error_message = "GENEVE on 6081"
  }
  assert {
    condition     = one(aws_lb_target_group.this.health_check).port == "6080" && one(aws_lb_target_group.this.health_check).path == "/health" && one(aws_lb_target_group.this.health_check).protocol == "HTTP"
    error_message = "health by the daemon's own word"
  }
  assert {
    condition     = length(aws_lb_target_group.this.stickiness) == 0
    error_message = "the 5-tuple: no stickiness block"
  }
  assert {
    condition     = { for zone, subnet in aws_subnet.appliances : zone => subnet.cidr_block } == { eu-west-1a = "10.255.0.0/24", eu-west-1b = "10.255.1.0/24" }
    error_message = "a subnet for each zone"
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 0 && length(aws_internet_gateway.this) == 0
    error_message = "no way to the internet unless asked for"
  }
  assert {
    condition     = toset([for principal in aws_vpc_endpoint_service_allowed_principal.client : principal.principal_arn]) == toset(["arn:aws:iam::222222222222:root", "arn:aws:iam::333333333333:root"])
    error_message = "the clients may connect, and nobody else"
  }
  assert {
    condition = toset([for rule in concat(values(aws_vpc_security_group_ingress_rule.geneve), values(aws_vpc_security_group_ingress_rule.health)) : "${rule.ip_protocol} ${rule.from_port}-${rule.to_port} ${rule.cidr_ipv4}"]) == toset([
      "udp 6081-6081 10.255.0.0/24", "udp 6081-6081 10.255.1.0/24", "tcp 6080-6080 10.255.0.0/24", "tcp 6080-6080 10.255.1.0/24",
    ])
    error_message = "GENEVE and health from the load balancer's subnets, and nothing else: no SSH"
  }
  assert {
    condition     = length(aws_vpc_security_group_egress_rule.geneve) == 0
    error_message = "nothing goes back unless inline"
  }
  assert {
    condition     = aws_launch_template.appliance.image_id == "ami-0123456789abcdef0"
    error_message = "the image that the parameter names"
  }
  assert {
    condition     = one(aws_launch_template.appliance.metadata_options).http_tokens == "required" && one(aws_launch_template.appliance.metadata_options).http_put_response_hop_limit == 1
    error_message = "IMDSv2 only"
  }
  assert {
    condition     = one(one(aws_launch_template.appliance.block_device_mappings).ebs).encrypted == "true" && aws_launch_template.appliance.key_name == null
    error_message = "encrypted volumes, no key for SSH"
  }
  assert {
    condition     = one(aws_autoscaling_group.appliances.initial_lifecycle_hook).heartbeat_timeout == 60 + 30 + 120
    error_message = "time for deregistration and drain"
  }
  assert {
    condition     = one(one(aws_autoscaling_policy.packets.target_tracking_configuration).customized_metric_specification).metric_name == "NetworkPacketsIn" && one(aws_autoscaling_policy.packets.target_tracking_configuration).target_value == 30000000
    error_message = "packets per minute"
  }
  assert {
    condition     = length(output.tcp_reset_commands) == 0
    error_message = "no resets together with rebalance"
  }
  assert {
    condition     = output.security_lake == null && length(aws_iam_role.crawler) == 0
    error_message = "Security Lake only when asked for"
  }
  # cloud-init's own form, and in it what the modules promise.
  assert {
    condition     = startswith(output.user_data, "#cloud-config\n") && contains([for file in yamldecode(output.user_data).write_files : file.path], "/etc/mirror/mirror-capture.toml")
    error_message = "the configuration is written at boot"
  }
  assert {
    condition     = yamldecode(output.user_data).runcmd[1] == ["mirror-capture", "config", "check", "/etc/mirror/mirror-capture.toml"]
    error_message = "without package_file, the image has the program"
  }
}

run "one_with_everything" {
  command = apply
  variables {
    internet     = true
    inline       = true
    tcp_resets   = true
    failover     = { on_deregistration = "no_rebalance", on_unhealthy = "no_rebalance" }
    package_file = "tests/mirror-capture.deb"
    log_bucket   = "logs"
    security_lake = {
      external_id = "0123456789"
      principal   = "111111111111"
      bucket_arn  = "arn:aws:s3:::aws-security-data-lake-eu-west-1-mock"
    }
    capture = {
      snap_length = 200
      rules       = [{ gwlbe_id = "0123456789abcdef", vni = 7, records = [] }, { vni = 8, payload = false }]
    }
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 2 && length(aws_subnet.public) == 2
    error_message = "a NAT gateway in each zone"
  }
  assert {
    condition     = length(aws_vpc_security_group_egress_rule.geneve) == 2
    error_message = "packets may go back"
  }
  assert {
    condition = output.tcp_reset_commands == tolist([
      "aws elbv2 modify-target-group-attributes --region eu-west-1 --target-group-arn ${aws_lb_target_group.this.arn} --attributes Key=send_tcp_reset.on_unhealthy,Value=true Key=send_tcp_reset.on_deregistration,Value=true",
      "aws elbv2 modify-listener-attributes --region eu-west-1 --listener-arn ${aws_lb_listener.this.arn} --attributes Key=send_tcp_reset.on_idle_timeout,Value=true",
    ])
    error_message = "commands of the resets"
  }
  assert {
    condition     = yamldecode(output.user_data).runcmd[1] == ["apt-get", "install", "--yes", "/var/tmp/mirror-capture.deb"] && aws_s3_object.package[0].key == "fleet/packages/${filesha256("tests/mirror-capture.deb")}/mirror-capture.deb"
    error_message = "the package is uploaded and installed, and its key tells its contents"
  }
  assert {
    condition     = aws_iam_role.crawler[0].name == "AmazonSecurityLakeCustomDataGlueCrawler-inspection" && length(aws_securitylake_custom_log_source.this) == 1
    error_message = "a custom source"
  }
}

run "existing_vpc" {
  command = plan
  variables {
    vpc_cidr    = null
    zones       = []
    vpc_id      = "vpc-0123456789abcdef0"
    subnet_ids  = { eu-west-1a = "subnet-0aaaaaaaaaaaaaaaa" }
    single_zone = true
  }
  assert {
    condition     = length(aws_vpc.this) == 0 && length(aws_vpc_endpoint.api) == 0 && toset(aws_lb.this.subnets) == toset(["subnet-0aaaaaaaaaaaaaaaa"])
    error_message = "nothing of a network is created"
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.geneve["eu-west-1a"].cidr_ipv4 == "10.255.0.0/24"
    error_message = "the network of the given subnet"
  }
}

run "subnet_of_another_zone" {
  command = plan
  variables {
    vpc_cidr    = null
    zones       = []
    vpc_id      = "vpc-0123456789abcdef0"
    subnet_ids  = { eu-west-1c = "subnet-0aaaaaaaaaaaaaaaa" }
    single_zone = true
  }
  expect_failures = [data.aws_subnet.given]
}
