//! Options on the command line, over those of a file.

use std::marker::PhantomData;

use clap::{ArgMatches, Args, Command, Error, FromArgMatches};
use serde::Serialize;

/// Flags of the options `T`. None is required, and those that are not given change nothing; the help states each
/// option's default, from `T` itself.
#[derive(Clone, Debug)]
pub struct Flags<T> {
    matches: ArgMatches,
    given: bool,
    options: PhantomData<T>,
}

impl<T: FromArgMatches> Flags<T> {
    /// Sets the options that flags were given for.
    ///
    /// # Errors
    ///
    /// When a value is not one of the option's; that is found before this is called.
    pub fn apply(&self, options: &mut T) -> Result<(), Error> {
        options.update_from_arg_matches(&self.matches)
    }

    /// `true` if any flag was given.
    pub const fn is_given(&self) -> bool {
        self.given
    }
}

impl<T: Args> FromArgMatches for Flags<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let command = T::augment_args_for_update(Command::new("flags"));
        let given = command.get_arguments().any(|argument| matches.contains_id(argument.get_id().as_str()));
        Ok(Self { matches: matches.clone(), given, options: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<T: Args + Default + Serialize> Args for Flags<T> {
    fn augment_args(command: Command) -> Command {
        Self::augment_args_for_update(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        let defaults = toml::Table::try_from(T::default()).unwrap_or_default();
        let command = T::augment_args_for_update(command);
        defaults.iter().fold(command, |command, (option, default)| {
            let is_flag = |argument: &clap::Arg| argument.get_id().as_str() == option;
            // The default of a switch goes without saying.
            if *default == toml::Value::Boolean(false) || !command.get_arguments().any(is_flag) {
                return command;
            }
            command.mut_arg(option, |argument| {
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                let default = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
                argument.help(format!("{help} [default: {default}]"))
            })
        })
    }
}
