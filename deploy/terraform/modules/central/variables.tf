variable "name" {
  description = "Prefix of the names of all resources, unique in the account and region."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,18}[a-z0-9]$", var.name))
    error_message = "name must be 2 to 20 lower-case letters, digits and hyphens: a load balancer's name has 32 characters at most."
  }
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}

# Network

variable "vpc_cidr" {
  description = "Network of the VPC to create, /16 to /24. Instead of vpc_id and subnet_ids."
  type        = string
  default     = null

  validation {
    condition     = (var.vpc_cidr == null) != (var.vpc_id == null)
    error_message = "Set either vpc_cidr, for a VPC to be created, or vpc_id and subnet_ids, for an existing one."
  }
  validation {
    condition     = var.vpc_cidr == null || try(tonumber(split("/", var.vpc_cidr)[1]) >= 16 && tonumber(split("/", var.vpc_cidr)[1]) <= 24, false)
    error_message = "vpc_cidr must have a prefix of /16 to /24: it is divided into 16 subnets, and AWS allows /28 at the smallest."
  }
}

variable "zones" {
  description = "Availability zones of the VPC to create, by name."
  type        = list(string)
  default     = []

  validation {
    condition     = (var.vpc_cidr != null) == (length(var.zones) > 0)
    error_message = "zones go with vpc_cidr; an existing VPC's zones are the keys of subnet_ids."
  }
  validation {
    condition     = length(distinct(var.zones)) == length(var.zones) && length(var.zones) <= 8
    error_message = "zones must be up to eight different zones."
  }
}

variable "vpc_id" {
  description = "Existing VPC."
  type        = string
  default     = null
}

variable "subnet_ids" {
  description = "Existing subnets for the load balancer and the appliances: zone => subnet id. They need a way to the AWS APIs: interface endpoints or NAT."
  type        = map(string)
  default     = {}

  validation {
    condition     = (var.vpc_id != null) == (length(var.subnet_ids) > 0)
    error_message = "subnet_ids go with vpc_id."
  }
}

variable "single_zone" {
  description = "Accept one zone only. When it fails, no traffic is recorded."
  type        = bool
  default     = false

  validation {
    condition     = var.single_zone || length(var.zones) + length(var.subnet_ids) >= 2
    error_message = "One zone only: all mirrored traffic is lost while it is down. Name two zones or more, or set single_zone = true."
  }
}

variable "internet" {
  description = "In a created VPC: a NAT gateway in each zone. Without it, only the AWS APIs of this region are reached, through endpoints; mirror-sessions needs it to manage other regions."
  type        = bool
  default     = false
}

variable "client_accounts" {
  description = "Accounts that may connect endpoints to the load balancer."
  type        = set(string)

  validation {
    condition     = alltrue([for account in var.client_accounts : can(regex("^[0-9]{12}$", account))])
    error_message = "client_accounts must be account numbers of 12 digits."
  }
}

variable "acceptance_required" {
  description = "Endpoints wait until they are accepted by hand. client_accounts restricts who may connect in any case."
  type        = bool
  default     = false
}

# Load balancer

variable "cross_zone" {
  description = "Spread flows over the appliances of all zones. Without it, a zone without a healthy appliance loses its traffic; with it, traffic between zones is charged."
  type        = bool
  default     = true
}

variable "admin_port" {
  description = "TCP port of the daemon's health and metrics (its --admin)."
  type        = number
  default     = 6080

  validation {
    condition     = var.admin_port >= 1024 && var.admin_port <= 65535 && var.admin_port != 6081
    error_message = "admin_port must be 1024 to 65535, and not that of GENEVE."
  }
}

variable "health_check" {
  description = "Health check of the appliances: seconds between two checks, seconds to wait for an answer, numbers of checks until healthy and unhealthy."
  type = object({
    interval  = optional(number, 10)
    timeout   = optional(number, 5)
    healthy   = optional(number, 3)
    unhealthy = optional(number, 3)
  })
  default = {}

  validation {
    condition     = var.health_check.interval >= 5 && var.health_check.interval <= 300 && var.health_check.timeout >= 2 && var.health_check.timeout <= 120
    error_message = "health_check: AWS allows an interval of 5 to 300 s and a timeout of 2 to 120 s."
  }
  validation {
    condition     = var.health_check.timeout < var.health_check.interval
    error_message = "health_check: the timeout must be below the interval, or AWS refuses the target group."
  }
  validation {
    condition     = alltrue([for checks in [var.health_check.healthy, var.health_check.unhealthy] : checks >= 2 && checks <= 10])
    error_message = "health_check: healthy and unhealthy must be 2 to 10 checks."
  }
}

