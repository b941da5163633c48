account     = "222222222222"
external_id = "change-this-secret-of-client-2"
vpc_id      = "vpc-0123456789abcdef0"
endpoint_subnets = {
  euw1-az1 = "subnet-0aaaaaaaaaaaaaaaa"
  euw1-az2 = "subnet-0bbbbbbbbbbbbbbbb"
}
