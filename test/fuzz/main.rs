//! The fuzz target: podwire's host and engine, compiled with AddressSanitizer, over a simulated machine. An input is a
//! recorded call (configuration, variables, arguments) with changes, and a machine that answers with changes; which,
//! follows from its number. `make fuzz` builds and runs it.
#![allow(non_upper_case_globals)] // the kernel's names
mod allocator;
mod answers;
mod configuration;
mod described;
mod json;
mod judge;
mod machine;
mod mutate;
mod netlink;
mod options;
mod plan;
mod random;
mod recording;
mod shared;
mod streams;
mod watchdog;
mod worker;

use crate::kernel::enter;
use crate::program::Outcome;
use crate::value::Text;
use linux_raw_sys::errno::ENOMEM;
use linux_raw_sys::general::*;
use machine::Machine;
use options::{Options, USAGE};
use plan::Plan;
use random::Random;
use recording::Recording;
use shared::{Shared, VERBS};
use std::cell::{Cell, RefCell};
use std::ffi::{c_char, c_int};
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use worker::{Memory, Worker, make_engine};

/// Far more than the engine uses: what it may, it is told.
const STACK: usize = 256 << 20;

thread_local! {
    static MACHINE: RefCell<Option<Machine>> = const { RefCell::new(None) };
    static WORKER: Cell<*mut Worker> = const { Cell::new(null_mut()) };
}
static BROKEN: OnceLock<String> = OnceLock::new();
static TRACED: AtomicBool = AtomicBool::new(false);

/// True where every call is printed.
fn is_traced() -> bool {
    TRACED.load(Ordering::Relaxed)
}

/// True where the target is to fail this way.
fn is_broken(what: &str) -> bool {
    BROKEN.get().is_some_and(|broken| broken == what)
}

/// The sanitizer's settings. Blocks that were freed wait less long before they are used again, for a process runs few
/// inputs; where they were made and freed is told in four frames, for time's sake.
#[unsafe(no_mangle)]
extern "C" fn __asan_default_options() -> *const c_char {
    concat!(
        "detect_leaks=0:exitcode=99:allocator_may_return_null=1:handle_abort=1:allow_addr2line=1:",
        "quarantine_size_mb=16:malloc_context_size=4\0"
    )
    .as_ptr()
    .cast()
}

/// The engine's clock.
#[unsafe(no_mangle)]
unsafe extern "C" fn gettimeofday(out: *mut [i64; 2], _zone: *mut u8) -> c_int {
    let now = MACHINE.with_borrow_mut(|machine| machine.as_mut().map_or([1, 0], Machine::now));
    // SAFETY: the caller's struct timeval.
    unsafe { *out = [now[0], now[1] / 1000] };
    0
}

/// In the place of `kernel::syscall`.
///
/// # Safety
/// As there.
pub unsafe fn syscall(number: u32, args: [usize; 6]) -> isize {
    let mut machine = MACHINE.take();
    let is_full = number == __NR_mmap && machine.as_mut().is_some_and(|machine| !machine.may_map());
    let result = match (&mut machine, number) {
        _ if is_full => -(ENOMEM as isize),
        (Some(_), __NR_madvise) => 0,
        // SAFETY: the caller's promise; the machine of `exit` is given away.
        (Some(_), __NR_exit_group) => unsafe {
            (*WORKER.get()).exited(machine.take().expect("the machine"), args[0] as i32)
        },
        // SAFETY: the caller's promise.
        (None, _) | (_, __NR_mmap | __NR_mremap | __NR_munmap | __NR_mprotect) => unsafe { enter(number, args) },
        (Some(machine), _) => machine.system_call(number, args),
    };
    if is_traced() {
        eprintln!("  system call {number}: {result}");
    }
    MACHINE.set(machine);
    result
}

/// In the place of `program::run`.
pub fn run(file: &Text, argv: &[Text], _environment: &[Text], input: &[u8], _deadline_ms: i64) -> Result<Outcome, i32> {
    MACHINE.with_borrow_mut(|machine| machine.as_mut().expect("the machine").run(file, argv, input))
}

