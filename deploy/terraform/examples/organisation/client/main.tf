# A client account: a VPC whose interfaces are mirrored, and its endpoints.

terraform {
  required_version = ">= 1.9"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
    }
  }
}

provider "aws" {
  region              = local.hub.region
  allowed_account_ids = [var.account]
}

locals {
  # What `terraform output -json hub` said in the central account.
  hub = jsondecode(file(var.hub_file))
}

resource "aws_vpc" "this" {
  #checkov:skip=CKV2_AWS_11:Stands for the client's own VPC, whose flow logs are its owner's (docs/security-practice.md).
  cidr_block = var.vpc_cidr
  tags       = merge(var.tags, { Name = var.name })
}

resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id
  tags   = var.tags
}

# An endpoint needs one address; /28 is the smallest subnet.
resource "aws_subnet" "endpoint" {
  for_each             = { for index, zone in local.hub.zones : zone => index }
  vpc_id               = aws_vpc.this.id
  availability_zone_id = each.key
  cidr_block           = cidrsubnet(var.vpc_cidr, 28 - tonumber(split("/", var.vpc_cidr)[1]), each.value)
  tags                 = merge(var.tags, { Name = "${var.name}-mirror-${each.key}" })
}

module "client" {
  source = "../../../modules/client"
  owner  = var.name
  hub = {
    account      = local.hub.account
    region       = local.hub.region
    manager_role = local.hub.manager_role
  }
  external_id      = var.external_id
  service_name     = local.hub.service_name
  service_zones    = local.hub.zones
  vpc_id           = aws_vpc.this.id
  endpoint_subnets = { for zone, subnet in aws_subnet.endpoint : zone => subnet.id }
  tags             = var.tags
}

output "client" {
  description = "What the hub's policy needs to know."
  value       = module.client.client
}
