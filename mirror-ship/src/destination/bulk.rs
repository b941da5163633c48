//! Elasticsearch and OpenSearch by the bulk API, into a data stream. No doubles: a record's id is the same at every attempt, and
//! `create` refuses one that is there (the bulk API of either documents the answers).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use mirror_spool::{Entry, write_atomically};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::warn;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::{Delivered, DeliveryError, Destination};
use crate::backoff::Backoff;
use crate::config::DestinationConfig;
use crate::ecs;
use crate::ship;
use crate::source;
use crate::table::{Kind, identity, write_json};

/// Settings of a cluster.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BulkConfig {
    /// Address, as `https://host:9200`.
    pub url: String,
    /// Data stream; its index template has the same name.
    #[serde(default = "data_stream")]
    pub data_stream: String,
    /// File with the value of the `Authorization` header: `ApiKey …` or `Basic …`.
    #[serde(default)]
    pub authorization_file: Option<PathBuf>,
    /// File with the certificates of authorities in PEM, for `https`.
    #[serde(default = "ca_file")]
    pub ca_file: PathBuf,
    /// Bytes of a request, about.
    #[serde(default = "request_bytes")]
    pub request_bytes: usize,
    /// Seconds that a request may take.
    #[serde(default = "timeout")]
    pub timeout: u64,
}

fn data_stream() -> String {
    "logs-mirror.flow-default".to_owned()
}

/// Where Debian and its descendants have them.
fn ca_file() -> PathBuf {
    PathBuf::from("/etc/ssl/certs/ca-certificates.crt")
}

const fn request_bytes() -> usize {
    5_000_000
}

const fn timeout() -> u64 {
    60
}

/// Attempts at items that the cluster has no room for, before the whole group is tried again.
const ITEM_ATTEMPTS: u32 = 5;
/// Dead letters that are kept of a group; more are only counted.
const MOST_DEAD_LETTERS: usize = 10_000;
/// Bytes of an answer that are read.
const LONGEST_ANSWER: u64 = 64 << 20;

/// A record on its way.
struct Item {
    id: String,
    document: Vec<u8>,
    packets: u64,
}

/// A cluster.
pub struct Bulk {
    config: DestinationConfig,
    settings: BulkConfig,
    agent: ureq::Agent,
    authorization: Option<String>,
    dead_letters: PathBuf,
    has_template: bool,
}

/// The answer to a request.
#[derive(Deserialize)]
struct Answer {
    items: Vec<BTreeMap<String, ItemAnswer>>,
}

#[derive(Deserialize)]
struct ItemAnswer {
    status: u16,
    #[serde(default)]
    error: Value,
}

