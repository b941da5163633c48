//! The commands.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mirror_spool::acknowledge;
use tracing::error;

use crate::config::Config;
use crate::ship::{ShipError, Shipping, Step, pause};
use crate::time;

/// Wait between two looks at a spool that has nothing to deliver.
const IDLE: Duration = Duration::from_secs(1);
/// Clocks further off than this break signed requests (AWS Signature Version 4 allows five minutes).
const EARLIEST_CLOCK: u64 = 1_735_689_600 * time::SECOND;

/// Delivers: if `drain`, what is there and no more, else until `stop`. Files that every destination has are removed.
///
/// # Errors
///
/// When a destination cannot be opened. When one of several fails later, the others go on, and the error is returned at the end.
pub fn deliver(config: &Config, drain: bool, stop: &AtomicBool) -> Result<(), ShipError> {
    let open = |destination| Shipping::open(&config.spool, &config.state, destination);
    let shippings = config.destinations.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let mut reached: Vec<u64> = shippings.iter().map(|shipping| shipping.cursor().sequence).collect();
    let mut acknowledged = 0;
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for (number, mut shipping) in shippings.into_iter().enumerate() {
            let sender = sender.clone();
            threads.push(scope.spawn(move || -> Result<(), ShipError> {
                loop {
                    match shipping.step(drain, stop)? {
                        // The receiver lives as long as the scope.
                        Step::Delivered => drop(sender.send((number, shipping.cursor().sequence))),
                        Step::Stopped => return Ok(()),
                        Step::Idle if drain || stop.load(Ordering::Relaxed) => return Ok(()),
                        Step::Idle => pause(IDLE, stop),
                    }
                }
            }));
        }
        drop(sender);
        let mut result = Ok(());
        let mut settle = |reached: &[u64]| {
            let all = reached.iter().copied().min().unwrap_or(0);
            if all <= acknowledged {
                return;
            }
            match acknowledge(&config.spool, all) {
                Ok(()) => acknowledged = all,
                Err(cause) => error!("files that are delivered cannot be removed: {cause}"),
            }
        };
        settle(&reached);
        for (number, sequence) in receiver {
            reached[number] = sequence;
            settle(&reached);
        }
        for thread in threads {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(cause)) => result = Err(cause),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        result
    })
}

/// Checks every destination, and prints a line for each; `true` if all are well.
///
/// # Errors
///
/// When a cursor cannot be read.
pub fn check(config: &Config) -> Result<bool, ShipError> {
    let mut all_well = true;
    let mut tell = |name: &str, found: Result<String, String>| match found {
        Ok(words) => println!("ok      {name}: {words}"),
        Err(words) => {
            all_well = false;
            println!("FAILED  {name}: {words}");
        }
    };
    let spool = mirror_spool::Manifest::read(&config.spool).map_err(|error| error.to_string());
    tell("spool", spool.map(|manifest| format!("{} lines in its manifest", manifest.entries.len())));
    let clock = time::now() > EARLIEST_CLOCK;
    tell("clock", if clock { Ok(time::rfc3339(time::now())) } else { Err("it is before 2025".to_owned()) });
    for destination in &config.destinations {
        let found = match Shipping::open(&config.spool, &config.state, destination) {
            Ok(mut shipping) => shipping.check().map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        tell(&destination.name, found);
    }
    Ok(all_well)
}
