account = "111111111111"
region  = "eu-west-1"
vpc_id  = "vpc-0123456789abcdef0"
subnet_ids = {
  eu-west-1a = "subnet-0aaaaaaaaaaaaaaaa"
  eu-west-1b = "subnet-0bbbbbbbbbbbbbbbb"
}

# One line for each client account, with a secret of its own: `openssl rand -hex 16`.
clients = {
  "222222222222" = "change-this-secret-of-client-2"
  "333333333333" = "change-this-secret-of-client-3"
}

# Made by `cargo deb --package mirror-user` and `cargo build --release --package mirror-sessions`.
package_file = "mirror-capture.deb"
program_file = "mirror-sessions"

# Tags of instances that records get as labels.
capture = { tags = ["Name", "env"] }
