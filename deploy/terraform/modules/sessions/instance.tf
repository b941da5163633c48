# As an instance: one, in whatever zone there is one, replaced when its policy or program changes. Events wait in the queue
# meanwhile.

locals {
  program_key = local.instance == 0 ? null : "fleet/programs/${filesha256(var.program_file)}/mirror-sessions"

  environment = {
    AWS_REGION                      = local.region
    MIRROR_SESSIONS_DEAD_LETTER_URL = aws_sqs_queue.dead_letters.url
    MIRROR_SESSIONS_INTERVAL        = var.interval
    MIRROR_SESSIONS_QUEUE_URL       = aws_sqs_queue.events.url
  }

  files = local.instance == 0 ? {} : {
    "/etc/mirror-sessions/policy.toml" = { content = var.policy, permissions = "0644" }
    "/etc/mirror-sessions/environment" = { content = join("", [for name, value in local.environment : "${name}=${value}\n"]), permissions = "0644" }
    "/etc/mirror-sessions/fleet.env" = {
      content     = "BUCKET_URL=https://${var.bucket.name}.s3.${local.region}.${data.aws_partition.this.dns_suffix}\nREGION=${local.region}\n"
      permissions = "0644"
    }
    "/usr/local/sbin/mirror-fleet"                = { content = file("${path.module}/../../files/mirror-fleet"), permissions = "0755" }
    "/etc/systemd/system/mirror-sessions.service" = { content = file("${path.module}/../../../mirror-sessions.service"), permissions = "0644" }
    "/etc/systemd/system/mirror-map.service" = {
      permissions = "0644"
      content     = <<-EOT
        [Unit]
        Description=Publishes the enrichment map
        [Service]
        Type=oneshot
        EnvironmentFile=/etc/mirror-sessions/fleet.env
        ExecStart=/usr/local/sbin/mirror-fleet put /run/mirror-sessions/map.json fleet/map.json
        Restart=on-failure
        RestartSec=10
      EOT
    }
    "/etc/systemd/system/mirror-map.path" = {
      permissions = "0644"
      content     = <<-EOT
        [Path]
        PathChanged=/run/mirror-sessions/map.json
        [Install]
        WantedBy=multi-user.target
      EOT
    }
  }

  cloud_config = {
    write_files = [for path, file in local.files : { path = path, permissions = file.permissions, content = file.content }]
    runcmd = [
      ["sh", "-euc", "set -a; . /etc/mirror-sessions/fleet.env; mirror-fleet get ${coalesce(local.program_key, "-")} /usr/bin/mirror-sessions; chmod 755 /usr/bin/mirror-sessions"],
      ["systemctl", "daemon-reload"],
      ["systemctl", "enable", "--now", "mirror-map.path", "mirror-sessions.service"],
    ]
  }

  user_data = base64gzip("#cloud-config\n${yamlencode(local.cloud_config)}")
}

resource "aws_s3_object" "program" {
  count  = local.instance
  bucket = var.bucket.name
  key    = local.program_key
  source = var.program_file
  tags   = var.tags
}

# Systems Manager: sessions in place of SSH.
resource "aws_iam_role_policy_attachment" "session_manager" {
  count      = local.instance
  role       = aws_iam_role.manager.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "manager" {
  count = local.instance
  name  = aws_iam_role.manager.name
  role  = aws_iam_role.manager.name
  tags  = var.tags
}

data "aws_ssm_parameter" "image" {
  count = local.instance == 1 && startswith(var.image, "/") ? 1 : 0
  name  = var.image
}

resource "aws_launch_template" "manager" {
  count                  = local.instance
  name                   = local.name
  image_id               = startswith(var.image, "/") ? data.aws_ssm_parameter.image[0].insecure_value : var.image
  instance_type          = var.instance_type
  user_data              = local.user_data
  update_default_version = true
  tags                   = var.tags

  iam_instance_profile {
    arn = aws_iam_instance_profile.manager[0].arn
  }
  network_interfaces {
    device_index                = 0
    associate_public_ip_address = false
    delete_on_termination       = true
    security_groups             = [aws_security_group.manager[0].id]
  }
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  block_device_mappings {
    device_name = "/dev/sda1"
    ebs {
      volume_type           = "gp3"
      encrypted             = true
      delete_on_termination = true
    }
  }
  tag_specifications {
    resource_type = "instance"
    tags          = merge(var.tags, { Name = local.name })
  }

  lifecycle {
    precondition {
      condition     = length(local.user_data) <= 21848
      error_message = "The policy is too long for an instance's 16 KiB of user data even when compressed: run it as a lambda, whose archive holds the policy, or shorten it with globs."
    }
  }
}

resource "aws_autoscaling_group" "manager" {
  count               = local.instance
  name                = local.name
  min_size            = 1
  max_size            = 1
  vpc_zone_identifier = var.subnet_ids

  launch_template {
    id      = aws_launch_template.manager[0].id
    version = aws_launch_template.manager[0].latest_version
  }
  # One manager at a time: the old one goes first.
  instance_refresh {
    strategy = "Rolling"
    preferences {
      min_healthy_percentage = 0
      max_healthy_percentage = 100
    }
  }
  dynamic "tag" {
    for_each = merge(var.tags, { Name = local.name })
    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }
  depends_on = [aws_iam_role_policy.manage, aws_iam_role_policy.mirror, aws_iam_role_policy.publish, aws_s3_object.program]
}
