//! Syslog (RFC 5424) over TCP or TLS (RFC 5425), with octet counting (RFC 6587, section 3.4.1). The message is the record in
//! ECS as JSON. At least once: syslog has no answer, so a group counts as delivered when the receiver, having read to its
//! end, closes the connection.

use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mirror_spool::Entry;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde::Deserialize;

use super::{Delivered, DeliveryError, Destination};
use crate::config::DestinationConfig;
use crate::table::write_json;
use crate::{ecs, source, time};

/// Settings of a receiver.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SyslogConfig {
    /// Address, as `collector:6514`.
    pub address: String,
    /// File with the certificates of authorities in PEM; with it the connection is by TLS.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Name that the receiver's certificate must have; the host of the address if it is not set.
    #[serde(default)]
    pub server_name: Option<String>,
    /// Value of the header's HOSTNAME.
    #[serde(default = "nil")]
    pub hostname: String,
}

/// NILVALUE.
fn nil() -> String {
    "-".to_owned()
}

/// Facility local0 and severity Informational (RFC 5424, section 6.2.1).
const PRIORITY: u8 = 16 * 8 + 6;
const TIMEOUT: Duration = Duration::from_secs(30);

/// A receiver.
pub struct Syslog {
    config: DestinationConfig,
    settings: SyslogConfig,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

enum Connection {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Connection {
    /// Ends what is sent, and waits until the receiver has read it and closes.
    fn close(self) -> io::Result<()> {
        let mut rest = [0; 512];
        let read = match self {
            Self::Plain(mut stream) => {
                stream.shutdown(Shutdown::Write)?;
                stream.read(&mut rest)?
            }
            Self::Tls(mut stream) => {
                stream.conn.send_close_notify();
                stream.flush()?;
                stream.sock.shutdown(Shutdown::Write)?;
                match stream.read(&mut rest) {
                    // It closed without saying so first, having read everything.
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => 0,
                    read => read?,
                }
            }
        };
        if read == 0 { Ok(()) } else { Err(io::Error::other("it answered, which syslog receivers do not")) }
    }
}

impl Syslog {
    /// A receiver, which is reached when there is something to deliver.
    ///
    /// # Errors
    ///
    /// When the authorities' certificates cannot be read, or a name is none.
    pub fn new(config: &DestinationConfig, settings: &SyslogConfig) -> Result<Self, DeliveryError> {
        let tls = match &settings.ca_file {
            None => None,
            Some(path) => Some(
                Self::tls(settings, path)
                    .map_err(DeliveryError::of(format!("cannot use {} for TLS", path.display())))?,
            ),
        };
        Ok(Self { config: config.clone(), settings: settings.clone(), tls })
    }

    fn tls(
        settings: &SyslogConfig,
        path: &Path,
    ) -> Result<(Arc<ClientConfig>, ServerName<'static>), Box<dyn std::error::Error + Send + Sync>> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path)? {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let host = settings.address.rsplit_once(':').map_or(&*settings.address, |(host, _)| host);
        let name = settings.server_name.as_deref().unwrap_or(host).trim_matches(['[', ']']).to_owned();
        Ok((Arc::new(config), ServerName::try_from(name)?))
    }

    fn connect(&self) -> io::Result<Connection> {
        let mut stream = TcpStream::connect(&self.settings.address)?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let Some((config, name)) = &self.tls else { return Ok(Connection::Plain(stream)) };
        let mut connection =
            ClientConnection::new(Arc::clone(config), name.clone()).map_err(io::Error::other)?;
        connection.complete_io(&mut stream)?;
        Ok(Connection::Tls(Box::new(StreamOwned::new(connection, stream))))
    }

    fn failed(&self) -> impl FnOnce(io::Error) -> DeliveryError {
        let what = format!("cannot send to {}", self.settings.address);
        move |error| DeliveryError::of(what)(error.into())
    }
}

impl Destination for Syslog {
    fn deliver(&mut self, spool: &Path, group: &[Entry]) -> Result<Delivered, DeliveryError> {
        let mut connection = BufWriter::with_capacity(1 << 16, self.connect().map_err(self.failed())?);
        let mut result = Delivered::default();
        let mut message = Vec::with_capacity(2048);
        for entry in group {
            source::records(spool, entry, false, |record| {
                if !self.config.takes(&record.flow) {
                    result.drop_record("filtered", record.flow.accounted);
                    return Ok(());
                }
                message.clear();
                // RFC 5424 allows microseconds.
                let time = time::rfc3339(record.flow.end);
                let time = &time[..time.len() - 4];
                // Writing into memory cannot fail.
                let _ =
                    write!(message, "<{PRIORITY}>1 {time}Z {} mirror-ship - flow - ", self.settings.hostname);
                write_json(ecs::FLOW, &record, &mut message);
                let sent =
                    write!(connection, "{} ", message.len()).and_then(|()| connection.write_all(&message));
                sent.map_err(self.failed())?;
                result.count(record.flow.accounted);
                Ok::<_, DeliveryError>(())
            })?;
        }
        let connection = connection.into_inner().map_err(|error| self.failed()(error.into_error()))?;
        connection.close().map_err(self.failed())?;
        Ok(result)
    }

    fn check(&mut self) -> Result<String, DeliveryError> {
        self.connect().map_err(self.failed())?;
        let by = if self.tls.is_some() { "TLS" } else { "TCP" };
        Ok(format!("{} takes connections by {by}", self.settings.address))
    }
}
