# What an appliance is told at boot, as one cloud-init document: files and commands, nothing by hand.

locals {
  metrics_namespace = "mirror-capture/${var.name}"
  drain_hook        = "drain"
  # After the notice: the time in which packets of known flows still come, then that of the daemon, then a margin.
  drain_heartbeat = var.deregistration_delay + var.drain_timeout + 120

  configuration = templatefile("${path.module}/templates/mirror-capture.toml.tftpl", {
    capture         = var.capture
    interface       = var.interface
    allowed_sources = values(local.subnet_cidrs)
    drain_timeout   = var.drain_timeout
  })

  fleet_environment = {
    ADMIN_URL            = "http://127.0.0.1:${var.admin_port}"
    AUTOSCALING_URL      = "https://autoscaling.${local.region}.${data.aws_partition.this.dns_suffix}"
    BUCKET_URL           = "https://${aws_s3_bucket.this.bucket_regional_domain_name}"
    CLOUDWATCH_URL       = "https://monitoring.${local.region}.${data.aws_partition.this.dns_suffix}"
    DEREGISTRATION_DELAY = var.deregistration_delay
    DROP_METRIC          = var.drop_metric
    GROUP                = var.name
    HOOK                 = local.drain_hook
    INTERFACE            = var.interface
    NAMESPACE            = local.metrics_namespace
    REGION               = local.region
  }

  units = {
    # The link's settings; each change restarts the link, so they come before the capture.
    "mirror-link.service"                 = <<-EOT
      [Unit]
      Description=Settings of the capture interface
      Before=mirror-capture.service
      After=network-online.target
      Wants=network-online.target
      [Service]
      Type=oneshot
      RemainAfterExit=yes
      EnvironmentFile=/etc/mirror/fleet.env
      ExecStart=/usr/local/sbin/mirror-fleet link ${var.mtu}
      [Install]
      WantedBy=multi-user.target
    EOT
    "mirror-capture.service.d/fleet.conf" = <<-EOT
      [Unit]
      After=mirror-link.service
      Requires=mirror-link.service
      [Service]
      ExecStart=
      ExecStart=/usr/bin/mirror-capture run --config /etc/mirror/mirror-capture.toml --admin 0.0.0.0:${var.admin_port}
      TimeoutStopSec=${var.drain_timeout + 30}
      # The process that parses packets has no business with the role's credentials.
      IPAddressDeny=169.254.169.254
    EOT
    "mirror-drain.service"                = <<-EOT
      [Unit]
      Description=Drains this appliance when the scaling group ends it
      Wants=network-online.target
      After=network-online.target
      [Service]
      EnvironmentFile=/etc/mirror/fleet.env
      ExecStart=/usr/local/sbin/mirror-fleet drain
      Restart=on-failure
      RestartSec=5
      [Install]
      WantedBy=multi-user.target
    EOT
    "mirror-metrics.service"              = <<-EOT
      [Unit]
      Description=Tells CloudWatch of lost packets
      [Service]
      Type=oneshot
      EnvironmentFile=/etc/mirror/fleet.env
      RuntimeDirectory=mirror-fleet
      RuntimeDirectoryPreserve=yes
      ExecStart=/usr/local/sbin/mirror-fleet metrics
    EOT
    "mirror-metrics.timer"                = <<-EOT
      [Timer]
      OnCalendar=minutely
      [Install]
      WantedBy=timers.target
    EOT
    "mirror-map.service"                  = <<-EOT
      [Unit]
      Description=Fetches the enrichment map
      [Service]
      Type=oneshot
      EnvironmentFile=/etc/mirror/fleet.env
      StateDirectory=mirror-fleet
      ExecStart=/usr/local/sbin/mirror-fleet map
    EOT
    "mirror-map.timer"                    = <<-EOT
      [Timer]
      OnActiveSec=0
      OnUnitActiveSec=15
      AccuracySec=1
      [Install]
      WantedBy=timers.target
    EOT
  }

  files = merge(
    {
      "/etc/mirror/mirror-capture.toml" = { content = local.configuration, permissions = "0644" }
      "/etc/mirror/fleet.env"           = { content = join("", [for name, value in local.fleet_environment : "${name}=${value}\n"]), permissions = "0644" }
      "/usr/local/sbin/mirror-fleet"    = { content = file("${path.module}/../../files/mirror-fleet"), permissions = "0755" }
    },
    { for name, text in local.units : "/etc/systemd/system/${name}" => { content = text, permissions = "0644" } }
  )

  install = var.package_file == null ? [] : [
    ["sh", "-euc", "set -a; . /etc/mirror/fleet.env; mirror-fleet get ${local.package_key} /var/tmp/${basename(var.package_file)}"],
    endswith(var.package_file, ".deb") ? ["apt-get", "install", "--yes", "/var/tmp/${basename(var.package_file)}"] : ["rpm", "--install", "/var/tmp/${basename(var.package_file)}"],
  ]

  cloud_config = {
    # The files are there before the package's own services start.
    write_files = [for path, file in local.files : { path = path, permissions = file.permissions, content = file.content }]
    runcmd = concat(local.install, [
      ["systemctl", "daemon-reload"],
      ["mirror-capture", "config", "check", "/etc/mirror/mirror-capture.toml"],
      ["systemctl", "enable", "--now", "mirror-link.service", "mirror-drain.service", "mirror-metrics.timer", "mirror-map.timer"],
      # With the map that there is, if any; the timer fetches the next ones.
      ["systemctl", "start", "mirror-map.service"],
      ["systemctl", "enable", "mirror-capture.service"],
      ["systemctl", "restart", "mirror-capture.service"],
    ])
  }

  user_data = base64gzip("#cloud-config\n${yamlencode(local.cloud_config)}")
}
