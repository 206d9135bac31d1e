//! What an input is: a recorded call, changed, and how often the machine under it does what it did not do then.
use super::random::Random;
use super::recording::Recording;
use super::{configuration, mutate};
use std::ffi::CString;
use std::fmt;

/// asm-generic/errno-base.h and errno.h, and the largest there is.
const ERRNOS: &[isize] = &[
    1, 2, 4, 5, 6, 9, 11, 12, 13, 16, 17, 19, 20, 21, 22, 23, 24, 27, 28, 30, 31, 32, 36, 39, 40, 95, 105, 110, 116,
    122, 4095,
];
/// Calls that fail the same way for a whole input, and how.
const STUBBORN: &[(&str, &[isize])] = &[
    ("open", &[1, 2, 13, 24, 30]),
    ("statx", &[2, 13, 20, 36]),
    ("access", &[2, 13]),
    ("read", &[5, 21, 22]),
    ("write", &[5, 28, 30, 122]),
    ("stdout", &[32, 28, 5]),
    ("stdin", &[5, 21]),
    ("flock", &[11, 37, 9]),
    ("mkdir", &[17, 30, 13]),
    ("link", &[17, 1, 95]),
    ("rename", &[18, 30]),
    ("unlink", &[2, 30]),
    ("getdents64", &[2, 20]),
    ("statfs", &[2, 38]),
    ("fsync", &[5, 28]),
    ("socket", &[1, 93, 97, 24]),
    ("send", &[1, 105, 111]),
    ("recv", &[11, 105]),
    ("setns", &[1, 22]),
    ("ioctl", &[25]),
    ("getrandom", &[38]),
    ("run", &[2, 13, 12]),
    ("setsockopt", &[92]),
    ("getsockopt", &[92]),
    ("poll", &[12]),
];

const VERBS: &[&str] = &["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION", "add", "", "CHECKS"];

#[derive(Clone, Default)]
pub struct Plan {
    pub scenario: usize,
    pub argv: Vec<CString>,
    pub environment: Vec<CString>,
    pub stdin: Vec<u8>,
    /// one answer in so many is changed, and one in twice as many is an error; never where it is 0
    pub odds: usize,
    pub stubborn: Option<(&'static str, isize)>,
    /// how many mappings of memory, and how many blocks of it, are to be had
    pub mappings: Option<usize>,
    pub allocations: Option<usize>,
}

impl Plan {
    /// The recorded call as it was.
    pub fn recorded(recording: &Recording, scenario: usize) -> Plan {
        let one = &recording.scenarios[scenario];
        Plan {
            scenario,
            argv: one.argv.iter().map(|text| c_string(text)).collect(),
            environment: one.environment.iter().map(|text| c_string(text)).collect(),
            stdin: one.stdin.clone(),
            ..Plan::default()
        }
    }

    /// An input, by what `random` says next.
    pub fn choose(recording: &Recording, random: &mut Random) -> Plan {
        let all = &recording.scenarios;
        let (one, other) = (random.below(all.len()), random.below(all.len()));
        // of two the shorter call, mostly: it costs less, and what is shared is tried as well
        let scenario = if random.one_in(4) == (all[one].length > all[other].length) { one } else { other };
        let mut plan = Plan::recorded(recording, scenario);
        plan.odds = *random.pick(&[0, 0, 0, 400, 100, 40, 15, 5]);
        if random.one_in(10) {
            let (name, errnos) = random.pick(STUBBORN);
            plan.stubborn = Some((name, *random.pick(errnos)));
        }
        if random.below(3) > 0 {
            plan.change_stdin(recording, random);
        }
        if random.one_in(6) {
            plan.change_environment(recording, random);
        }
        if random.one_in(if plan.verb().is_some() { 40 } else { 2 }) {
            plan.change_arguments(recording, random);
        }
        if random.one_in(40) {
            plan.mappings = Some(random.below(3));
            plan.allocations = Some(random.up_to_bits(15));
        }
        plan
    }

    fn change_stdin(&mut self, recording: &Recording, random: &mut Random) {
        let donor = &random.pick(&recording.scenarios).stdin;
        if random.one_in(30) {
            self.stdin = donor.clone();
        }
        for _ in 0..1 + random.up_to_bits(3) {
            configuration::change(random, &mut self.stdin, donor);
        }
        self.stdin.truncate(4 << 20);
    }

    fn change_environment(&mut self, recording: &Recording, random: &mut Random) {
        let donor = random.pick(&recording.scenarios);
        let at = random.below(self.environment.len());
        match random.below(8) {
            0 if !self.environment.is_empty() => drop(self.environment.remove(at)),
            1 => self.environment.extend(donor.environment.iter().map(|text| c_string(text))),
            2 => self.environment.insert(at, c_string(format!("CNI_COMMAND={}", random.pick(VERBS)).as_bytes())),
            3 => self
                .environment
                .insert(at, c_string(b"CNI_ARGS=IP=10.9.0.7;MAC=0a:58:0a:09:00:05;IgnoreUnknown=true;x=y")),
            4 => self.environment.insert(at, c_string(b"PODWIRE_LOG=/run/podwire.log")),
            _ if !self.environment.is_empty() => {
                let mut entry = self.environment[at].as_bytes().to_vec();
                mutate::text(random, &mut entry);
                self.environment[at] = c_string(&entry);
            }
            _ => {}
        }
    }

    fn change_arguments(&mut self, recording: &Recording, random: &mut Random) {
        let at = random.below(self.argv.len() + 1);
        if random.one_in(2) && at < self.argv.len() {
            let mut argument = self.argv[at].as_bytes().to_vec();
            mutate::text(random, &mut argument);
            self.argv[at] = c_string(&argument);
        } else if let Some(argument) = random.pick(&recording.scenarios).argv.last() {
            self.argv.insert(at, c_string(argument));
        }
    }

    /// The value of CNI_COMMAND, where it is set and nothing stands behind the program's name, as a person writes it.
    pub fn verb(&self) -> Option<&[u8]> {
        let environment: &[CString] = if self.argv.len() < 2 { &self.environment } else { &[] };
        environment
            .iter()
            .find_map(|entry| entry.as_bytes().strip_prefix(b"CNI_COMMAND="))
            .filter(|verb| !verb.is_empty())
    }

    /// True where only what a runtime says was changed.
    pub fn is_sound(&self) -> bool {
        self.odds == 0 && self.stubborn.is_none() && self.mappings.is_none()
    }

    pub fn is_changed(&self, random: &mut Random) -> bool {
        random.one_in(self.odds)
    }

    /// The errno a call fails with, though it did not when it was recorded.
    pub fn failure(&self, random: &mut Random, name: &str) -> Option<isize> {
        if let Some((stubborn, errno)) = self.stubborn {
            if stubborn == name {
                return Some(errno);
            }
        }
        random.one_in(self.odds * 2).then(|| *random.pick(ERRNOS))
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let Plan { argv, environment, stdin, odds, stubborn, mappings, allocations, .. } = self;
        let memory = (mappings, allocations);
        write!(
            out,
            "{argv:?} {environment:?} {}\nodds {odds} stubborn {stubborn:?} memory {memory:?}",
            String::from_utf8_lossy(stdin)
        )
    }
}

/// Up to the first NUL, as the kernel would take it.
fn c_string(bytes: &[u8]) -> CString {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    CString::new(&bytes[..end]).expect("no NUL")
}
