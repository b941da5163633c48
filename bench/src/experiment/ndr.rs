//! The highest rate without loss, and the highest with half a percent of it.

use std::fmt;
use std::time::Duration;

use mirror_testkit::traffic::Profile;
use serde::{Deserialize, Serialize};

use super::{Setting, TrafficFacts, millions};
use crate::measure::{Harness, Load, MeasureError, Session};
use crate::receiver::Kind;
use crate::search::{Found, Goal, Response, search};

/// The loss that is allowed where some is.
pub const SOME: f64 = 0.005;

/// The two rates of a receiver.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ndr {
    /// The receiver.
    pub receiver: String,
    /// The traffic.
    pub traffic: TrafficFacts,
    /// Packets per second that the generator can offer, in millions: the search begins there.
    pub greatest: f64,
    /// Without loss.
    pub loss_free: Found,
    /// With no more than [`SOME`].
    pub some_loss: Found,
}

/// How the time is spent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Each trial of the search.
    pub short: Duration,
    /// The trial that confirms.
    pub long: Duration,
    /// How near the answer must be to the truth, as a part of it.
    pub resolution: f64,
    /// How often a trial is tried before it has failed.
    pub attempts: usize,
}

impl Default for Plan {
    /// Trials of a second, confirmed for half a minute, to one percent.
    fn default() -> Self {
        let (short, long) = (Duration::from_secs(1), Duration::from_secs(30));
        Self { short, long, resolution: 0.01, attempts: 2 }
    }
}

impl Plan {
    /// A few short trials, to see that everything works.
    pub fn quick() -> Self {
        let (short, long) = (Duration::from_millis(50), Duration::from_millis(100));
        Self { short, long, resolution: 0.5, attempts: 1 }
    }

    /// What is searched for.
    pub const fn goal(&self, loss: f64) -> Goal {
        let Self { short, long, resolution, attempts } = *self;
        Goal { loss, resolution, short, long, attempts }
    }
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
        kind: &Kind,
        plan: &Plan,
    ) -> Result<Self, MeasureError> {
        let harness = Harness::new(profile, setting.processors, &setting.interrupt)?;
        let session = harness.start(kind)?;
        let greatest = greatest_offer(&session, plan.short)?;
        let find = |loss| find(setting, &session, &plan.goal(loss), greatest);
        let (some_loss, loss_free) = (find(SOME)?, find(0.0)?);
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
    goal: &Goal,
    greatest: u64,
) -> Result<Found, MeasureError> {
    search(goal, greatest, |rate, duration| {
        let loss = goal.loss * 100.0;
        setting.progress.set_message(format!("{:.3} Mpps with {loss} % loss?", millions(rate as f64)));
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
