output "event_patterns" {
  description = "Events that mirror-sessions processes, as patterns of EventBridge rules: name => JSON."
  value = {
    InstanceState = jsonencode({
      source      = ["aws.ec2"]
      detail-type = ["EC2 Instance State-change Notification"]
    })
    TagChange = jsonencode({
      source      = ["aws.tag"]
      detail-type = ["Tag Change on Resource"]
      detail      = { service = ["ec2"], resource-type = ["instance", "network-interface"] }
    })
    # Needs a trail that records management events.
    Calls = jsonencode({
      source      = ["aws.ec2"]
      detail-type = ["AWS API Call via CloudTrail"]
      detail = {
        eventSource = ["ec2.amazonaws.com"]
        eventName   = ["RunInstances", "CreateNetworkInterface", "AttachNetworkInterface", "DeleteNetworkInterface"]
      }
    })
  }
}
