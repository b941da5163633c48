locals {
  # Where appliances reach the AWS APIs: anywhere with NAT or in an existing VPC, whose endpoints are not known here.
  api_cidr = local.created && !var.internet ? var.vpc_cidr : "0.0.0.0/0"
}

resource "aws_security_group" "appliances" {
  name        = "${var.name}-appliances"
  description = "Appliances: GENEVE and health checks from the load balancer, and nothing else"
  vpc_id      = local.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-appliances" })
}

resource "aws_vpc_security_group_ingress_rule" "geneve" {
  for_each          = local.subnet_cidrs
  security_group_id = aws_security_group.appliances.id
  description       = "GENEVE from the load balancer in ${each.key}"
  cidr_ipv4         = each.value
  ip_protocol       = "udp"
  from_port         = 6081
  to_port           = 6081
  tags              = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "health" {
  for_each          = local.subnet_cidrs
  security_group_id = aws_security_group.appliances.id
  description       = "Health checks from the load balancer in ${each.key}"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = var.admin_port
  to_port           = var.admin_port
  tags              = var.tags
}

# Packets that go back have the addresses swapped and the ports unchanged, so they are no answer that the group would let out.
resource "aws_vpc_security_group_egress_rule" "geneve" {
  for_each          = var.inline ? local.subnet_cidrs : {}
  security_group_id = aws_security_group.appliances.id
  description       = "GENEVE back to the load balancer in ${each.key}"
  cidr_ipv4         = each.value
  ip_protocol       = "udp"
  from_port         = 6081
  to_port           = 6081
  tags              = var.tags
}

resource "aws_vpc_security_group_egress_rule" "api" {
  security_group_id = aws_security_group.appliances.id
  description       = "AWS APIs"
  cidr_ipv4         = local.api_cidr
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = var.tags
}

resource "aws_vpc_security_group_egress_rule" "s3" {
  count             = local.created ? 1 : 0
  security_group_id = aws_security_group.appliances.id
  description       = "S3 through its gateway endpoint"
  prefix_list_id    = aws_vpc_endpoint.s3[0].prefix_list_id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = var.tags
}

resource "aws_security_group" "endpoints" {
  count       = local.created ? 1 : 0
  name        = "${var.name}-endpoints"
  description = "Interface endpoints of the AWS APIs"
  vpc_id      = local.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-endpoints" })
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  count             = local.created ? 1 : 0
  security_group_id = aws_security_group.endpoints[0].id
  description       = "HTTPS from the VPC"
  cidr_ipv4         = var.vpc_cidr
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = var.tags
}
