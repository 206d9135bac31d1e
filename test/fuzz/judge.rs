//! What is promised of every call, held against what an input led to.
use super::machine::{MOST_CALLS, Machine};
use super::shared::VERBS;
use super::worker::{BATCH, Worker};
use super::{is_broken, json, watchdog};
use crate::region::root;

/// More findings of a kind say nothing new.
const MOST_OF_A_KIND: usize = 3;

impl Worker {
    /// Holds what an input led to against what is promised, and counts it; what was printed.
    pub fn judge(&mut self, machine: Machine, code: i32) -> Vec<u8> {
        let Machine { plan, is_sound, mut stdout, stderr, stdout_failed, calls, asked, known, faults, .. } = machine;
        if is_broken("silence") {
            stdout.clear();
        }
        let said = String::from_utf8_lossy(&stdout).into_owned();
        let verb = plan.verb().map(|verb| String::from_utf8_lossy(verb).into_owned());
        self.count(verb.as_deref(), code, [calls, asked, known]);
        let complaints = String::from_utf8_lossy(&stderr).into_owned();
        for fault in faults {
            self.find("what no sound program does", &fault);
        }
        if watchdog::is_late() {
            self.find("no end in time", &format!("{} s of processor time: {complaints}", self.options.deadline));
        }
        if calls > MOST_CALLS {
            self.find("too many system calls", &calls.to_string());
        }
        if !(0..=2).contains(&code) {
            self.find("an exit code that is none", &code.to_string());
        }
        // SAFETY: the words are the bundle's, where `evaluate` left them.
        let last_words = unsafe { std::slice::from_raw_parts(root().last_words, root().last_words_length) };
        let is_last = code == 1 && stdout.ends_with(last_words);
        if is_last {
            self.shared.last_words += 1;
            if plan.mappings.is_none() && !watchdog::is_late() {
                self.find("last words, though there was memory", &complaints);
            }
            if stdout.len() > last_words.len() {
                self.find("last words after an answer", &said);
            }
        }
        // memory ran out while the answer was being written: what was written stays alone
        let is_cut = code == 1 && plan.mappings.is_some() && json::has_number(said.as_bytes(), "code").is_none();
        if let (Some(verb), false) = (verb, stdout_failed || is_last || is_cut) {
            self.judge_answer((&verb, code), &said, &complaints, is_sound);
        }
        stdout
    }

    /// `is_sound` where what the machine answered was nothing unusual: whatever a runtime says is no internal error.
    fn judge_answer(&mut self, (verb, code): (&str, i32), said: &str, complaints: &str, is_sound: bool) {
        if code == 0 {
            let is_silent = !["ADD", "VERSION"].contains(&verb);
            if is_silent != said.is_empty() || !is_silent && !json::values(said.as_bytes()).1 {
                self.find("success with an answer that is none", &format!("{verb}: {said}"));
            }
            return;
        }
        let Some(number) = json::has_number(said.as_bytes(), "code") else {
            return self
                .find("failure without an error of the specification", &format!("{verb}: {said}\n{complaints}"));
        };
        let slot = usize::try_from(number).unwrap_or(usize::MAX).min(self.shared.codes.len() - 1);
        self.shared.codes[slot] += 1;
        let Some(at) = ["\"msg\": \"internal error", "undefined", "[object"].iter().find_map(|word| said.find(word))
        else {
            return;
        };
        let from = said[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let line = said[from..].split('\n').next().unwrap_or("").trim();
        if is_sound {
            return self.find("an internal error, on a sound machine", line);
        }
        self.shared.note(line);
    }

    fn count(&mut self, verb: Option<&str>, code: i32, [calls, asked, known]: [usize; 3]) {
        let shared = &mut *self.shared;
        let verb =
            verb.map_or(VERBS.len() - 1, |verb| VERBS.iter().position(|one| *one == verb).unwrap_or(VERBS.len() - 2));
        shared.inputs += 1;
        shared.verbs[verb] += 1;
        shared.calls += calls;
        shared.asked += asked;
        shared.known += known;
        if let Some(count) = shared.ends.get_mut(code as usize) {
            *count += 1;
        }
    }

    pub fn find(&mut self, kind: &str, detail: &str) {
        self.shared.findings += 1;
        if self.shared.note(&format!("FINDING {kind}")) > MOST_OF_A_KIND {
            return;
        }
        let (input, seed, first) = (self.shared.current, self.options.seed, self.shared.current / BATCH * BATCH);
        let short: String = detail.chars().take(4_000).collect();
        eprintln!("finding: input {input}, seed {seed}, {:?} memory: {kind}: {short}", self.memory);
        eprintln!("  again: --seed {seed} --only {input}, or its whole process: --first {first} --inputs {BATCH}\n");
    }
}
