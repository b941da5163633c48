# A client account with an existing VPC: its endpoints, the role, and the events.

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
  vpc_id           = var.vpc_id
  endpoint_subnets = var.endpoint_subnets
  tags             = var.tags
}

output "client" {
  description = "What the hub's policy needs to know."
  value       = module.client.client
}
