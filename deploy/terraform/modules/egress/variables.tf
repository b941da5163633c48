variable "enabled" {
  description = "Route traffic through the appliances, inline."
  type        = bool
  default     = false

  validation {
    condition     = !var.enabled || var.daemon_returns_packets
    error_message = "Inline routes through appliances that do not return packets cut all of the traffic off. Set daemon_returns_packets = true once the installed version of mirror-capture has an inline mode, and it is switched on."
  }
}

variable "daemon_returns_packets" {
  description = "The installed daemon returns packets to the load balancer. Versions without an inline mode do not."
  type        = bool
  default     = false
}

variable "name" {
  description = "Prefix of the names of all resources."
  type        = string
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}

variable "service_name" {
  description = "Name of the central endpoint service."
  type        = string
}

variable "vpc_id" {
  description = "VPC through which the traffic goes: the egress VPC of the hub and spoke, or a VPC with an internet gateway of its own."
  type        = string
}

variable "mode" {
  description = "transit_gateway: spokes reach the internet and each other through this VPC. internet_gateway: this VPC's own traffic with the internet is inspected, without a transit gateway."
  type        = string
  default     = "transit_gateway"

  validation {
    condition     = contains(["transit_gateway", "internet_gateway"], var.mode)
    error_message = "mode must be transit_gateway or internet_gateway."
  }
}

variable "zones" {
  description = "Subnets by zone: that of the endpoint, that of the transit gateway's attachment, the public one of the NAT gateway (transit_gateway), and those of the workloads with their networks (internet_gateway)."
  type = map(object({
    endpoint_subnet   = string
    attachment_subnet = optional(string)
    public_subnet     = optional(string)
    workload_subnets  = optional(map(string), {})
  }))

  validation {
    condition     = length(var.zones) >= 2 || var.single_zone
    error_message = "One zone only: all traffic stops with it. Name two zones or more, or set single_zone = true."
  }
  validation {
    condition     = var.mode != "transit_gateway" || alltrue([for zone in values(var.zones) : zone.attachment_subnet != null && zone.public_subnet != null])
    error_message = "transit_gateway: each zone needs attachment_subnet and public_subnet."
  }
  validation {
    condition     = var.mode != "internet_gateway" || alltrue([for zone in values(var.zones) : length(zone.workload_subnets) > 0])
    error_message = "internet_gateway: each zone needs workload_subnets."
  }
}

variable "single_zone" {
  description = "Accept one zone only."
  type        = bool
  default     = false
}

variable "transit_gateway_id" {
  description = "Transit gateway of the spokes."
  type        = string
  default     = null

  validation {
    condition     = var.mode != "transit_gateway" || var.transit_gateway_id != null
    error_message = "transit_gateway_id is needed in this mode."
  }
}

variable "spoke_cidrs" {
  description = "Networks of the spokes, to which answers go back through the appliances and the transit gateway."
  type        = list(string)
  default     = []

  validation {
    condition     = var.mode != "transit_gateway" || length(var.spoke_cidrs) > 0
    error_message = "spoke_cidrs are needed: without them, answers would pass the appliances by and flows be seen by half."
  }
}

variable "internet_gateway_id" {
  description = "Internet gateway of the VPC."
  type        = string

  validation {
    condition     = can(regex("^igw-[0-9a-f]+$", var.internet_gateway_id))
    error_message = "internet_gateway_id must be igw-…"
  }
}
