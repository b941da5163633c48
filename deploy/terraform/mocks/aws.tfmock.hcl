# What mocked objects of AWS return. Mocked strings are random otherwise, and are no ARNs, networks or zones.
mock_data "aws_caller_identity" {
  defaults = { account_id = "111111111111" }
}
mock_data "aws_region" {
  defaults = { region = "eu-west-1" }
}
mock_data "aws_partition" {
  defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
}
mock_data "aws_ssm_parameter" {
  defaults = { insecure_value = "ami-0123456789abcdef0" }
}
mock_data "aws_vpc" {
  defaults = { cidr_block = "10.255.0.0/20" }
}
mock_data "aws_subnet" {
  defaults = { id = "subnet-0aaaaaaaaaaaaaaaa", availability_zone = "eu-west-1a", availability_zone_id = "euw1-az1", vpc_id = "vpc-0123456789abcdef0", cidr_block = "10.255.0.0/24" }
}
mock_resource "aws_vpc" {
  defaults = { id = "vpc-0123456789abcdef0" }
}
mock_resource "aws_subnet" {
  defaults = { availability_zone_id = "euw1-az1" }
}
mock_resource "aws_lb" {
  defaults = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111111111111:loadbalancer/gwy/inspection/0123456789abcdef", arn_suffix = "gwy/inspection/0123456789abcdef" }
}
mock_resource "aws_lb_target_group" {
  defaults = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111111111111:targetgroup/inspection/0123456789abcdef", arn_suffix = "targetgroup/inspection/0123456789abcdef" }
}
mock_resource "aws_lb_listener" {
  defaults = { arn = "arn:aws:elasticloadbalancing:eu-west-1:111111111111:listener/gwy/inspection/0123456789abcdef/0123456789abcdef" }
}
mock_resource "aws_vpc_endpoint_service" {
  defaults = { service_name = "com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0" }
}
mock_resource "aws_vpc_endpoint" {
  defaults = { id = "vpce-0aaaaaaaaaaaaaaaa", prefix_list_id = "pl-0123456789abcdef0" }
}
mock_resource "aws_iam_role" {
  defaults = { arn = "arn:aws:iam::111111111111:role/mock" }
}
mock_resource "aws_iam_instance_profile" {
  defaults = { arn = "arn:aws:iam::111111111111:instance-profile/mock" }
}
mock_resource "aws_kms_key" {
  defaults = { arn = "arn:aws:kms:eu-west-1:111111111111:key/01234567-89ab-cdef-0123-456789abcdef" }
}
mock_resource "aws_s3_bucket" {
  defaults = {
    arn                         = "arn:aws:s3:::inspection-mock"
    bucket                      = "inspection-mock"
    bucket_regional_domain_name = "inspection-mock.s3.eu-west-1.amazonaws.com"
  }
}
mock_resource "aws_sns_topic" {
  defaults = { arn = "arn:aws:sns:eu-west-1:111111111111:inspection-alarms" }
}
mock_resource "aws_sqs_queue" {
  defaults = { arn = "arn:aws:sqs:eu-west-1:111111111111:mirror-sessions-inspection", url = "https://sqs.eu-west-1.amazonaws.com/111111111111/mirror-sessions-inspection" }
}
mock_resource "aws_autoscaling_policy" {
  defaults = { arn = "arn:aws:autoscaling:eu-west-1:111111111111:scalingPolicy:01234567-89ab-cdef-0123-456789abcdef:autoScalingGroupName/inspection:policyName/drops" }
}
mock_resource "aws_cloudwatch_event_rule" {
  defaults = { arn = "arn:aws:events:eu-west-1:111111111111:rule/mock" }
}
mock_resource "aws_cloudwatch_log_group" {
  defaults = { arn = "arn:aws:logs:eu-west-1:111111111111:log-group:/aws/lambda/mirror-sessions-inspection" }
}
mock_resource "aws_lambda_function" {
  defaults = { arn = "arn:aws:lambda:eu-west-1:111111111111:function:mock" }
}
mock_resource "aws_ecs_task_definition" {
  defaults = { arn = "arn:aws:ecs:eu-west-1:111111111111:task-definition/mock:1" }
}
