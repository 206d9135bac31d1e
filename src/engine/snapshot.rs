//! Makes the executable that is shipped, this one with a heap in which the bundle was evaluated, and runs it.
use crate::region::{self, Root, SIZE, root};
use crate::{calls, file, layout, natives, value};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int};
use core::ptr::null_mut;
use core::slice;
use rquickjs_sys::*;

#[cfg(not(any(test, feature = "fuzz")))]
use crate::entry::FOR_SCRIPT;
#[cfg(any(test, feature = "fuzz"))]
const FOR_SCRIPT: usize = 4 << 20;

const MAGIC: [u8; 8] = *b"podwire1";

pub fn is_present() -> bool {
    root().magic == MAGIC
}

/// Evaluates `bundle`, a script that leaves an object `podwire` with `main`, `lastWords` and perhaps `warmUp`, and
/// writes the executable `out`. What calls reach of the heap is what `warmUp` does, or that of an object `rehearsal` which
/// another script leaves.
pub fn make(bundle: &CStr, out: &CStr, rehearsal: Option<&CStr>) -> Result<String, String> {
    let bytecode = compile(file::read(bundle)?)?;
    let rehearsal = rehearsal.map(|path| compile(file::read(path)?)).transpose()?;
    layout::begin();
    evaluate(&bytecode, &layout::FUNCTIONS)?;
    layout::keep();
    let context = root().context;
    // SAFETY: the engine that was made just now, in one thread.
    unsafe {
        if let Some(bytecode) = &rehearsal {
            load(context, bytecode)?;
        }
        layout::begin_again(|| warm_up(context, if rehearsal.is_some() { c"rehearsal" } else { c"podwire" }))?;
    }
    evaluate(&bytecode, &layout::FUNCTIONS)?;
    layout::end(root().runtime);
    region::seal(MAGIC);
    write(out)?;
    Ok(format!("heap: {} kB of {} kB\n", region::used() >> 10, SIZE >> 10))
}

/// Evaluates the bundle in a new engine with that allocator, up to where `run` goes on.
pub fn evaluate(bytecode: &[u8], allocator: &JSMallocFunctions) -> Result<(), String> {
    // SAFETY: the engine's interface as its header says, in one thread.
    unsafe {
        let runtime = JS_NewRuntime2(allocator, null_mut());
        // no search for cycles: a process lives for milliseconds, and reference counts do the rest
        JS_SetGCThreshold(runtime, usize::MAX as size_t);
        JS_SetMaxStackSize(runtime, FOR_SCRIPT as size_t);
        let context = new_context(runtime);
        let global = JS_GetGlobalObject(context);
        let host = calls::object(context);
        value::add_functions(context, host, natives::HOST);
        value::set(context, global, c"host", host);
        let primitives = JS_NewObject(context);
        value::add_functions(context, primitives, natives::PRIMITIVES);
        value::set(context, global, c"primitives", primitives);
        forget_random(context, global);
        load(context, bytecode)?;
        warm_up(context, c"podwire")?;
        JS_RunGC(runtime);
        let script = value::get(context, global, c"podwire");
        let words =
            value::Text::of(context, value::get(context, script, c"lastWords")).ok_or("the bundle has no lastWords")?;
        let Root { magic, runtime: kept, context: in_use, main, last_words, last_words_length, .. } = root();
        (*magic, *kept, *in_use, *main) = (MAGIC, runtime, context, value::get(context, script, c"main"));
        (*last_words, *last_words_length) = (words.pointer().cast(), words.bytes().len());
        core::mem::forget(words);
    }
    Ok(())
}

/// Evaluates a script in an engine.
unsafe fn load(context: *mut JSContext, bytecode: &[u8]) -> Result<(), String> {
    // SAFETY: the engine's interface as its header says, in one thread.
    unsafe {
        let code = JS_ReadObject(context, bytecode.as_ptr(), bytecode.len() as size_t, JS_READ_OBJ_BYTECODE as c_int);
        check(context, JS_EvalFunction(context, code))
    }
}

