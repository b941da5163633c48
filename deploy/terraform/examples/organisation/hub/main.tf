# The central account: load balancer, appliances, records, and the session manager.

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
  region = var.region
  # With another account's credentials at hand, nothing is created by mistake.
  allowed_account_ids = [var.account]
}

locals {
  # What `terraform output -json client` said in each client; the files come one by one.
  clients = { for file in fileset(var.clients_folder, "*.json") : trimsuffix(file, ".json") => jsondecode(file("${var.clients_folder}/${file}")) }
}

module "central" {
  source          = "../../../modules/central"
  name            = var.name
  vpc_cidr        = var.vpc_cidr
  zones           = var.zones
  client_accounts = keys(var.clients)
  package_file    = var.package_file
  instance_type   = var.instance_type
  capture         = var.capture
  tags            = var.tags

  deletion_protection = var.deletion_protection
}

module "sessions" {
  source       = "../../../modules/sessions"
  owner        = var.name
  client_roles = { for account in keys(var.clients) : account => "arn:aws:iam::${account}:role/mirror-sessions" }
  policy = templatefile("${path.module}/policy.toml.tftpl", {
    owner        = var.name
    account      = var.account
    region       = var.region
    clients      = local.clients
    external_ids = var.clients
    mirroring    = var.mirroring
  })
  program_file     = var.program_file
  bucket           = module.central.bucket
  key_arn          = module.central.key_arn
  vpc_id           = module.central.vpc_id
  subnet_ids       = values(module.central.subnet_ids)
  alarm_topic_arns = [module.central.alarm_topic_arn]
  tags             = var.tags
}
