data "aws_region" "this" {}

data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

locals {
  account      = data.aws_caller_identity.this.account_id
  partition    = data.aws_partition.this.partition
  manager_role = coalesce(var.hub.manager_role, "arn:${local.partition}:iam::${var.hub.account}:role/mirror-sessions-${var.owner}-manager")
  forward_role = "mirror-sessions-${var.owner}-forward"
  hub_bus      = "arn:${local.partition}:events:${var.hub.region}:${var.hub.account}:event-bus/default"
}

module "permissions" {
  source    = "../permissions"
  owner     = var.owner
  account   = local.account
  partition = local.partition
}

# Endpoints

data "aws_subnet" "endpoint" {
  for_each = var.endpoint_subnets
  id       = each.value

  lifecycle {
    postcondition {
      condition     = self.availability_zone_id == each.key
      error_message = "Subnet ${each.value} is not in zone ${each.key}, but in ${self.availability_zone_id}."
    }
    postcondition {
      condition     = length(var.service_zones) == 0 || contains(var.service_zones, self.availability_zone_id)
      error_message = "The load balancer is not in zone ${each.key}, and AWS refuses an endpoint there."
    }
    postcondition {
      condition     = self.vpc_id == var.vpc_id
      error_message = "Subnet ${each.value} is not in VPC ${var.vpc_id}."
    }
  }
}

resource "aws_vpc_endpoint" "this" {
  for_each          = var.endpoint_subnets
  vpc_id            = var.vpc_id
  service_name      = var.service_name
  vpc_endpoint_type = "GatewayLoadBalancer"
  # One subnet each, which is all that AWS allows for this type.
  subnet_ids = [data.aws_subnet.endpoint[each.key].id]
  tags       = merge(var.tags, { Name = "mirror-${var.owner}-${each.key}" })
}

# The role that mirror-sessions assumes here

resource "aws_iam_role" "sessions" {
  count = var.create_roles ? 1 : 0
  name  = "mirror-sessions"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { AWS = local.manager_role }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "sts:ExternalId" = var.external_id } }
    }]
  })
  tags = var.tags
}

resource "aws_iam_role_policy" "sessions" {
  count  = var.create_roles ? 1 : 0
  name   = "mirror"
  role   = aws_iam_role.sessions[0].id
  policy = module.permissions.json
}

# Events

resource "aws_iam_role" "forward" {
  count = var.create_roles ? 1 : 0
  name  = local.forward_role
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "events.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
  tags = var.tags
}

resource "aws_iam_role_policy" "forward" {
  count = var.create_roles ? 1 : 0
  name  = "forward"
  role  = aws_iam_role.forward[0].id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "events:PutEvents", Resource = local.hub_bus }]
  })
}

resource "aws_cloudwatch_event_rule" "forward" {
  for_each      = module.permissions.event_patterns
  name          = "mirror-sessions-${var.owner}-${each.key}"
  description   = "Tells mirror-sessions in ${var.hub.account} of changes"
  event_pattern = each.value
  tags          = var.tags
}

resource "aws_cloudwatch_event_target" "forward" {
  for_each   = aws_cloudwatch_event_rule.forward
  rule       = each.value.name
  target_id  = "hub"
  arn        = local.hub_bus
  role_arn   = "arn:${local.partition}:iam::${local.account}:role/${local.forward_role}"
  depends_on = [aws_iam_role_policy.forward]
}

# For sessions that are made by hand

resource "aws_ec2_traffic_mirror_target" "this" {
  for_each                          = var.mirror_targets ? aws_vpc_endpoint.this : {}
  description                       = "${var.owner} ${each.key}"
  gateway_load_balancer_endpoint_id = each.value.id
  tags                              = merge(var.tags, { Name = "${var.owner}-${each.key}" })
}

resource "aws_ec2_traffic_mirror_filter" "this" {
  for_each         = var.filters
  description      = "${var.owner} ${each.key}"
  network_services = ["amazon-dns"]
  tags             = merge(var.tags, { Name = "${var.owner}-${each.key}" })
}

locals {
  filter_rules = merge([
    for name, rules in var.filters : { for index, rule in rules : "${name}/${index}" => merge(rule, { filter = name, number = 100 + index }) }
  ]...)
}

resource "aws_ec2_traffic_mirror_filter_rule" "this" {
  for_each                 = local.filter_rules
  traffic_mirror_filter_id = aws_ec2_traffic_mirror_filter.this[each.value.filter].id
  description              = "${var.owner} ${each.key}"
  traffic_direction        = each.value.direction
  rule_number              = each.value.number
  rule_action              = each.value.action
  protocol                 = each.value.protocol
  source_cidr_block        = each.value.source
  destination_cidr_block   = each.value.destination
}
