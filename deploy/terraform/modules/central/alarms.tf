resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = aws_kms_key.this.id
  tags              = var.tags
}

locals {
  alarm_actions = concat([aws_sns_topic.alarms.arn], var.alarm_topic_arns)
  # The dimensions under which AWS counts targets.
  balancer_dimensions = {
    LoadBalancer = aws_lb.this.arn_suffix
    TargetGroup  = aws_lb_target_group.this.arn_suffix
  }
}

resource "aws_cloudwatch_metric_alarm" "drops" {
  for_each = {
    DroppedPackets    = "Packets were lost in an appliance; /metrics of the daemon names the reasons."
    AllowanceExceeded = "The network allowance of an appliance's instance type was exceeded: larger or more instances are needed."
  }
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value
  namespace           = local.metrics_namespace
  metric_name         = each.key
  dimensions          = { AutoScalingGroupName = aws_autoscaling_group.appliances.name }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = concat(local.alarm_actions, [aws_autoscaling_policy.drops.arn])
  ok_actions          = local.alarm_actions
  tags                = var.tags
}

# Silence is no good news: an appliance that sends no metrics is not known to lose nothing.
resource "aws_cloudwatch_metric_alarm" "silent" {
  alarm_name          = "${var.name}-silent"
  alarm_description   = "No appliance has sent metrics for five minutes."
  namespace           = local.metrics_namespace
  metric_name         = "DroppedPackets"
  dimensions          = { AutoScalingGroupName = aws_autoscaling_group.appliances.name }
  statistic           = "SampleCount"
  period              = 300
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "unhealthy" {
  alarm_name          = "${var.name}-unhealthy"
  alarm_description   = "An appliance fails its health check. If all do, traffic is lost: a Gateway Load Balancer does not fail open."
  namespace           = "AWS/GatewayELB"
  metric_name         = "UnHealthyHostCount"
  dimensions          = local.balancer_dimensions
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 2
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "none_healthy" {
  alarm_name          = "${var.name}-none-healthy"
  alarm_description   = "No appliance is healthy: all mirrored traffic is lost."
  namespace           = "AWS/GatewayELB"
  metric_name         = "HealthyHostCount"
  dimensions          = local.balancer_dimensions
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = var.tags
}
