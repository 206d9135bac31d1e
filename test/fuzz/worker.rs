//! Runs inputs: in processes forked for some of them each, from one in which the bundle was evaluated.
use super::machine::Machine;
use super::options::Options;
use super::plan::Plan;
use super::random::Random;
use super::recording::Recording;
use super::shared::Shared;
use super::{MACHINE, allocator, is_broken, watchdog};
use crate::region::{self, root};
use crate::snapshot;
use rquickjs_sys::{JS_RunGC, js_free_rt, js_malloc_rt};
use std::ffi::{CString, c_char, c_int};
use std::ptr::null;
use std::sync::atomic::Ordering;

/// Inputs of one process.
pub const BATCH: usize = 400;
/// Of so many processes one has every stack frame watched after its function returned, which takes half of the time.
const WATCHED: usize = 8;
/// The engine's heap is tidied after so many.
const TIDY: usize = 50;
/// More processes that ended otherwise say nothing new.
const MOST_CRASHES: usize = 10;
/// A process that ended early on purpose: the next input is for another.
const ENDED: c_int = 3;

unsafe extern "C" {
    fn fork() -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn _exit(code: c_int) -> !;
    /// The sanitizer's, which compiled code looks at when a function is called.
    static mut __asan_option_detect_stack_use_after_return: c_int;
}

/// Whose memory the engine is in: its own allocator's, as it is shipped, or the sanitizer's.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Memory {
    Own,
    Sanitized,
}

impl Memory {
    pub fn of(input: usize) -> Memory {
        if input % 2 == 0 { Memory::Own } else { Memory::Sanitized }
    }
}

pub struct Worker {
    pub options: &'static Options,
    pub recording: &'static Recording,
    pub shared: &'static mut Shared,
    pub memory: Memory,
}

/// Evaluates the bundle in this process.
pub fn make_engine(bundle: &[u8], memory: Memory) -> Result<(), String> {
    crate::MAKING.store(true, Ordering::Relaxed);
    let bytecode = snapshot::compile(bundle.to_vec())?;
    region::begin(region::space());
    snapshot::evaluate(&bytecode, if memory == Memory::Own { &region::FUNCTIONS } else { &allocator::FUNCTIONS })?;
    crate::MAKING.store(false, Ordering::Relaxed);
    watchdog::watch(root().runtime);
    Ok(())
}

impl Worker {
    /// Every input of this kind of memory, in processes of their own.
    pub fn run_all(&mut self) {
        let Options { first, inputs, .. } = *self.options;
        let mut next = first;
        let mut crashes = 0;
        while next < first + inputs && crashes < MOST_CRASHES {
            let end = (next / BATCH * BATCH + BATCH).min(first + inputs);
            // SAFETY: the child goes on in this thread, the only one that does anything.
            let child = unsafe { fork() };
            if child == 0 {
                self.run_some(next, end);
            }
            let mut status = 0;
            // SAFETY: the child is ours.
            unsafe { waitpid(child, &mut status, 0) };
            next = match status {
                0 => end,
                _ if status == ENDED << 8 => self.shared.current + 1,
                _ => {
                    let how = if status & 0x7f == 0 {
                        format!("exit code {}", status >> 8)
                    } else {
                        format!("signal {}", status & 0x7f)
                    };
                    self.find("the process ended", &how);
                    crashes += 1;
                    self.shared.current + 1
                }
            };
        }
    }

    fn run_some(&mut self, from: usize, to: usize) -> ! {
        for input in from..to {
            if Memory::of(input) == self.memory {
                self.run_one(input);
            }
        }
        // SAFETY: ends the process.
        unsafe { _exit(0) }
    }

    pub fn run_one(&mut self, input: usize) {
        self.shared.current = input;
        // SAFETY: there is one thread; a frame remembers which way it was made.
        unsafe { __asan_option_detect_stack_use_after_return = (input / BATCH % WATCHED == 0) as c_int };
        let mut random = Random::new(self.options.seed.wrapping_mul(0x1_0000_0001).wrapping_add(input as u64));
        random.next();
        let plan = Plan::choose(self.recording, &mut random);
        self.run_plan(plan, random);
        if input / 2 % TIDY == 0 {
            // SAFETY: no script is running.
            unsafe { JS_RunGC(root().runtime) };
        }
    }

    pub fn run_plan(&mut self, plan: Plan, random: Random) -> (i32, Vec<u8>) {
        let is_short_of_memory = plan.mappings.is_some();
        let (argv, environment) = (pointers(&plan.argv), pointers(&plan.environment));
        let (_argv_kept, _environment_kept) = (plan.argv.clone(), plan.environment.clone());
        let count = plan.argv.len();
        if self.options.trace {
            eprintln!("{}: {plan:?}", self.recording.scenarios[plan.scenario].name);
        }
        break_something();
        allocator::limit(plan.allocations);
        watchdog::arm(self.options.deadline);
        MACHINE.set(Some(Machine::new(self.recording, plan, random)));
        let code = snapshot::run(argv.as_ptr(), count, environment.as_ptr());
        let machine = MACHINE.take().expect("the machine");
        allocator::limit(None);
        let stdout = self.judge(machine, code);
        let is_batch = self.options.only.is_none() && !self.options.replay;
        if is_batch && (is_short_of_memory || watchdog::is_late()) {
            // SAFETY: ends the process: what was half done without memory is nothing to go on with.
            unsafe { _exit(ENDED) };
        }
        (code, stdout)
    }

    /// The script ended the process.
    pub fn exited(&mut self, machine: Machine, code: i32) -> ! {
        self.shared.exits += 1;
        if self.options.trace {
            eprintln!("exit({code}): {}", String::from_utf8_lossy(&machine.stderr));
        }
        self.judge(machine, code);
        // SAFETY: ends the process.
        unsafe { _exit(if self.options.only.is_some() { 0 } else { ENDED }) }
    }
}

fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([null()]).collect()
}

/// What the target must report, to show that it would.
fn break_something() {
    if is_broken("use-after-free") {
        // SAFETY: it is not; that is the point.
        unsafe {
            let block = js_malloc_rt(root().runtime, 100).cast::<u8>();
            js_free_rt(root().runtime, block.cast());
            block.write_bytes(1, std::hint::black_box(100));
        }
    }
    if is_broken("end") {
        panic!("broken on purpose");
    }
}
