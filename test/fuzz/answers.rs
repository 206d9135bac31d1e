//! Where the simulated machine's answers come from, and what becomes of them.
use super::described::Call;
use super::machine::{Machine, put};
use super::recording::{ALL, Answer};
use super::{configuration, mutate, netlink};
use crate::program::Outcome;
use crate::value::Text;
use linux_raw_sys::errno::{ENOENT, ETXTBSY};
use linux_raw_sys::general::O_CREAT;

impl Machine {
    /// What was answered when this scenario asked that for as many times as it has by now (the last answer again where
    /// it did not, and `is_last_kept`), else what another one was told.
    pub fn find(&mut self, keys: &[String], is_last_kept: bool) -> Option<&'static Answer> {
        let recording = self.recording;
        self.asked += 1;
        if super::is_traced() {
            eprintln!("{}", keys[0]);
        }
        for key in keys {
            let Some(list) = self.scenario.index.get(key) else { continue };
            let next = self.cursors.entry(key.clone()).or_default();
            let at = if is_last_kept { (*next).min(list.len() - 1) } else { *next };
            *next += 1;
            if let Some(&number) = list.get(at) {
                self.known += 1;
                return Some(&recording.answers[number]);
            }
        }
        let list = keys.iter().find_map(|key| recording.everywhere.get(key))?;
        Some(&recording.answers[*self.random.pick(list)])
    }

    /// The result of a call that is nothing special.
    pub fn answer(&mut self, call: Call, a: [usize; 6]) -> isize {
        if let Some(errno) = self.plan.failure(&mut self.random, call.name) {
            return -errno;
        }
        let (result, mut bytes) = self.undisturbed(&call, a);
        let is_changed = result >= 0 && self.plan.is_changed(&mut self.random);
        if is_changed && call.into.is_some() {
            self.change(call.name, &mut bytes);
        }
        if result < 0 {
            return result;
        }
        if let Some((address, length)) = call.into {
            bytes.truncate(length);
            put(address, &bytes);
            return if ["read", "getdents64", "readlink", "getrandom"].contains(&call.name) {
                bytes.len() as isize
            } else {
                result
            };
        }
        let result = if is_changed && call.name == "ioctl" { self.random.next() as i32 as isize } else { result };
        self.follow(&call, result)
    }

    fn undisturbed(&mut self, call: &Call, a: [usize; 6]) -> (isize, Vec<u8>) {
        let is_stream = ["read", "getdents64"].contains(&call.name);
        let is_over = is_stream && self.descriptors.get(&call.fd).is_none_or(|open| open.is_read);
        let key = self.key(call);
        let is_known = self
            .scenario
            .index
            .get(&key)
            .is_some_and(|list| self.cursors.get(&key).is_none_or(|&next| next < list.len()));
        if is_over && !is_known {
            return (0, Vec::new());
        }
        if let Some(open) = self.descriptors.get_mut(&call.fd) {
            open.is_read |= is_stream;
        }
        let found = self.find(&[key], !is_stream).or_else(|| self.likely(call, a));
        let Some(answer) = found else { return (0, Vec::new()) };
        (answer.result as isize, answer.parts.first().cloned().unwrap_or_default())
    }

    /// An answer to something that was never asked.
    fn likely(&mut self, call: &Call, a: [usize; 6]) -> Option<&'static Answer> {
        static MISSING: Answer = Answer { result: -(ENOENT as i64), parts: Vec::new() };
        let is_about_file = ["open", "statx", "access", "readlink", "statfs"].contains(&call.name);
        if call.name == "open" && a[2] & O_CREAT as usize != 0 {
            return None;
        }
        if is_about_file && !self.random.one_in(4) {
            return Some(&MISSING);
        }
        if !is_about_file && call.into.is_none() && call.name != "ioctl" {
            return None;
        }
        let recording = self.recording;
        let list = recording.by_name.get(call.name)?;
        Some(&recording.answers[*self.random.pick(list)])
    }

    /// Changes what a call has to say, by the kind of it.
    fn change(&mut self, name: &str, bytes: &mut Vec<u8>) {
        match name {
            "read" | "readlink" => mutate::text(&mut self.random, bytes),
            "getdents64" => *bytes = mutate::names(&mut self.random, bytes),
            _ => mutate::bits(&mut self.random, bytes),
        }
    }

    /// How a program ends that is never started.
    pub fn run(&mut self, file: &Text, argv: &[Text], input: &[u8]) -> Result<Outcome, i32> {
        self.calls += 1;
        self.nanoseconds += 2_000_000;
        if let Some(errno) = self.plan.failure(&mut self.random, "run") {
            return Err(if self.random.one_in(3) { ETXTBSY as i32 } else { errno as i32 });
        }
        let mut words = vec![String::from_utf8_lossy(file.bytes()).into_owned()];
        words.extend(argv.iter().map(|one| String::from_utf8_lossy(one.bytes()).into_owned()));
        words.push(netlink::hash_text(input));
        let key = self.key(&Call { name: "run", words, into: None, fd: 0 });
        let recorded = self.find(&[key], true);
        let any = &self.recording.by_name["run"];
        let Some(answer) =
            recorded.or_else(|| self.random.one_in(2).then(|| &self.recording.answers[*self.random.pick(any)]))
        else {
            return Err(ENOENT as i32);
        };
        let part = |at: usize| answer.parts.get(at).cloned().unwrap_or_default();
        let mut outcome = Outcome {
            status: if answer.result == ALL { 0 } else { answer.result as i32 },
            timed_out: part(0) == b"1",
            stdout: part(1),
            stderr: part(2),
        };
        if self.plan.is_changed(&mut self.random) {
            configuration::change(&mut self.random, &mut outcome.stdout, &self.plan.stdin);
        }
        if self.plan.is_changed(&mut self.random) {
            outcome.status = *self.random.pick(&[0, 256, 9, 11, 127 << 8, 0x7f, 65535]);
            outcome.timed_out = self.random.one_in(4);
        }
        Ok(outcome)
    }
}