/// Calls `warmUp` of a script, if it has one.
unsafe fn warm_up(context: *mut JSContext, script: &CStr) -> Result<(), String> {
    // SAFETY: as above.
    unsafe {
        let script = value::get(context, JS_GetGlobalObject(context), script);
        let warm_up = value::get(context, script, c"warmUp");
        if !JS_IsFunction(context, warm_up) {
            return Ok(());
        }
        check(context, JS_Call(context, warm_up, JS_UNDEFINED, 0, value::NO_ARGUMENTS))
    }
}

/// `Math.random` was seeded just now: it would give every process the same numbers.
unsafe fn forget_random(context: *mut JSContext, global: JSValue) {
    // SAFETY: a plain property of a plain object.
    unsafe {
        let atom = JS_NewAtom(context, c"random".as_ptr());
        JS_DeleteProperty(context, value::get(context, global, c"Math"), atom, 0);
        JS_FreeAtom(context, atom);
    }
}

fn check(context: *mut JSContext, result: JSValue) -> Result<(), String> {
    // SAFETY: a look at a tag.
    if unsafe { JS_IsException(result) } {
        return Err(String::from_utf8_lossy(&value::describe_exception(context)).into_owned());
    }
    Ok(())
}

/// Compiled by an engine of its own, on the C library's allocator: the heap holds neither source nor what the compiler
/// left.
pub fn compile(mut source: Vec<u8>) -> Result<Vec<u8>, String> {
    source.push(0);
    // SAFETY: the source ends with a NUL; the bytecode is copied before anything else happens.
    unsafe {
        let context = new_context(JS_NewRuntime());
        let flags = (JS_EVAL_TYPE_GLOBAL | JS_EVAL_FLAG_COMPILE_ONLY) as c_int;
        let code = JS_Eval(context, source.as_ptr().cast(), (source.len() - 1) as size_t, c"podwire".as_ptr(), flags);
        check(context, code)?;
        let mut length = 0;
        let bytes = JS_WriteObject(
            context,
            &mut length,
            code,
            (JS_WRITE_OBJ_BYTECODE | JS_WRITE_OBJ_STRIP_SOURCE | JS_WRITE_OBJ_STRIP_DEBUG) as c_int,
        );
        Ok(slice::from_raw_parts(bytes, length as usize).to_vec())
    }
}

/// A context with what the bundle uses of the language. `eval` is there for the compiler alone: the bundle has none.
unsafe fn new_context(runtime: *mut JSRuntime) -> *mut JSContext {
    // SAFETY: the runtime is new; where there is no memory the build fails at the first use.
    unsafe {
        let context = JS_NewContextRaw(runtime);
        JS_AddIntrinsicBaseObjects(context);
        JS_AddIntrinsicDate(context);
        JS_AddIntrinsicEval(context);
        JS_AddIntrinsicRegExp(context);
        JS_AddIntrinsicJSON(context);
        JS_AddIntrinsicProxy(context);
        JS_AddIntrinsicMapSet(context);
        JS_AddIntrinsicTypedArrays(context);
        JS_AddIntrinsicPromise(context);
        JS_AddIntrinsicBigInt(context);
        JS_AddIntrinsicWeakRef(context);
        context
    }
}

