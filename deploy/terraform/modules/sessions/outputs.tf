output "manager_role_arn" {
  description = "Role of mirror-sessions, which the clients' roles trust."
  value       = aws_iam_role.manager.arn
}

output "queue_url" {
  description = "Queue of events."
  value       = aws_sqs_queue.events.url
}

output "dead_letter_url" {
  description = "Queue of the events that could not be processed."
  value       = aws_sqs_queue.dead_letters.url
}

output "policy" {
  description = "The policy, as the manager gets it."
  value       = var.policy
}

output "user_data" {
  description = "The cloud-init document of an instance, in plain text; null without one."
  value       = local.instance == 1 ? "#cloud-config\n${yamlencode(local.cloud_config)}" : null
}
