data "aws_region" "this" {}

data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

locals {
  account   = data.aws_caller_identity.this.account_id
  region    = data.aws_region.this.region
  partition = data.aws_partition.this.partition
  created   = var.vpc_cidr != null
  # Index of each zone, by which its subnets are cut.
  zones      = { for index, zone in var.zones : zone => index }
  vpc_id     = local.created ? aws_vpc.this[0].id : var.vpc_id
  subnet_ids = local.created ? { for zone, subnet in aws_subnet.appliances : zone => subnet.id } : var.subnet_ids
  zone_ids   = local.created ? [for subnet in aws_subnet.appliances : subnet.availability_zone_id] : [for subnet in data.aws_subnet.given : subnet.availability_zone_id]
  # The load balancer's nodes send from these networks.
  subnet_cidrs = local.created ? { for zone, subnet in aws_subnet.appliances : zone => subnet.cidr_block } : { for zone, subnet in data.aws_subnet.given : zone => subnet.cidr_block }
}

data "aws_subnet" "given" {
  for_each = var.subnet_ids
  id       = each.value

  lifecycle {
    postcondition {
      condition     = self.availability_zone == each.key
      error_message = "Subnet ${each.value} is not in zone ${each.key}, but in ${self.availability_zone}."
    }
    postcondition {
      condition     = self.vpc_id == var.vpc_id
      error_message = "Subnet ${each.value} is not in VPC ${var.vpc_id}."
    }
  }
}

data "aws_vpc" "given" {
  count = local.created ? 0 : 1
  id    = var.vpc_id
}

resource "aws_vpc" "this" {
  count                = local.created ? 1 : 0
  cidr_block           = var.vpc_cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = merge(var.tags, { Name = var.name })
}

# Who talks to the appliances, as the network sees it.
resource "aws_flow_log" "this" {
  count                    = local.created ? 1 : 0
  vpc_id                   = aws_vpc.this[0].id
  traffic_type             = "ALL"
  log_destination_type     = "s3"
  log_destination          = "${aws_s3_bucket.this.arn}/flow-logs/"
  max_aggregation_interval = 600
  tags                     = merge(var.tags, { Name = var.name })
  depends_on               = [aws_s3_bucket_policy.this]

  destination_options {
    file_format        = "parquet"
    per_hour_partition = true
  }
}

# Nothing uses the default security group: without rules, nothing can by mistake.
resource "aws_default_security_group" "this" {
  count  = local.created ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = merge(var.tags, { Name = "${var.name}-unused" })
}

resource "aws_subnet" "appliances" {
  for_each          = local.zones
  vpc_id            = aws_vpc.this[0].id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.vpc_cidr, 4, each.value)
  tags              = merge(var.tags, { Name = "${var.name}-${each.key}" })
}

resource "aws_route_table" "appliances" {
  for_each = local.zones
  vpc_id   = aws_vpc.this[0].id
  tags     = merge(var.tags, { Name = "${var.name}-${each.key}" })
}

resource "aws_route_table_association" "appliances" {
  for_each       = local.zones
  subnet_id      = aws_subnet.appliances[each.key].id
  route_table_id = aws_route_table.appliances[each.key].id
}

# Towards the internet, if it is wanted.

resource "aws_internet_gateway" "this" {
  count  = local.created && var.internet ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = merge(var.tags, { Name = var.name })
}

resource "aws_subnet" "public" {
  for_each          = var.internet ? local.zones : {}
  vpc_id            = aws_vpc.this[0].id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.vpc_cidr, 4, 8 + each.value)
  tags              = merge(var.tags, { Name = "${var.name}-public-${each.key}" })
}

resource "aws_route_table" "public" {
  count  = local.created && var.internet ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = merge(var.tags, { Name = "${var.name}-public" })
}

resource "aws_route" "public" {
  count                  = local.created && var.internet ? 1 : 0
  route_table_id         = aws_route_table.public[0].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this[0].id
}

resource "aws_route_table_association" "public" {
  for_each       = aws_subnet.public
  subnet_id      = each.value.id
  route_table_id = aws_route_table.public[0].id
}

resource "aws_eip" "nat" {
  for_each = aws_subnet.public
  domain   = "vpc"
  tags     = merge(var.tags, { Name = "${var.name}-nat-${each.key}" })
}

resource "aws_nat_gateway" "this" {
  for_each      = aws_subnet.public
  allocation_id = aws_eip.nat[each.key].id
  subnet_id     = each.value.id
  tags          = merge(var.tags, { Name = "${var.name}-${each.key}" })
  depends_on    = [aws_internet_gateway.this]
}

resource "aws_route" "nat" {
  for_each               = aws_nat_gateway.this
  route_table_id         = aws_route_table.appliances[each.key].id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = each.value.id
}

# The AWS APIs that the appliances and the session manager call, without the internet.

locals {
  interface_endpoints = toset(local.created ? ["autoscaling", "ec2", "ec2messages", "monitoring", "sqs", "ssm", "ssmmessages", "sts"] : [])
}

resource "aws_vpc_endpoint" "s3" {
  count             = local.created ? 1 : 0
  vpc_id            = aws_vpc.this[0].id
  service_name      = "com.amazonaws.${local.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [for table in aws_route_table.appliances : table.id]
  tags              = merge(var.tags, { Name = "${var.name}-s3" })
}

resource "aws_vpc_endpoint" "api" {
  for_each            = local.interface_endpoints
  vpc_id              = aws_vpc.this[0].id
  service_name        = "com.amazonaws.${local.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  subnet_ids          = values(local.subnet_ids)
  security_group_ids  = [aws_security_group.endpoints[0].id]
  private_dns_enabled = true
  tags                = merge(var.tags, { Name = "${var.name}-${each.key}" })
}
