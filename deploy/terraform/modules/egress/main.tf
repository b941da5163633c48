# Inline inspection. Both directions of a flow pass the same zone's endpoint, or the appliances see halves.
#
#   transit_gateway:   spoke → transit gateway → attachment subnet → endpoint → NAT → internet gateway
#                      internet → NAT → endpoint (route to the spokes) → transit gateway → spoke
#   internet_gateway:  workload → endpoint → internet gateway
#                      internet gateway (its own route table) → endpoint of the workload's zone → workload

locals {
  zones    = var.enabled ? var.zones : {}
  transit  = var.mode == "transit_gateway" ? local.zones : {}
  internet = var.mode == "internet_gateway" ? local.zones : {}
  # Zone and spoke, for a route of each public subnet to each spoke.
  returns = merge([for zone in keys(local.transit) : { for cidr in var.spoke_cidrs : "${zone}/${cidr}" => { zone = zone, cidr = cidr } }]...)
  # Workload subnet => zone and network.
  workloads = merge([for zone, subnets in local.internet : { for subnet, cidr in subnets.workload_subnets : subnet => { zone = zone, cidr = cidr } }]...)
}

resource "aws_vpc_endpoint" "this" {
  for_each          = local.zones
  vpc_id            = var.vpc_id
  service_name      = var.service_name
  vpc_endpoint_type = "GatewayLoadBalancer"
  subnet_ids        = [each.value.endpoint_subnet]
  tags              = merge(var.tags, { Name = "${var.name}-${each.key}" })
}

resource "aws_route_table" "endpoint" {
  for_each = local.zones
  vpc_id   = var.vpc_id
  tags     = merge(var.tags, { Name = "${var.name}-endpoint-${each.key}" })
}

resource "aws_route_table_association" "endpoint" {
  for_each       = local.zones
  subnet_id      = each.value.endpoint_subnet
  route_table_id = aws_route_table.endpoint[each.key].id
}

# Hub and spoke

resource "aws_ec2_transit_gateway_vpc_attachment" "this" {
  count              = length(local.transit) > 0 ? 1 : 0
  transit_gateway_id = var.transit_gateway_id
  vpc_id             = var.vpc_id
  subnet_ids         = [for zone in values(local.transit) : zone.attachment_subnet]
  # Keeps both directions of a flow between spokes in one zone, so that one appliance sees them.
  appliance_mode_support = "enable"
  tags                   = merge(var.tags, { Name = var.name })
}

resource "aws_route_table" "attachment" {
  for_each = local.transit
  vpc_id   = var.vpc_id
  tags     = merge(var.tags, { Name = "${var.name}-attachment-${each.key}" })
}

resource "aws_route" "attachment" {
  for_each               = local.transit
  route_table_id         = aws_route_table.attachment[each.key].id
  destination_cidr_block = "0.0.0.0/0"
  vpc_endpoint_id        = aws_vpc_endpoint.this[each.key].id
}

resource "aws_route_table_association" "attachment" {
  for_each       = local.transit
  subnet_id      = each.value.attachment_subnet
  route_table_id = aws_route_table.attachment[each.key].id
}

resource "aws_eip" "nat" {
  for_each = local.transit
  domain   = "vpc"
  tags     = merge(var.tags, { Name = "${var.name}-nat-${each.key}" })
}

resource "aws_nat_gateway" "this" {
  for_each      = local.transit
  subnet_id     = each.value.public_subnet
  allocation_id = aws_eip.nat[each.key].id
  tags          = merge(var.tags, { Name = "${var.name}-${each.key}" })
}

resource "aws_route" "nat" {
  for_each               = local.transit
  route_table_id         = aws_route_table.endpoint[each.key].id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.this[each.key].id
}

resource "aws_route" "to_spoke" {
  for_each               = local.returns
  route_table_id         = aws_route_table.endpoint[each.value.zone].id
  destination_cidr_block = each.value.cidr
  transit_gateway_id     = var.transit_gateway_id
  depends_on             = [aws_ec2_transit_gateway_vpc_attachment.this]
}

resource "aws_route_table" "public" {
  for_each = local.transit
  vpc_id   = var.vpc_id
  tags     = merge(var.tags, { Name = "${var.name}-public-${each.key}" })
}

resource "aws_route" "public" {
  for_each               = local.transit
  route_table_id         = aws_route_table.public[each.key].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = var.internet_gateway_id
}

resource "aws_route" "answer" {
  for_each               = local.returns
  route_table_id         = aws_route_table.public[each.value.zone].id
  destination_cidr_block = each.value.cidr
  vpc_endpoint_id        = aws_vpc_endpoint.this[each.value.zone].id
}

resource "aws_route_table_association" "public" {
  for_each       = local.transit
  subnet_id      = each.value.public_subnet
  route_table_id = aws_route_table.public[each.key].id
}

# A VPC with an internet gateway of its own

resource "aws_route" "internet" {
  for_each               = local.internet
  route_table_id         = aws_route_table.endpoint[each.key].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = var.internet_gateway_id
}

resource "aws_route_table" "workload" {
  for_each = local.internet
  vpc_id   = var.vpc_id
  tags     = merge(var.tags, { Name = "${var.name}-workload-${each.key}" })
}

resource "aws_route" "workload" {
  for_each               = local.internet
  route_table_id         = aws_route_table.workload[each.key].id
  destination_cidr_block = "0.0.0.0/0"
  vpc_endpoint_id        = aws_vpc_endpoint.this[each.key].id
}

resource "aws_route_table_association" "workload" {
  for_each       = local.workloads
  subnet_id      = each.key
  route_table_id = aws_route_table.workload[each.value.zone].id
}

# The table of the internet gateway: what comes in goes to the endpoint of its zone.
resource "aws_route_table" "ingress" {
  count  = length(local.internet) > 0 ? 1 : 0
  vpc_id = var.vpc_id
  tags   = merge(var.tags, { Name = "${var.name}-ingress" })
}

resource "aws_route_table_association" "ingress" {
  count          = length(local.internet) > 0 ? 1 : 0
  gateway_id     = var.internet_gateway_id
  route_table_id = aws_route_table.ingress[0].id
}

resource "aws_route" "ingress" {
  for_each               = local.workloads
  route_table_id         = aws_route_table.ingress[0].id
  destination_cidr_block = each.value.cidr
  vpc_endpoint_id        = aws_vpc_endpoint.this[each.value.zone].id
}
