//! A simulated machine under the engine: every system call but those for memory is answered from a recording, or with
//! what is likely, and now and then with something else. Nothing of it reaches the kernel, and everything ends.
use super::described::Call;
use super::plan::Plan;
use super::random::Random;
use super::recording::{Recording, Scenario};
use linux_raw_sys::general::*;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::slice;

const SELF: &str = "/proc/thread-self/ns/net";
const AF_NETLINK: &str = "16";
const SOL_NETLINK: &str = "270";
const NETLINK_ADD_MEMBERSHIP: &str = "1";
/// Nothing is changed any more after so many calls, and no input makes that many by itself.
const QUIET_AFTER: usize = 3_000;
pub const MOST_CALLS: usize = 50_000;

#[derive(Default)]
pub struct Descriptor {
    pub label: String,
    /// what a socket has received
    pub pending: VecDeque<Vec<u8>>,
    /// hears what a multicast group is told
    pub is_member: bool,
    /// read once already though the recording knows nothing of it
    pub is_read: bool,
}

pub struct Machine {
    pub recording: &'static Recording,
    pub scenario: &'static Scenario,
    pub cursors: HashMap<String, usize>,
    pub plan: Plan,
    /// nothing unusual was planned
    pub is_sound: bool,
    pub random: Random,
    pub descriptors: BTreeMap<usize, Descriptor>,
    in_pod: bool,
    pub nanoseconds: u64,
    pub stdin: VecDeque<u8>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// standard output could not be written to
    pub stdout_failed: bool,
    pub calls: usize,
    /// how many answers were looked for, and how many the scenario's own recording had
    pub asked: usize,
    pub known: usize,
    /// what no sound program does
    pub faults: Vec<String>,
    maps: usize,
}

/// The bytes a call hands over; the sanitizer sees them read.
pub fn given(address: usize, length: usize) -> Vec<u8> {
    if length == 0 {
        return Vec::new();
    }
    // SAFETY: the engine passes address and length of bytes.
    unsafe { slice::from_raw_parts(address as *const u8, length) }.to_vec()
}

/// Writes what a call has to say where it was told to; the sanitizer sees it.
pub fn put(address: usize, bytes: &[u8]) {
    if !bytes.is_empty() {
        // SAFETY: the engine passes memory that is as long as the call takes it to be.
        unsafe { slice::from_raw_parts_mut(address as *mut u8, bytes.len()) }.copy_from_slice(bytes);
    }
}

impl Machine {
    pub fn new(recording: &'static Recording, plan: Plan, random: Random) -> Machine {
        let descriptors = (0..3).map(|fd| (fd, Descriptor { label: fd.to_string(), ..Default::default() })).collect();
        Machine {
            recording,
            scenario: &recording.scenarios[plan.scenario],
            cursors: HashMap::new(),
            stdin: plan.stdin.iter().copied().collect(),
            is_sound: plan.is_sound(),
            plan,
            random,
            descriptors,
            in_pod: false,
            nanoseconds: 1_000_000_000_000,
            stdout: Vec::new(),
            stderr: Vec::new(),
            stdout_failed: false,
            calls: 0,
            asked: 0,
            known: 0,
            faults: Vec::new(),
            maps: 0,
        }
    }

    /// Seconds since 1970 and nanoseconds.
    pub fn now(&mut self) -> [i64; 2] {
        self.nanoseconds += 1_000;
        [1_700_000_000 + (self.nanoseconds / 1_000_000_000) as i64, (self.nanoseconds % 1_000_000_000) as i64]
    }

    /// False once no more memory is to be had.
    pub fn may_map(&mut self) -> bool {
        self.maps += 1;
        self.plan.mappings.is_none_or(|most| self.maps <= most)
    }

    /// The result of a system call, as the kernel returns it.
    pub fn system_call(&mut self, number: u32, a: [usize; 6]) -> isize {
        self.calls += 1;
        self.nanoseconds += 10_000;
        if self.calls > QUIET_AFTER {
            self.plan.odds = 0;
            self.plan.stubborn = None;
        }
        match number {
            __NR_clock_gettime => put(a[1], &self.now().map(i64::to_le_bytes).concat()),
            __NR_nanosleep => {
                let time = given(a[0], 16);
                self.nanoseconds += duration(&time);
            }
            __NR_getpid => return 4711,
            __NR_ppoll => return self.poll(a),
            __NR_close => return self.close(a[0]),
            __NR_write => return self.write(a),
            __NR_read if a[0] == 0 => return self.read_stdin(a),
            __NR_sendto => return self.send(a),
            __NR_recvfrom => return self.receive(a),
            _ => {
                let call = self.describe(number, a);
                return self.answer(call, a);
            }
        }
        0
    }

    /// What a descriptor is; using one that is not open is a fault.
    pub fn label(&mut self, fd: usize) -> String {
        if fd as i32 == AT_FDCWD {
            return "-".into();
        }
        if let Some(open) = self.descriptors.get(&(fd as i32 as usize)) {
            return open.label.clone();
        }
        self.faults.push(format!("descriptor {} is used, which is not open", fd as i32));
        fd.to_string()
    }

    pub fn key(&self, call: &Call) -> String {
        [if self.in_pod { "pod " } else { "" }, call.name, " ", &call.words.join(" ")].concat()
    }

    /// What a successful call changes; its result.
    pub fn follow(&mut self, call: &Call, result: isize) -> isize {
        let place = if self.in_pod { "@pod" } else { "" };
        match call.name {
            "open" => self.descriptor(format!("{}{place}", call.words[0])),
            "socket" => {
                let family =
                    if call.words[0] == AF_NETLINK { "netlink".into() } else { format!("socket{}", call.words[0]) };
                self.descriptor(format!("{family}.{}{place}", call.words[2]))
            }
            "setns" => {
                self.in_pod = call.words[0] != SELF;
                result
            }
            "setsockopt" => {
                let joins = call.words[1..] == [SOL_NETLINK, NETLINK_ADD_MEMBERSHIP];
                self.descriptors.get_mut(&call.fd).into_iter().for_each(|socket| socket.is_member |= joins);
                result
            }
            _ => result,
        }
    }

    fn descriptor(&mut self, label: String) -> isize {
        let fd = (0..).find(|fd| !self.descriptors.contains_key(fd)).expect("a number");
        self.descriptors.insert(fd, Descriptor { label, ..Default::default() });
        fd as isize
    }

    fn close(&mut self, fd: usize) -> isize {
        self.label(fd);
        self.descriptors.remove(&fd);
        0
    }
}

/// struct timespec, in nanoseconds.
pub fn duration(time: &[u8]) -> u64 {
    let word = |at: usize| u64::from_le_bytes(time[at..at + 8].try_into().expect("eight bytes"));
    word(0) * 1_000_000_000 + word(8)
}
