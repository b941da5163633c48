//! The highest rate without loss, and the highest with half a percent of it.

use std::fmt;
use std::time::Duration;

use mirror_testkit::traffic::Profile;
use serde::{Deserialize, Serialize};

use super::{Setting, TrafficFacts, millions};
use crate::measure::{Harness, Load, MeasureError, Session};
use crate::receiver::ReceiverKind;
use crate::search::{Found, Response, Trials, search};

/// The loss that is allowed where some is, as a part of the packets.
pub const SOME_LOSS: f64 = 0.005;

/// The two rates of a receiver.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ndr {
    /// The receiver.
    pub receiver: String,
    /// The traffic.
    pub traffic: TrafficFacts,
    /// Packets per second that the generator can offer, in millions: the search begins there.
    pub greatest: f64,
    /// The highest rate without loss.
    pub loss_free: Found,
    /// The highest rate with no more than [`SOME_LOSS`].
    pub some_loss: Found,
}

impl Ndr {
    /// Searches for the rates of `kind` under `profile`.
    ///
    /// # Errors
    ///
    /// When nothing can be measured.
    pub fn measure(
        setting: &Setting,
        profile: &Profile,
        kind: &ReceiverKind,
        trials: &Trials,
    ) -> Result<Self, MeasureError> {
        let harness = Harness::new(profile, setting.processors, &setting.interrupt)?;
        let session = harness.start(kind)?;
        let greatest = greatest_offer(&session, trials.short)?;
        let find = |loss| find(setting, &session, loss, trials, greatest);
        let (some_loss, loss_free) = (find(SOME_LOSS)?, find(0.0)?);
        session.stop()?;
        Ok(Self {
            receiver: kind.name().to_owned(),
            traffic: profile.into(),
            greatest: millions(greatest as f64),
            loss_free,
            some_loss,
        })
    }
}

/// Packets per second that the generator can offer to a receiver.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive rate")]
pub(super) fn greatest_offer(session: &Session<'_>, duration: Duration) -> Result<u64, MeasureError> {
    let load = Load { rate: None, duration };
    session.send(load)?; // the first packets open the flows
    Ok((session.send(load)?.offered_rate() as u64).max(1))
}

/// Searches with a receiver that runs, whose rate is at most `greatest`.
pub(super) fn find(
    setting: &Setting,
    session: &Session<'_>,
    loss: f64,
    trials: &Trials,
    greatest: u64,
) -> Result<Found, MeasureError> {
    search(loss, trials, greatest, |rate, duration| {
        let (rate_mpps, percent) = (millions(rate as f64), loss * 100.0);
        setting.progress.set_message(format!("{rate_mpps:.3} Mpps with {percent} % loss?"));
        let measured = session.send(Load { rate: Some(rate), duration })?;
        setting.progress.inc(1);
        Ok(Response { offered_rate: measured.offered_rate(), loss: measured.loss() })
    })
}

impl fmt::Display for Ndr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { receiver, traffic, greatest, loss_free, some_loss } = self;
        writeln!(formatter, "{receiver}, {traffic}; the generator can offer {greatest:.3} Mpps")?;
        writeln!(formatter, "  without loss      {loss_free}")?;
        write!(formatter, "  with 0.5 % loss   {some_loss}")
    }
}

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rate {
            Some(rate) => write!(formatter, "{:.3} Mpps", millions(rate as f64))?,
            None => write!(formatter, "none")?,
        }
        write!(formatter, " ({} trials)", self.trials.len())?;
        if self.limited_by_generator {
            formatter.write_str(", or more: the generator could offer no more")?;
        }
        Ok(())
    }
}
