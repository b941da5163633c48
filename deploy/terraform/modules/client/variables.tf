variable "owner" {
  description = "Owner in the policy of mirror-sessions, the same as that of the sessions module."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,18}[a-z0-9]$", var.owner))
    error_message = "owner must be 2 to 20 lower-case letters, digits and hyphens: it is part of the roles' names."
  }
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}

variable "hub" {
  description = "The central account: its number and region, and the role of mirror-sessions there."
  type = object({
    account      = string
    region       = string
    manager_role = optional(string)
  })

  validation {
    condition     = can(regex("^[0-9]{12}$", var.hub.account))
    error_message = "hub.account must be an account number of 12 digits."
  }
}

variable "external_id" {
  description = "External id that mirror-sessions must know to assume its role here."
  type        = string
  sensitive   = true

  validation {
    condition     = length(var.external_id) >= 8
    error_message = "external_id must have 8 characters or more: it keeps others from using the role through the hub."
  }
}

variable "service_name" {
  description = "Name of the central endpoint service."
  type        = string

  validation {
    condition     = can(regex("^(com|cn\\.com)\\.amazonaws\\.vpce\\.[a-z0-9-]+\\.vpce-svc-[0-9a-f]+$", var.service_name))
    error_message = "service_name must be com.amazonaws.vpce.REGION.vpce-svc-…, the output of the central module."
  }
  validation {
    condition     = strcontains(var.service_name, ".${var.hub.region}.")
    error_message = "service_name is in another region than hub.region: a Gateway Load Balancer endpoint must be in the region of its load balancer."
  }
}

variable "vpc_id" {
  description = "VPC of the endpoints. Interfaces of other VPCs reach them through peering or a transit gateway."
  type        = string
}

variable "endpoint_subnets" {
  description = "Subnet of each zone's endpoint: zone id (such as euw1-az1) => subnet id. Ids, because accounts name the same zone differently."
  type        = map(string)

  validation {
    condition     = length(var.endpoint_subnets) > 0 && alltrue([for zone in keys(var.endpoint_subnets) : can(regex("^[a-z0-9]+-[a-z0-9-]*az[0-9]+$", zone))])
    error_message = "endpoint_subnets must name a subnet for at least one zone, by the zone's id (such as euw1-az1)."
  }
}

variable "service_zones" {
  description = "Ids of the load balancer's zones, to be compared with those of the endpoints; empty: not compared."
  type        = set(string)
  default     = []
}

variable "single_zone" {
  description = "Accept an endpoint in one zone only. Interfaces of other zones then send through it, and are not mirrored while it is down."
  type        = bool
  default     = false

  validation {
    condition     = var.single_zone || length(var.endpoint_subnets) >= 2
    error_message = "One endpoint only: all sessions of this account depend on its zone. Name two zones or more, or set single_zone = true."
  }
}

variable "create_roles" {
  description = "Create the IAM roles. IAM is global: set it to false in all regions of the account but the first."
  type        = bool
  default     = true
}

variable "mirror_targets" {
  description = "Create mirror targets for the endpoints, for sessions that are made by hand. mirror-sessions makes its own."
  type        = bool
  default     = false
}

variable "filters" {
  description = "Mirror filters for sessions that are made by hand: name => rules, numbered in their order. mirror-sessions makes its own."
  type = map(list(object({
    direction   = string
    action      = optional(string, "accept")
    protocol    = optional(number)
    source      = optional(string, "0.0.0.0/0")
    destination = optional(string, "0.0.0.0/0")
  })))
  default = {}

  validation {
    condition     = alltrue(flatten([for rules in values(var.filters) : [for rule in rules : contains(["ingress", "egress"], rule.direction) && contains(["accept", "reject"], rule.action)]]))
    error_message = "filters: direction must be ingress or egress, and action accept or reject."
  }
  validation {
    condition     = alltrue([for rules in values(var.filters) : length(rules) > 0 && length(rules) <= 10])
    error_message = "filters: each needs 1 to 10 rules. A filter without rules mirrors nothing."
  }
}