variable "failover" {
  description = "What happens to the flows of an appliance that leaves (on_deregistration) or fails (on_unhealthy): no_rebalance or rebalance, the same for both."
  type = object({
    on_deregistration = optional(string, "rebalance")
    on_unhealthy      = optional(string, "rebalance")
  })
  default = {}

  validation {
    condition     = alltrue([for action in values(var.failover) : contains(["rebalance", "no_rebalance"], action)])
    error_message = "failover: each must be rebalance or no_rebalance."
  }
  validation {
    condition     = var.failover.on_deregistration == var.failover.on_unhealthy
    error_message = "failover: on_deregistration and on_unhealthy must be equal, or AWS refuses the target group."
  }
}

variable "stickiness" {
  description = "Fields by which flows are spread: null for the 5-tuple, source_ip_dest_ip (2-tuple) or source_ip_dest_ip_proto (3-tuple). Mirrored traffic needs the 5-tuple: all of an interface's packets have the same addresses."
  type        = string
  default     = null

  validation {
    condition     = var.stickiness == null || contains(["source_ip_dest_ip", "source_ip_dest_ip_proto"], coalesce(var.stickiness, "-"))
    error_message = "stickiness must be null, source_ip_dest_ip or source_ip_dest_ip_proto."
  }
}

variable "transit_gateway_appliance_mode" {
  description = "True where traffic comes through a transit gateway in appliance mode, which keeps flows together by 4-tuple."
  type        = bool
  default     = false

  validation {
    condition     = !var.transit_gateway_appliance_mode || var.stickiness == null
    error_message = "A transit gateway in appliance mode spreads by 4-tuple: with stickiness by 2- or 3-tuple the two directions of a flow can reach different zones, and flows are lost. Leave stickiness null."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete the load balancer. Set it to false, and apply, before tearing down."
  type        = bool
  default     = true
}

variable "tcp_resets" {
  description = "The load balancer ends TCP flows of failed, removed or idle appliances by a reset (inline only). The provider has no argument for it: apply the output tcp_reset_commands."
  type        = bool
  default     = false

  validation {
    condition     = !var.tcp_resets || var.failover.on_unhealthy != "rebalance"
    error_message = "tcp_resets: AWS refuses TCP resets together with rebalance, as a flow is either ended or moved. Set failover to no_rebalance."
  }
  validation {
    condition     = !var.tcp_resets || var.stickiness == null
    error_message = "tcp_resets: AWS refuses TCP resets together with stickiness by 2- or 3-tuple. Leave stickiness null."
  }
  validation {
    condition     = !var.tcp_resets || var.inline
    error_message = "tcp_resets end inspected flows; mirrored packets are UDP to the load balancer and cannot be reset. Set inline = true, or leave tcp_resets off."
  }
}

variable "tcp_idle_timeout" {
  description = "Seconds after which the load balancer forgets an idle TCP flow; other protocols: 120 s, fixed."
  type        = number
  default     = 350

  validation {
    condition     = var.tcp_idle_timeout >= 60 && var.tcp_idle_timeout <= 6000
    error_message = "tcp_idle_timeout must be 60 to 6000 s."
  }
}

variable "deregistration_delay" {
  description = "Seconds for which an appliance that leaves still gets packets of its flows."
  type        = number
  default     = 60

  validation {
    condition     = var.deregistration_delay >= 0 && var.deregistration_delay <= 3600
    error_message = "deregistration_delay must be 0 to 3600 s."
  }
  validation {
    condition     = var.deregistration_delay >= var.drain_timeout
    error_message = "deregistration_delay is below drain_timeout: the load balancer would end the flows' time before the appliance has written what it holds."
  }
}

variable "inline" {
  description = "Let appliances send packets back to the load balancer."
  type        = bool
  default     = false
}

# Appliances

variable "image" {
  description = "Machine image: an id, or the Systems Manager parameter that has it, which is read at each apply. It needs cloud-init, systemd, ethtool and curl 8, and should have the Systems Manager agent."
  type        = string
  default     = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"

  validation {
    condition     = can(regex("^(ami-[0-9a-f]+|/.+)$", var.image))
    error_message = "image must be ami-…, or the name of a parameter: /…"
  }
}

variable "package_file" {
  description = "Package of mirror-capture (.deb or .rpm), which is uploaded and installed at boot; null: the image has it. A changed file makes a rolling upgrade."
  type        = string
  default     = null

  validation {
    condition     = var.package_file == null || can(regex("\\.(deb|rpm)$", var.package_file))
    error_message = "package_file must be a .deb or .rpm."
  }
}

variable "instance_type" {
  description = "Instance type of the appliances: network-optimised, with ENA."
  type        = string
  default     = "c6in.2xlarge"

  validation {
    condition     = can(regex("^([cmr](5n|5dn|6in|6idn)|c6gn|c7gn|[cmr]8gn)\\.([0-9]*x?large|metal.*)$", var.instance_type))
    error_message = "instance_type must be of a network family: c5n, m5n, r5n, c6in, m6in, r6in, c6gn, c7gn, c8gn, m8gn or r8gn. Others have a baseline of packets that bursts soon exceed, and what exceeds it is lost without a word."
  }
  validation {
    condition     = !(can(regex("^[cmr][0-9]gn", var.instance_type)) && can(regex("(amd64|x86_64)", var.image)))
    error_message = "instance_type has an ARM processor and image names one for x86: name an arm64 image."
  }
}

variable "fleet" {
  description = "Size of the scaling group."
  type = object({
    min = optional(number, 2)
    max = optional(number, 6)
  })
  default = {}

  validation {
    condition     = var.fleet.min >= 1 && var.fleet.max >= var.fleet.min
    error_message = "fleet: min must be at least 1, and max at least min."
  }
  validation {
    condition     = var.cross_zone || var.fleet.min >= length(var.zones) + length(var.subnet_ids)
    error_message = "fleet: without cross_zone each zone needs an appliance of its own, or its traffic is lost: min must be at least the number of zones."
  }
  validation {
    condition     = var.fleet.max > var.fleet.min
    error_message = "fleet: max must be above min, as a rolling upgrade starts a new appliance before it ends an old one."
  }
}

variable "warm_up" {
  description = "Seconds from the start of an appliance until it counts: boot, installation, health checks."
  type        = number
  default     = 180
}

variable "packets_per_second" {
  description = "Packets per second and appliance that the scaling group aims at. docs/deploy.md has the sizing."
  type        = number
  default     = 500000

  validation {
    condition     = var.packets_per_second >= 1000
    error_message = "packets_per_second must be at least 1000."
  }
}

variable "drop_metric" {
  description = "Counter of the daemon's /metrics that counts lost packets, all of its labels added up."
  type        = string
  default     = "mirror_capture_dropped_packets_total"
}

variable "interface" {
  description = "Network interface of the appliances."
  type        = string
  default     = "ens5"
}

variable "mtu" {
  description = "MTU of that interface."
  type        = number
  default     = 9001

  validation {
    condition     = var.mtu >= 8568 && var.mtu <= 9001
    error_message = "mtu must be 8568 to 9001: the load balancer carries packets of 8,500 bytes and adds 68, and longer ones than the MTU are lost without a word."
  }
}

variable "capture" {
  description = "Configuration of the daemon; docs/mirror-capture.toml explains the keys."
  type = object({
    snap_length = optional(number, 0)
    frames      = optional(number, 8192)
    rx_ring     = optional(number, 4096)
    records     = optional(list(string), ["flow"])
    payload     = optional(bool, true)
    degradation = optional(string, "auto")
    format      = optional(string, "ndjson")
    rotate_size = optional(string, "256MiB")
    rotate_time = optional(string, "5m")
    # Tags of instances that become labels of records.
    tags = optional(list(string), ["Name"])
    rules = optional(list(object({
      gwlbe_id    = optional(string)
      vni         = optional(number)
      records     = optional(list(string))
      snap_length = optional(number)
      payload     = optional(bool)
    })), [])
  })
  default = {}
}

variable "drain_timeout" {
  description = "Seconds that the daemon may take to write what it holds when it stops."
  type        = number
  default     = 30

  validation {
    condition     = var.drain_timeout >= 1 && var.drain_timeout <= 600
    error_message = "drain_timeout must be 1 to 600 s."
  }
}

variable "volume_size" {
  description = "GiB of the root volume, which holds the records until they are shipped."
  type        = number
  default     = 100
}

variable "root_device" {
  description = "Name of the image's root device: /dev/sda1 with Ubuntu, /dev/xvda with Amazon Linux and Debian."
  type        = string
  default     = "/dev/sda1"
}

# Records

variable "retention_days" {
  description = "Days after which records in the bucket expire; null: never."
  type        = number
  default     = 365
}

variable "log_bucket" {
  description = "Bucket for the access log of the records' bucket; null: none."
  type        = string
  default     = null
}

variable "security_lake" {
  description = "Register a custom source in Security Lake, which must be enabled in this account and region: its external id, and the account that writes. null: none."
  type = object({
    external_id = string
    principal   = string
    bucket_arn  = string
  })
  default = null
}

variable "alarm_topic_arns" {
  description = "SNS topics that are told of alarms, besides the one that this module creates."
  type        = list(string)
  default     = []
}
