output "service_name" {
  description = "Name of the endpoint service, for the client accounts."
  value       = aws_vpc_endpoint_service.this.service_name
}

output "zones" {
  description = "Ids of the load balancer's zones: clients need an endpoint in each that they use. Ids, because accounts name the same zone differently."
  value       = sort(local.zone_ids)
}

output "vpc_id" {
  description = "VPC of the appliances."
  value       = local.vpc_id
}

output "subnet_ids" {
  description = "Subnets of the appliances: zone => subnet id."
  value       = local.subnet_ids
}

output "bucket" {
  description = "Bucket of the records (records/), packages and enrichment map (fleet/)."
  value       = { name = aws_s3_bucket.this.bucket, arn = aws_s3_bucket.this.arn }
}

output "key_arn" {
  description = "Key of the bucket, queues and alarms."
  value       = aws_kms_key.this.arn
}

output "alarm_topic_arn" {
  description = "Topic of the alarms; subscribe to it."
  value       = aws_sns_topic.alarms.arn
}

output "configuration" {
  description = "The daemon's configuration, as appliances get it."
  value       = local.configuration
}

output "user_data" {
  description = "The cloud-init document of an appliance, in plain text."
  value       = "#cloud-config\n${yamlencode(local.cloud_config)}"
}

output "security_lake" {
  description = "Where Security Lake takes records, and as which role; null without it."
  value       = one(aws_securitylake_custom_log_source.this[*].provider_details)
}

# An argument of the provider is missing. The commands set values, so running them again changes nothing.
output "tcp_reset_commands" {
  description = "AWS CLI commands that set the load balancer's TCP resets as tcp_resets says; run them after each apply that changes it."
  value = var.failover.on_unhealthy == "rebalance" || var.stickiness != null ? tolist([]) : tolist([
    "aws elbv2 modify-target-group-attributes --region ${local.region} --target-group-arn ${aws_lb_target_group.this.arn} --attributes Key=send_tcp_reset.on_unhealthy,Value=${var.tcp_resets} Key=send_tcp_reset.on_deregistration,Value=${var.tcp_resets}",
    "aws elbv2 modify-listener-attributes --region ${local.region} --listener-arn ${aws_lb_listener.this.arn} --attributes Key=send_tcp_reset.on_idle_timeout,Value=${var.tcp_resets}",
  ])
}
