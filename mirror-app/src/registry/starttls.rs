//! Protocols that begin in the clear and lead to TLS.

use super::{Guess, StreamParser};
use crate::finding::{Step, Then};
use crate::protocol::Protocol;
use crate::starttls::{Opening, Reason};

/// The parser of one side of one of them. Function pointers hold no values, so each has functions of its own.
macro_rules! parser {
    ($name:ident, $protocol:ident, $opening:ident) => {
        pub(super) const $name: StreamParser = StreamParser {
            protocol: Protocol::$protocol,
            guess: |bytes| Guess::of(Opening::$opening.begins(bytes)),
            read: |bytes, _| read(Opening::$opening, bytes),
        };
    };
}

parser!(SMTP_CLIENT, Smtp, SmtpClient);
parser!(SMTP_SERVER, Smtp, SmtpServer);
parser!(IMAP_CLIENT, Imap, ImapClient);
parser!(IMAP_SERVER, Imap, ImapServer);
parser!(POSTGRESQL_CLIENT, Postgresql, PostgresqlClient);
parser!(POSTGRESQL_SERVER, Postgresql, PostgresqlServer);
parser!(MYSQL_CLIENT, Mysql, MysqlClient);
parser!(MYSQL_SERVER, Mysql, MysqlServer);

fn read(opening: Opening, bytes: &[u8]) -> Step {
    match opening.read(bytes) {
        Ok(Some(length)) => Step::Found { finding: None, length, then: Then::Switch(Protocol::Tls) },
        Ok(None) => Step::More(bytes.len() + 1),
        // It goes on in the clear, which is no fault.
        Err(Reason::Clear) => Step::Found { finding: None, length: 0, then: Then::Stop },
        Err(reason) => Step::Refused(reason.name()),
    }
}
