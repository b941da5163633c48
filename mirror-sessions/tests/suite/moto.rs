//! The moto server, a mock of AWS, with the mirror actions; its Python environment is created when it is missing.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_ec2::config::Credentials;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// The account that moto assigns to unknown credentials.
pub const HUB: &str = "123456789012";
/// An account that is accessed through its role.
pub const MEMBER: &str = "222222222222";
pub const REGION: &str = "eu-west-1";

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/moto")
}

/// The Python of the environment, or the reason why there is none.
fn python() -> Result<PathBuf, String> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PYTHON.get_or_init(make_environment).clone()
}

/// Creates the environment under `target/`, named after the hash of its requirements, unless it exists.
fn make_environment() -> Result<PathBuf, String> {
    let requirements = directory().join("requirements.txt");
    let hash = Sha256::digest(std::fs::read(&requirements).map_err(|error| error.to_string())?);
    let name = format!("moto-{:02x}{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2], hash[3]);
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let python = root.join("bin/python");
    let complete = root.join("complete");
    let lock = File::create(root.with_extension("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if complete.exists() {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&root))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&requirements))?;
    File::create(complete).map_err(|error| error.to_string())?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}", words.lines().last().unwrap_or("no words")))
}

/// A server, which is killed when this value is dropped.
pub struct Moto {
    server: Child,
    python: PathBuf,
    port: u16,
    pub files: TempDir,
}

/// Starts a server, or prints a line with the reason why the test is skipped.
pub fn start() -> Option<Moto> {
    let python = match python() {
        Ok(python) => python,
        Err(reason) => {
            println!("SKIPPED: no moto server: {reason}");
            return None;
        }
    };
    let mut server = Command::new(&python)
        .arg(directory().join("server.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let answer: Value = serde_json::from_str(&line).expect("the server says its port");
    let port = u16::try_from(answer["port"].as_u64().unwrap()).unwrap();
    Some(Moto { server, python, port, files: tempfile::tempdir().unwrap() })
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Moto {
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sets attributes of `mirror_actions.Settings`.
    pub fn set(&self, settings: &Value) {
        self.control("POST", "settings", &settings.to_string());
    }

    /// Number of calls of an action in all accounts, whatever their result.
    pub fn calls(&self, action: &str) -> u64 {
        let calls: serde_json::Map<String, Value> =
            serde_json::from_str(&self.control("GET", "calls", "")).unwrap();
        let of_action = calls.iter().filter(|(key, _)| key.split(' ').nth(1) == Some(action));
        of_action.map(|(_, count)| count.as_u64().unwrap()).sum()
    }

    fn control(&self, method: &str, path: &str, body: &str) -> String {
        self.http(&format!("{method} /_mirror/{path}"), "", body)
    }

    /// Puts an EC2 state change on the event bus of the account that the access key belongs to. The crate has no
    /// client of EventBridge, and the CLI takes longer to start than an event may take to be acted on.
    pub fn put_event(&self, access_key: &str, detail: &Value) {
        let entry = serde_json::json!({"Entries": [{
            "Source": "aws.ec2",
            "DetailType": "EC2 Instance State-change Notification",
            "Detail": detail.to_string(),
        }]});
        let headers = format!(
            "X-Amz-Target: AWSEvents.PutEvents\r\nContent-Type: application/x-amz-json-1.1\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential={access_key}/20260101/{REGION}/events/aws4_request, \
             SignedHeaders=host, Signature=0\r\n"
        );
        let answer = self.http("POST /", &headers, &entry.to_string());
        assert!(answer.contains("EventId"), "{answer}");
    }

    /// Sends an HTTP request; returns the body of the answer.
    fn http(&self, what: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let length = body.len();
        write!(
            stream,
            "{what} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        // Answers without a length come in chunks; of such short ones there is one.
        let json = body.find(['{', '[']).map_or("", |start| &body[start..]);
        json[..json.rfind(['}', ']']).map_or(0, |end| end + 1)].to_owned()
    }

    /// A script of `tests/moto`, with the server's URL as its argument.
    pub fn script(&self, name: &str) -> Output {
        Command::new(&self.python).arg(directory().join(name)).arg(self.url()).output().unwrap()
    }

    /// The `aws` CLI.
    pub fn aws(&self, arguments: &[&str]) -> Output {
        self.environment(Command::new(&self.python).args(["-m", "awscli"]).args(arguments)).output().unwrap()
    }

    /// The `aws` CLI with other credentials.
    pub fn aws_as(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = Command::new(&self.python);
        self.environment(command.args(["-m", "awscli"]).args(arguments)).envs(environment.iter().copied());
        command.output().unwrap()
    }

    /// Runs the `aws` CLI, asserts success, and returns the answer.
    pub fn aws_json(&self, arguments: &[&str]) -> Value {
        let output = self.aws(arguments);
        assert!(output.status.success(), "aws {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        if output.stdout.is_empty() { Value::Null } else { serde_json::from_slice(&output.stdout).unwrap() }
    }

    /// Adds the environment in which the CLI and the program find the server.
    pub fn environment<'command>(&self, command: &'command mut Command) -> &'command mut Command {
        command
            .env("AWS_ENDPOINT_URL", self.url())
            .env("AWS_ACCESS_KEY_ID", "testing")
            .env("AWS_SECRET_ACCESS_KEY", "testing")
            .env("AWS_REGION", REGION)
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    }

    /// The program, with the policy of [`Self::policy`].
    pub fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mirror-sessions"));
        self.environment(&mut command).arg("--policy").arg(self.path("policy.toml")).args(arguments);
        command
    }

    /// Runs the program and asserts its exit code; returns its standard output.
    pub fn run(&self, arguments: &[&str], expected: i32) -> String {
        let output = self.program(arguments).output().unwrap();
        let (out, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(expected), "{arguments:?}\n{out}\n{log}");
        out.into_owned()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Writes the policy.
    pub fn policy(&self, text: &str) {
        std::fs::write(self.path("policy.toml"), text).unwrap();
    }

    /// Credentials and endpoint of an account.
    pub async fn config(&self, account: &str, region: &str) -> SdkConfig {
        let base = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .endpoint_url(self.url())
            .region(aws_config::Region::new(region.to_owned()))
            .credentials_provider(Credentials::new("testing", "testing", None, None, "test"))
            .load()
            .await;
        if account == HUB {
            return base;
        }
        let role = format!("arn:aws:iam::{account}:role/mirror-sessions");
        let answer =
            aws_sdk_sts::Client::new(&base).assume_role().role_arn(role).role_session_name("test").send();
        let answer = answer.await.unwrap();
        let credentials = answer.credentials().unwrap();
        let credentials = Credentials::new(
            credentials.access_key_id(),
            credentials.secret_access_key(),
            Some(credentials.session_token().to_owned()),
            None,
            "test",
        );
        let provider = aws_sdk_ec2::config::SharedCredentialsProvider::new(credentials);
        base.to_builder().credentials_provider(provider).build()
    }

    /// Credentials of an account, as environment variables.
    pub async fn keys(&self, account: &str) -> Vec<(&'static str, String)> {
        use aws_sdk_ec2::config::ProvideCredentials as _;
        let config = self.config(account, REGION).await;
        let keys = config.credentials_provider().unwrap().provide_credentials().await.unwrap();
        vec![
            ("AWS_ACCESS_KEY_ID", keys.access_key_id().to_owned()),
            ("AWS_SECRET_ACCESS_KEY", keys.secret_access_key().to_owned()),
            ("AWS_SESSION_TOKEN", keys.session_token().unwrap_or_default().to_owned()),
        ]
    }

    /// Creates a VPC and a Gateway Load Balancer endpoint in an account.
    pub async fn account(&self, account: &str, region: &str) -> Account {
        let config = self.config(account, region).await;
        let ec2 = aws_sdk_ec2::Client::new(&config);
        let vpc = ec2.create_vpc().cidr_block("10.0.0.0/16").send().await.unwrap();
        let vpc = vpc.vpc().unwrap().vpc_id().unwrap().to_owned();
        let subnet = ec2
            .create_subnet()
            .vpc_id(&vpc)
            .cidr_block("10.0.0.0/16")
            .availability_zone(format!("{region}a"));
        let subnet = subnet.send().await.unwrap().subnet().unwrap().subnet_id().unwrap().to_owned();
        let endpoint = ec2
            .create_vpc_endpoint()
            .vpc_id(&vpc)
            .service_name(format!("com.amazonaws.vpce.{region}.vpce-svc-1"))
            .vpc_endpoint_type(aws_sdk_ec2::types::VpcEndpointType::GatewayLoadBalancer)
            .subnet_ids(&subnet)
            .send()
            .await
            .unwrap();
        let endpoint = endpoint.vpc_endpoint().unwrap().vpc_endpoint_id().unwrap().to_owned();
        let images = ec2.describe_images().send().await.unwrap();
        let image = images.images().first().unwrap().image_id().unwrap().to_owned();
        Account { ec2, config, subnet, endpoint, image }
    }
}

/// An account of the server, with the resources that tests need.
pub struct Account {
    pub ec2: aws_sdk_ec2::Client,
    pub config: SdkConfig,
    pub subnet: String,
    pub endpoint: String,
    image: String,
}

impl Account {
    /// Starts instances with a role tag; their ids.
    pub async fn launch(&self, count: i32, role: &str, instance_type: &str) -> Vec<String> {
        use aws_sdk_ec2::types::{InstanceType, ResourceType, Tag, TagSpecification};
        let specification = TagSpecification::builder()
            .resource_type(ResourceType::Instance)
            .tags(Tag::builder().key("role").value(role).build())
            .build();
        let answer = self
            .ec2
            .run_instances()
            .image_id(&self.image)
            .instance_type(InstanceType::from(instance_type))
            .subnet_id(&self.subnet)
            .min_count(count)
            .max_count(count)
            .tag_specifications(specification)
            .send()
            .await
            .unwrap();
        answer.instances().iter().map(|instance| instance.instance_id().unwrap().to_owned()).collect()
    }

    pub async fn sessions(&self) -> Vec<aws_sdk_ec2::types::TrafficMirrorSession> {
        let pages = self.ec2.describe_traffic_mirror_sessions().into_paginator().items().send();
        pages.collect::<Result<_, _>>().await.unwrap()
    }

    pub async fn filters(&self) -> Vec<aws_sdk_ec2::types::TrafficMirrorFilter> {
        self.ec2.describe_traffic_mirror_filters().send().await.unwrap().traffic_mirror_filters().to_vec()
    }

    pub async fn targets(&self) -> Vec<aws_sdk_ec2::types::TrafficMirrorTarget> {
        self.ec2.describe_traffic_mirror_targets().send().await.unwrap().traffic_mirror_targets().to_vec()
    }

    /// Waits until there are `count` sessions; returns the time that this took.
    pub async fn wait_for_sessions(&self, count: usize, at_most: Duration) -> Duration {
        let start = Instant::now();
        loop {
            let found = self.sessions().await.len();
            if found == count {
                return start.elapsed();
            }
            assert!(start.elapsed() < at_most, "{found} sessions instead of {count} after {at_most:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A process, which is killed when this value is dropped.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
