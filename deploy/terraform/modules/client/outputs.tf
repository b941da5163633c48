output "client" {
  description = "What the hub's policy must know of this account and region. `terraform output -json client` writes it for the hub."
  value = {
    account   = local.account
    region    = data.aws_region.this.region
    role_arn  = "arn:${local.partition}:iam::${local.account}:role/mirror-sessions"
    endpoints = { for zone, endpoint in aws_vpc_endpoint.this : zone => endpoint.id }
  }
}

output "mirror_target_ids" {
  description = "Mirror targets, if mirror_targets is set: zone => id."
  value       = { for zone, target in aws_ec2_traffic_mirror_target.this : zone => target.id }
}

output "filter_ids" {
  description = "Mirror filters: name => id."
  value       = { for name, filter in aws_ec2_traffic_mirror_filter.this : name => filter.id }
}