impl Bulk {
    /// Opens a cluster.
    ///
    /// # Errors
    ///
    /// When the authorization or the authorities' certificates cannot be read.
    pub fn new(
        config: &DestinationConfig,
        settings: &BulkConfig,
        state: &Path,
    ) -> Result<Self, DeliveryError> {
        let authorization = match &settings.authorization_file {
            None => None,
            Some(path) => {
                let read = std::fs::read_to_string(path);
                let text = read.map_err(|error| {
                    DeliveryError::of(format!("cannot read {}", path.display()))(error.into())
                })?;
                Some(text.trim().to_owned())
            }
        };
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(settings.timeout)))
            .tls_config(tls(settings)?)
            .build()
            .new_agent();
        Ok(Self {
            config: config.clone(),
            settings: settings.clone(),
            agent,
            authorization,
            dead_letters: state.join(format!("{}.dead-letters", config.name)),
            has_template: false,
        })
    }

    /// A request; the answer with a status below 300, or else its status.
    fn request(
        &self,
        method: &str,
        path: &str,
        content: &str,
        body: &[u8],
    ) -> Result<Value, (Option<u16>, String)> {
        let url = format!("{}/{path}", self.settings.url.trim_end_matches('/'));
        let mut request =
            ureq::http::Request::builder().method(method).uri(&url).header("content-type", content);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let answer = if method == "GET" {
            request.body(()).map(|request| self.agent.run(request))
        } else {
            request.body(body).map(|request| self.agent.run(request))
        };
        let mut answer =
            answer.map_err(|error| (None, error.to_string()))?.map_err(|error| (None, error.to_string()))?;
        let status = answer.status().as_u16();
        let text = answer
            .body_mut()
            .with_config()
            .limit(LONGEST_ANSWER)
            .read_to_vec()
            .map_err(|error| (None, format!("the answer ended early: {error}")))?;
        if status >= 300 {
            let words: String = String::from_utf8_lossy(&text).chars().take(300).collect();
            return Err((Some(status), format!("status {status}: {words}")));
        }
        serde_json::from_slice(&text).map_err(|error| (None, format!("the answer is not JSON: {error}")))
    }

    fn put_template(&mut self) -> Result<(), DeliveryError> {
        if self.has_template {
            return Ok(());
        }
        let name = &self.settings.data_stream;
        let body = serde_json::to_vec(&template(name)).unwrap_or_default();
        self.request("PUT", &format!("_index_template/{name}"), "application/json", &body)
            .map_err(|(_, cause)| DeliveryError::of("cannot put the index template")(cause.into()))?;
        self.has_template = true;
        Ok(())
    }

    /// Sends items until each has an answer that is final.
    fn send(
        &self,
        items: &mut Vec<Item>,
        result: &mut Delivered,
        dead: &mut Vec<u8>,
    ) -> Result<(), DeliveryError> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        for _ in 0..ITEM_ATTEMPTS {
            if items.is_empty() {
                return Ok(());
            }
            let mut body = Vec::with_capacity(self.settings.request_bytes + 4096);
            for item in &*items {
                body.extend_from_slice(b"{\"create\":{\"_id\":\"");
                body.extend_from_slice(item.id.as_bytes());
                body.extend_from_slice(b"\"}}\n");
                body.extend_from_slice(&item.document);
                body.push(b'\n');
            }
            let path = format!("{}/_bulk", self.settings.data_stream);
            match self.request("POST", &path, "application/x-ndjson", &body) {
                Ok(answer) => self.sort(answer, items, result, dead)?,
                Err((Some(429 | 503), cause)) => warn!("{}: {cause}", self.config.name),
                Err((_, cause)) => return Err(DeliveryError::of("cannot send records")(cause.into())),
            }
            if !items.is_empty() {
                ship::pause(backoff.wait(), &AtomicBool::new(false));
            }
        }
        if items.is_empty() {
            return Ok(());
        }
        let cause = format!("{} items were refused {ITEM_ATTEMPTS} times", items.len());
        Err(DeliveryError::of("the cluster has no room now")(cause.into()))
    }

    /// Takes items away that are answered for good, and leaves those to be tried again.
    fn sort(
        &self,
        answer: Value,
        items: &mut Vec<Item>,
        result: &mut Delivered,
        dead: &mut Vec<u8>,
    ) -> Result<(), DeliveryError> {
        let answer: Answer = serde_json::from_value(answer)
            .map_err(|error| DeliveryError::of("the answer is none of the bulk API")(error.into()))?;
        if answer.items.len() != items.len() {
            let cause = format!("{} items of {}", answer.items.len(), items.len());
            return Err(DeliveryError::of("the answer is not about what was sent")(cause.into()));
        }
        let sent = std::mem::take(items);
        for (item, answer) in sent.into_iter().zip(answer.items) {
            let Some(answer) = answer.into_values().next() else { continue };
            match answer.status {
                // A conflict: it is there from an earlier attempt.
                200..300 | 409 => result.count(item.packets),
                429 | 500..600 => items.push(item),
                _ => {
                    result.drop_record("dead_letter", item.packets);
                    let count = dead.iter().filter(|byte| **byte == b'\n').count();
                    if count < MOST_DEAD_LETTERS {
                        let document: Value = serde_json::from_slice(&item.document).unwrap_or_default();
                        let letter = json!({"id": item.id, "status": answer.status, "error": answer.error, "document": document});
                        dead.extend_from_slice(letter.to_string().as_bytes());
                        dead.push(b'\n');
                    }
                }
            }
        }
        Ok(())
    }

    /// Keeps the dead letters of a group, under a name that another attempt at it has again.
    fn keep(&self, group: &[Entry], dead: &[u8]) -> Result<(), DeliveryError> {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { return Ok(()) };
        if dead.is_empty() {
            return Ok(());
        }
        let path = self.dead_letters.join(format!("{:016}-{:016}.ndjson", first.sequence, last.sequence));
        std::fs::create_dir_all(&self.dead_letters)
            .and_then(|()| write_atomically(&path, dead))
            .map_err(|error| DeliveryError::of(format!("cannot write {}", path.display()))(error.into()))
    }
}

