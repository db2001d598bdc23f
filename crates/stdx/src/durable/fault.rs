//! Faults on purpose: what a debug build does instead of its N-th durable step.

use std::fmt::{self, Display};
use std::io;
use std::str::FromStr;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// How the program ends under [`FaultKind::Exit`].
pub const EXIT_CODE: i32 = 86;

/// How long [`FaultKind::Delay`] waits.
const DELAY: Duration = Duration::from_millis(300);

static FAULT: RwLock<Option<Fault>> = RwLock::new(None);

/// What happens before a durable step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// SIGKILL: no handler, no clean-up, as when the power goes.
    Kill,
    /// The process ends by itself with [`EXIT_CODE`], without clean-up.
    Exit,
    /// The task panics.
    Panic,
    /// The step reports an error of input and output.
    Error,
    /// The step never ends; somebody else has to end the process.
    Hang,
    /// The step takes long, then all goes on.
    Delay,
}

const KINDS: &[(FaultKind, &str)] = &[
    (FaultKind::Kill, "kill"),
    (FaultKind::Exit, "exit"),
    (FaultKind::Panic, "panic"),
    (FaultKind::Error, "error"),
    (FaultKind::Hang, "hang"),
    (FaultKind::Delay, "delay"),
];

impl Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = KINDS.iter().find(|(kind, _)| kind == self);
        f.write_str(known.map_or("", |(_, name)| name))
    }
}

/// A fault and its moment, as text `KIND@N`, `KIND@N+` or `N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What happens.
    pub kind: FaultKind,
    /// Before which durable step of the process; 1 is the first.
    pub at: u64,
    /// Whether it happens before every later step too, as when a disk stays broken.
    pub lasting: bool,
}

impl Fault {
    fn strikes(self, number: u64) -> bool {
        number == self.at || self.lasting && number > self.at
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A number alone is the plainest fault: death.
        let (kind, moment) = text.split_once('@').unwrap_or(("kill", text));
        let names = || KINDS.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
        let known = KINDS.iter().find(|(_, name)| *name == kind);
        let (kind, _) = known.ok_or_else(|| format!("`{kind}` is none of {}", names()))?;
        let (number, lasting) = match moment.strip_suffix('+') {
            Some(number) => (number, true),
            None => (moment, false),
        };
        match number.parse() {
            Ok(at) if at > 0 => Ok(Self { kind: *kind, at, lasting }),
            _ => Err(format!("`{moment}` is not the number of a step")),
        }
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}{}", self.kind, self.at, if self.lasting { "+" } else { "" })
    }
}

/// Arms the process with a fault. Only debug builds obey.
pub fn inject(fault: Option<Fault>) {
    *FAULT.write().unwrap_or_else(PoisonError::into_inner) = fault;
}

/// Lets the fault strike, if it is due before this step.
pub(super) fn strike(name: &str, number: u64) -> io::Result<()> {
    if !cfg!(debug_assertions) {
        return Ok(());
    }
    let fault = *FAULT.read().unwrap_or_else(PoisonError::into_inner);
    match fault.filter(|fault| fault.strikes(number)) {
        Some(fault) => act(fault.kind, name, number),
        None => Ok(()),
    }
}

#[allow(clippy::print_stderr, reason = "the harness reads where the fault has struck")]
#[allow(clippy::panic, reason = "a panic is one of the faults that can be asked for")]
fn act(kind: FaultKind, name: &str, number: u64) -> io::Result<()> {
    let story = format!("{kind} before durable step {number}: {name}");
    eprintln!("{story}");
    match kind {
        FaultKind::Kill => {
            let own_process = rustix::process::getpid();
            let _ = rustix::process::kill_process(own_process, rustix::process::Signal::KILL);
            std::process::abort()
        }
        FaultKind::Exit => std::process::exit(EXIT_CODE),
        FaultKind::Panic => panic!("{story}"),
        FaultKind::Error => Err(io::Error::other(story)),
        FaultKind::Hang => loop {
            std::thread::park();
        },
        FaultKind::Delay => {
            std::thread::sleep(DELAY);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_read_as_they_are_written() {
        for text in ["kill@1", "exit@2", "panic@3", "error@4", "error@5+", "hang@6", "delay@7"] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        assert_eq!("7".parse::<Fault>().unwrap().to_string(), "kill@7");
        for text in ["", "0", "kill@0", "kill@", "kill@x", "burn@1", "+"] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_lasting_fault_strikes_from_its_step_on() {
        let once: Fault = "error@3".parse().unwrap();
        let lasting: Fault = "error@3+".parse().unwrap();
        let strikes = |fault: Fault| (1..6).filter(|at| fault.strikes(*at)).collect::<Vec<_>>();
        assert_eq!(strikes(once), [3]);
        assert_eq!(strikes(lasting), [3, 4, 5]);
    }

    #[test]
    fn an_error_names_its_step_and_a_delay_is_none() {
        let error = act(FaultKind::Error, "delta commit", 7).unwrap_err();
        assert_eq!(error.to_string(), "error before durable step 7: delta commit");
        act(FaultKind::Delay, "delta commit", 7).unwrap();
    }
}
