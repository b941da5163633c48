resource "aws_iam_role" "appliance" {
  name = "${var.name}-appliance"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "ec2.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
  tags = var.tags
}

# Systems Manager: sessions in place of SSH.
resource "aws_iam_role_policy_attachment" "session_manager" {
  role       = aws_iam_role.appliance.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_role_policy" "appliance" {
  name = "appliance"
  role = aws_iam_role.appliance.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      # mirror-fleet: the package and the enrichment map.
      { Sid = "Fetch", Effect = "Allow", Action = "s3:GetObject", Resource = "${aws_s3_bucket.this.arn}/fleet/*" },
      # mirror-ship: records, large ones in parts.
      { Sid = "Ship", Effect = "Allow", Action = ["s3:AbortMultipartUpload", "s3:PutObject"], Resource = "${aws_s3_bucket.this.arn}/records/*" },
      {
        Sid       = "Encrypt"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = aws_kms_key.this.arn
        Condition = { StringEquals = { "kms:ViaService" = "s3.${local.region}.${data.aws_partition.this.dns_suffix}" } }
      },
      # mirror-fleet: metrics, and the end of the drain. PutMetricData has no resources.
      { Sid = "Measure", Effect = "Allow", Action = "cloudwatch:PutMetricData", Resource = "*", Condition = { StringEquals = { "cloudwatch:namespace" = local.metrics_namespace } } },
      { Sid = "Drained", Effect = "Allow", Action = "autoscaling:CompleteLifecycleAction", Resource = "arn:${local.partition}:autoscaling:${local.region}:${local.account}:autoScalingGroup:*:autoScalingGroupName/${var.name}" },
    ]
  })
}

resource "aws_iam_instance_profile" "appliance" {
  name = "${var.name}-appliance"
  role = aws_iam_role.appliance.name
  tags = var.tags
}

# Read here and not by EC2 at each launch: a new image is then a new launch template, which is rolled out, and can be rolled back.
data "aws_ssm_parameter" "image" {
  count = startswith(var.image, "/") ? 1 : 0
  name  = var.image
}

resource "aws_launch_template" "appliance" {
  name                   = "${var.name}-appliance"
  image_id               = startswith(var.image, "/") ? data.aws_ssm_parameter.image[0].insecure_value : var.image
  instance_type          = var.instance_type
  user_data              = local.user_data
  update_default_version = true
  ebs_optimized          = true
  tags                   = var.tags

  iam_instance_profile {
    arn = aws_iam_instance_profile.appliance.arn
  }
  network_interfaces {
    device_index                = 0
    associate_public_ip_address = false
    delete_on_termination       = true
    security_groups             = [aws_security_group.appliances.id]
  }
  # IMDSv2 only; with one hop, no container or forwarded packet reaches it.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  monitoring {
    enabled = true
  }
  block_device_mappings {
    device_name = var.root_device
    ebs {
      volume_type           = "gp3"
      volume_size           = var.volume_size
      encrypted             = true
      delete_on_termination = true
    }
  }
  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume", "network-interface"])
    content {
      resource_type = tag_specifications.value
      tags          = merge(var.tags, { Name = "${var.name}-appliance" })
    }
  }

  lifecycle {
    precondition {
      condition     = length(local.user_data) <= 21848
      error_message = "The user data exceeds EC2's 16 KiB even when compressed: shorten capture.rules."
    }
  }
}

resource "aws_autoscaling_group" "appliances" {
  name                      = var.name
  min_size                  = var.fleet.min
  max_size                  = var.fleet.max
  vpc_zone_identifier       = values(local.subnet_ids)
  target_group_arns         = [aws_lb_target_group.this.arn]
  health_check_type         = "ELB"
  health_check_grace_period = var.warm_up
  default_instance_warmup   = var.warm_up
  enabled_metrics           = ["GroupDesiredCapacity", "GroupInServiceInstances", "GroupTerminatingInstances"]

  launch_template {
    id      = aws_launch_template.appliance.id
    version = aws_launch_template.appliance.latest_version
  }
  # Here and not as a resource of its own, so that it holds from the first instance on.
  initial_lifecycle_hook {
    name                 = local.drain_hook
    lifecycle_transition = "autoscaling:EC2_INSTANCE_TERMINATING"
    heartbeat_timeout    = local.drain_heartbeat
    default_result       = "CONTINUE"
  }
  # A new appliance is in service before an old one leaves.
  instance_maintenance_policy {
    min_healthy_percentage = 100
    max_healthy_percentage = 200
  }
  instance_refresh {
    strategy = "Rolling"
    preferences {
      min_healthy_percentage = 100
      max_healthy_percentage = 200
      instance_warmup        = var.warm_up
      auto_rollback          = true
    }
  }
  dynamic "tag" {
    for_each = merge(var.tags, { Name = "${var.name}-appliance" })
    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }

  lifecycle {
    ignore_changes = [desired_capacity]
  }
  # Appliances fetch the package, and need their permissions to do so.
  depends_on = [aws_iam_role_policy.appliance, aws_s3_object.package, aws_lb_listener.this]
}

resource "aws_autoscaling_policy" "packets" {
  name                   = "packets"
  autoscaling_group_name = aws_autoscaling_group.appliances.name
  policy_type            = "TargetTrackingScaling"

  target_tracking_configuration {
    # The metric is a number of packets per minute and instance.
    target_value = var.packets_per_second * 60
    customized_metric_specification {
      namespace   = "AWS/EC2"
      metric_name = "NetworkPacketsIn"
      statistic   = "Average"
      metric_dimension {
        name  = "AutoScalingGroupName"
        value = aws_autoscaling_group.appliances.name
      }
    }
  }
}

resource "aws_autoscaling_policy" "drops" {
  name                      = "drops"
  autoscaling_group_name    = aws_autoscaling_group.appliances.name
  policy_type               = "StepScaling"
  adjustment_type           = "ChangeInCapacity"
  estimated_instance_warmup = var.warm_up

  step_adjustment {
    metric_interval_lower_bound = 0
    scaling_adjustment          = 1
  }
}