impl Destination for Bulk {
    fn deliver(&mut self, spool: &Path, group: &[Entry]) -> Result<Delivered, DeliveryError> {
        self.put_template()?;
        let mut result = Delivered::default();
        let mut dead = Vec::new();
        let mut items = Vec::new();
        let mut bytes = 0;
        for entry in group {
            source::records(spool, entry, false, |record| {
                if !self.config.takes(&record.flow) {
                    result.drop_record("filtered", record.flow.accounted);
                    return Ok(());
                }
                let mut document = Vec::with_capacity(2048);
                write_json(ecs::FLOW, &record, &mut document);
                bytes += document.len();
                items.push(Item { id: identity(&record), document, packets: record.flow.accounted });
                if bytes >= self.settings.request_bytes {
                    bytes = 0;
                    self.send(&mut items, &mut result, &mut dead)?;
                }
                Ok::<_, DeliveryError>(())
            })?;
        }
        self.send(&mut items, &mut result, &mut dead)?;
        self.keep(group, &dead)?;
        Ok(result)
    }

    fn check(&mut self) -> Result<String, DeliveryError> {
        let answer = self
            .request("GET", "", "application/json", b"")
            .map_err(|(_, cause)| DeliveryError::of("the cluster does not answer")(cause.into()))?;
        self.put_template()?;
        let version = answer["version"]["number"].as_str().unwrap_or("of an unknown version");
        Ok(format!("{} answers, {version}; the index template is there", self.settings.url))
    }
}

/// How the cluster is known. Without `https` nothing is read.
fn tls(settings: &BulkConfig) -> Result<TlsConfig, DeliveryError> {
    let mut roots = Vec::new();
    if settings.url.starts_with("https:") {
        let failed = |cause| DeliveryError::of(format!("cannot use {}", settings.ca_file.display()))(cause);
        let text = std::fs::read(&settings.ca_file).map_err(|error| failed(error.into()))?;
        for item in parse_pem(&text) {
            if let PemItem::Certificate(certificate) = item.map_err(|error| failed(error.into()))? {
                roots.push(certificate);
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .unversioned_rustls_crypto_provider(provider)
        .build())
}

/// The index template: the types of ECS for the fields of the mapping.
pub fn template(data_stream: &str) -> Value {
    let mut properties = json!({});
    for leaf in ecs::FLOW {
        let kind = match leaf.kind {
            Kind::Time if leaf.path == "@timestamp" => "date",
            Kind::Time => "date_nanos",
            Kind::Int | Kind::Long => "long",
            Kind::Flag => "boolean",
            Kind::Text | Kind::Texts if leaf.path.ends_with(".ip") => "ip",
            Kind::Text | Kind::Texts => "keyword",
        };
        let mut place = &mut properties;
        for (depth, name) in leaf.path.split('.').enumerate() {
            if depth > 0 {
                place = &mut place["properties"];
            }
            place = &mut place[name];
        }
        place["type"] = kind.into();
    }
    json!({
        "index_patterns": [data_stream],
        "data_stream": {},
        "priority": 500,
        "template": {
            "settings": {"index.codec": "best_compression"},
            "mappings": {"dynamic": false, "properties": properties},
        },
    })
}
