output "hub" {
  description = "What the clients need to know. `terraform output -json hub` writes it for them."
  value = {
    account      = var.account
    region       = var.region
    manager_role = module.sessions.manager_role_arn
    service_name = module.central.service_name
    zones        = module.central.zones
  }
}

output "bucket" {
  description = "Bucket of the records."
  value       = module.central.bucket.name
}

output "alarm_topic_arn" {
  description = "Topic of the alarms."
  value       = module.central.alarm_topic_arn
}

output "queue_url" {
  description = "Queue of the session manager's events."
  value       = module.sessions.queue_url
}

output "configuration" {
  description = "The daemon's configuration."
  value       = module.central.configuration
}

output "policy" {
  description = "The session manager's policy, with the external ids."
  value       = module.sessions.policy
  sensitive   = true
}