pub fn main() {
    let Some(options) = Options::parse(std::env::args()) else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    BROKEN.set(options.broken.clone()).expect("it is set once");
    let read = |path: &str| {
        std::fs::read(path).unwrap_or_else(|error| {
            eprintln!("{path}: {error}");
            std::process::exit(2)
        })
    };
    let bundle: &'static [u8] = read(&options.bundle).leak();
    let recording: &'static Recording =
        Box::leak(Box::new(Recording::parse(&String::from_utf8(read(&options.recording)).expect("text"))));
    TRACED.store(options.trace, Ordering::Relaxed);
    let options: &'static Options = Box::leak(Box::new(options));
    let begin = Instant::now();
    let kinds = match options.only {
        Some(input) => vec![Memory::of(input)],
        None => vec![Memory::Own, Memory::Sanitized],
    };
    let total = Shared::map();
    let all: Vec<_> = kinds
        .into_iter()
        .map(|memory| start(Worker { options, recording, shared: Shared::map(), memory }, bundle))
        .collect();
    for (child, counts) in all {
        let status = wait(child);
        // SAFETY: the process that wrote them is gone.
        let counts = unsafe { &*counts };
        total.add(counts);
        total.findings += (status != 0 && counts.findings == 0) as usize;
        counts
            .notes
            .iter()
            .filter(|note| note.count > 0)
            .for_each(|note| println!("note: {} times, first in input {}: {}", note.count, note.first, note.text()));
    }
    report(total, begin);
    std::process::exit((total.findings > 0) as i32);
}

unsafe extern "C" {
    fn fork() -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
}

/// A process for a worker.
fn start(mut worker: Worker, bundle: &'static [u8]) -> (c_int, *const Shared) {
    let shared: *const Shared = &raw const *worker.shared;
    // SAFETY: there is one thread.
    let child = unsafe { fork() };
    if child != 0 {
        return (child, shared);
    }
    let work = move || {
        make_engine(bundle, worker.memory).expect("the bundle");
        WORKER.set(&raw mut worker);
        match worker.options.only {
            _ if worker.options.replay => replay(&mut worker),
            Some(input) => worker.run_one(input),
            None => worker.run_all(),
        }
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(work).expect("a thread");
    std::process::exit(thread.join().is_err() as i32);
}

fn wait(child: c_int) -> c_int {
    let mut status = 0;
    // SAFETY: the child is ours.
    unsafe { waitpid(child, &mut status, 0) };
    status
}

/// The recorded calls, each with the machine they were recorded on: how many end as they did then.
fn replay(worker: &mut Worker) {
    let all = &worker.recording.scenarios;
    let mut same = 0;
    for (number, scenario) in all.iter().enumerate() {
        let (code, stdout) = worker.run_plan(Plan::recorded(worker.recording, number), Random::new(0));
        same += (code == scenario.exit) as usize;
        if code != scenario.exit {
            println!("{}: {code}, recorded {}: {}", scenario.name, scenario.exit, String::from_utf8_lossy(&stdout));
        }
    }
    println!("replayed: {same} of {} ended as recorded", all.len());
}

fn report(total: &Shared, begin: Instant) {
    let listed = |names: Vec<(String, usize)>| {
        names
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| format!("{name} {count}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let verbs = listed(VERBS.iter().zip(total.verbs).map(|(name, count)| (name.to_string(), count)).collect());
    let codes = listed(
        total
            .codes
            .iter()
            .enumerate()
            .map(|(code, &count)| (if code > 999 { "others".into() } else { code.to_string() }, count))
            .collect(),
    );
    let [done, failed, misused] = total.ends;
    println!(
        "{} inputs in {:.0} s: {done} ended with 0, {failed} with 1, {misused} with 2; {} by themselves; {} last words",
        total.inputs,
        begin.elapsed().as_secs_f64(),
        total.exits,
        total.last_words
    );
    println!("verbs: {verbs}\ncodes: {codes}");
    println!(
        "{} system calls; {} % of what was looked for was recorded of the same call",
        total.calls,
        total.known * 100 / total.asked.max(1)
    );
    println!("{} findings", total.findings);
}