/// This process's executable with what the region holds, and without what is not used of it: the kernel gives zeros.
fn write(out: &CStr) -> Result<(), String> {
    let mut file = file::read(c"/proc/self/exe")?;
    let end = region::start() + SIZE;
    let segment =
        headers(&file, PROGRAM).find(|&at| word(&file, at + P_VADDR, 8) + word(&file, at + P_FILESZ, 8) == end);
    let segment = segment.ok_or("the region is not the end of a segment of the executable")?;
    let file_end = word(&file, segment + P_OFFSET, 8) + word(&file, segment + P_FILESZ, 8);
    let used = region::used().next_multiple_of(4096).min(SIZE);
    // SAFETY: so many bytes of the region are this process's, and nobody writes them now.
    let bytes = unsafe { slice::from_raw_parts(region::start() as *const u8, used) };
    file[file_end - SIZE..][..used].copy_from_slice(bytes);
    let less = SIZE - used;
    subtract(&mut file, segment + P_FILESZ, less);
    // what linkers and debuggers read lies behind it
    let sections: Vec<usize> = headers(&file, SECTION).collect();
    for at in sections {
        if word(&file, at + SH_ADDR, 8) + word(&file, at + SH_SIZE, 8) == end {
            subtract(&mut file, at + SH_SIZE, less);
        } else if word(&file, at + SH_OFFSET, 8) >= file_end {
            subtract(&mut file, at + SH_OFFSET, less);
        }
    }
    subtract(&mut file, SECTION.0, less);
    file.drain(file_end - less..file_end);
    file::write(out, &file)
}

/// Where Elf64_Ehdr (elf.h) says where a table of headers is, how long one is, and how many there are.
type Table = (usize, usize, usize);
const PROGRAM: Table = (32, 54, 56);
const SECTION: Table = (40, 58, 60);
// Offsets in Elf64_Phdr and Elf64_Shdr.
const P_OFFSET: usize = 8;
const P_VADDR: usize = 16;
const P_FILESZ: usize = 32;
const SH_ADDR: usize = 16;
const SH_OFFSET: usize = 24;
const SH_SIZE: usize = 32;

fn headers(file: &[u8], (offset, size, count): Table) -> impl Iterator<Item = usize> + use<> {
    let (first, size) = (word(file, offset, 8), word(file, size, 2));
    (0..word(file, count, 2)).map(move |n| first + n * size)
}

/// A number of so many bytes, the lowest first.
fn word(file: &[u8], at: usize, size: usize) -> usize {
    file[at..at + size].iter().rev().fold(0, |number, &byte| number << 8 | byte as usize)
}

fn subtract(file: &mut [u8], at: usize, less: usize) {
    let number = word(file, at, 8) - less;
    file[at..at + 8].copy_from_slice(&number.to_le_bytes());
}

/// As `run`, at the start of a process of the executable that `make` wrote, if all of it is there.
pub fn start(argv: *const *const c_char, count: usize, environment: *const *const c_char) -> i32 {
    if !region::is_sealed(MAGIC) {
        file::print(2, b"podwire: this executable was cut short: copy it again\n");
        return 1;
    }
    region::freeze();
    run(argv, count, environment)
}

/// Calls the bundle's main; the exit code.
pub fn run(argv: *const *const c_char, count: usize, environment: *const *const c_char) -> i32 {
    // SAFETY: the environment is a list that ends with null.
    let variables = (0..).take_while(|&at| unsafe { !(*environment.add(at)).is_null() }).count();
    // a call that is over before it would pay
    let is_brief = natives::c_strings(environment, variables).any(|entry| entry == c"CNI_COMMAND=VERSION");
    region::open(!is_brief);
    calls::forget_answers();
    let (runtime, context, main) = (root().runtime, root().context, root().main);
    // SAFETY: the engine as `make` left it, in the one thread there is.
    unsafe {
        JS_UpdateStackTop(runtime);
        let mut args = [
            value::from_list(context, natives::c_strings(argv, count)),
            value::from_list(context, natives::c_strings(environment, variables)),
        ];
        let code = JS_Call(context, main, JS_UNDEFINED, 2, args.as_mut_ptr());
        if let Some(code) = value::number(context, code) {
            return code as i32;
        }
        // nothing of script can be relied on any more; an answer that was given already stays the only one
        if !calls::has_answered() {
            file::print(1, slice::from_raw_parts(root().last_words, root().last_words_length));
        }
        file::print(2, b"podwire: ");
        file::print(2, &value::describe_exception(context));
        file::print(2, b"\n");
        1
    }
}
