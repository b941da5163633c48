output "endpoint_ids" {
  description = "Endpoints: zone => id."
  value       = { for zone, endpoint in aws_vpc_endpoint.this : zone => endpoint.id }
}

output "attachment_id" {
  description = "Attachment of the transit gateway, to which the spokes' route table must send 0.0.0.0/0; null without one."
  value       = one(aws_ec2_transit_gateway_vpc_attachment.this[*].id)
}
