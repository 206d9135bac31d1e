//! What else TypeScript has of the host: `Host` in src/kernel/host.ts, and the loops over bytes of
//! src/net/primitives.ts.
use crate::program::{self, Outcome};
use crate::value::{self, Args, Native, from_bytes, from_number, from_text};
use core::cmp::Ordering;
use core::ffi::{CStr, c_int, c_void};
use core::slice;
use linux_raw_sys::errno::{EINVAL, ENOENT};
use rquickjs_sys::*;
use sha2::{Digest, Sha512};

/// A native function: its name, how many arguments it has, and its body, `None` when one of them is missing or of a
/// wrong type.
macro_rules! native {
    ($name:literal, $arity:literal, |$args:ident| $body:expr) => {{
        unsafe extern "C" fn native(
            context: *mut JSContext,
            _this: JSValue,
            count: c_int,
            values: *mut JSValue,
        ) -> JSValue {
            // SAFETY: the engine's own arguments.
            let $args = unsafe { Args::new(context, count, values) };
            let body = || -> Option<JSValue> { $body };
            body().unwrap_or_else(|| value::refuse(context, $name))
        }
        ($name, $arity, native as Native)
    }};
}

pub static HOST: &[(&CStr, c_int, Native)] = &[
    native!(c"nanoseconds", 0, |_args| Some(JS_NewFloat64(nanoseconds()))),
    native!(c"sha512", 1, |args| Some(hex(args.context, &Sha512::digest(args.text(0)?.bytes())))),
    native!(c"run", 5, |args| run(&args)),
];

pub static PRIMITIVES: &[(&CStr, c_int, Native)] = &[
    native!(c"encodeUtf8", 1, |args| Some(from_bytes(args.context, args.text(0)?.bytes()))),
    native!(c"decodeUtf8", 1, |args| Some(from_text(args.context, args.bytes(0)?))),
    native!(c"decodeCString", 3, |args| Some(from_text(
        args.context,
        c_string(args.bytes(0)?, args.number(1)?, args.number(2)?)
    ))),
    native!(c"findAttribute", 2, |args| Some(from_number(find_attribute(args.bytes(0)?, args.number(1)?)))),
    native!(c"includesAttributes", 2, |args| Some(value::from_bool(includes_attributes(
        args.bytes(0)?,
        args.bytes(1)?
    )))),
    native!(c"encodeHex", 1, |args| Some(hex(args.context, args.bytes(0)?))),
    native!(c"compareBytes", 2, |args| Some(from_number(compare(args.bytes(0)?, args.bytes(1)?)))),
    native!(c"indexOfBytes", 3, |args| Some(from_number(index_of(
        args.bytes(0)?,
        args.bytes(1)?,
        args.number(2).unwrap_or(0)
    )))),
];

/// CLOCK_MONOTONIC; it stands still while a snapshot is made.
fn nanoseconds() -> f64 {
    if crate::is_making() { 0.0 } else { program::now() as f64 }
}

fn hex(context: *mut JSContext, bytes: &[u8]) -> JSValue {
    let digits = b"0123456789abcdef";
    let text: alloc::vec::Vec<u8> =
        bytes.iter().flat_map(|&byte| [digits[byte as usize >> 4], digits[byte as usize & 15]]).collect();
    from_text(context, &text)
}

fn compare(a: &[u8], b: &[u8]) -> i64 {
    match a.cmp(b) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }
}

unsafe extern "C" {
    fn memmem(bytes: *const c_void, length: usize, wanted: *const c_void, wanted_length: usize) -> *const c_void;
}

fn index_of(bytes: &[u8], wanted: &[u8], from: i64) -> i64 {
    let from = usize::try_from(from).unwrap_or(0);
    if from > bytes.len() {
        return -1;
    }
    let rest = &bytes[from..];
    // SAFETY: both lengths are those of the slices.
    let found = unsafe { memmem(rest.as_ptr().cast(), rest.len(), wanted.as_ptr().cast(), wanted.len()) };
    if found.is_null() { -1 } else { (found as usize - bytes.as_ptr() as usize) as i64 }
}

fn c_string(bytes: &[u8], start: i64, end: i64) -> &[u8] {
    let end = usize::try_from(end).unwrap_or(0).min(bytes.len());
    let text = &bytes[usize::try_from(start).unwrap_or(0).min(end)..end];
    &text[..text.iter().position(|&byte| byte == 0).unwrap_or(text.len())]
}

/// struct nlattr { u16 nla_len; u16 nla_type; } (linux/netlink.h): the last of a type in a list.
fn find_attribute(payload: &[u8], wanted: i64) -> i64 {
    let word = |at: usize| payload[at] as usize | (payload[at + 1] as usize) << 8;
    let (mut found, mut at) = (-1, 0);
    while at + 4 <= payload.len() {
        let length = word(at);
        if length < 4 || at + length > payload.len() {
            break;
        }
        if (word(at + 2) & 0x3fff) as i64 == wanted {
            found = at as i64;
        }
        at += (length + 3) & !3;
    }
    found
}

/// Whether a list of attributes says all that another one says, in those that `wanted` flags as nested too.
fn includes_attributes(payload: &[u8], wanted: &[u8]) -> bool {
    const NLA_F_NESTED: usize = 0x8000;
    let word = |bytes: &[u8], at: usize| bytes[at] as usize | (bytes[at + 1] as usize) << 8;
    let mut at = 0;
    while at + 4 <= wanted.len() {
        let (length, kind) = (word(wanted, at), word(wanted, at + 2));
        let there = find_attribute(payload, (kind & 0x3fff) as i64);
        if length < 4 || at + length > wanted.len() || there < 0 {
            return false;
        }
        let there = there as usize;
        let (own, found) = (&wanted[at + 4..at + length], &payload[there + 4..there + word(payload, there)]);
        if if kind & NLA_F_NESTED != 0 { !includes_attributes(found, own) } else { found != own } {
            return false;
        }
        at += (length + 3) & !3;
    }
    true
}

/// (file, argv, environment, input, milliseconds): what came of it, or the errno of a failure to start.
fn run(args: &Args) -> Option<JSValue> {
    let (file, argv, environment) = (args.text(0)?, args.texts(1)?, args.texts(2)?);
    let input = args.bytes(3)?;
    if !file.is_whole() {
        return Some(from_number(-(EINVAL as i64)));
    }
    if crate::is_making() {
        return Some(from_number(-(ENOENT as i64)));
    }
    let context = args.context;
    #[cfg(feature = "fuzz")]
    use crate::fuzz as program;
    Some(match program::run(&file, &argv, &environment, input, args.number(4)?) {
        Err(errno) => from_number(-(errno as i64)),
        Ok(Outcome { status, timed_out, stdout, stderr }) => {
            // SAFETY: a new object of the engine's.
            let ended = unsafe { JS_NewObject(context) };
            value::set(context, ended, c"status", from_number(status as i64));
            value::set(context, ended, c"timedOut", value::from_bool(timed_out));
            value::set(context, ended, c"stdout", from_bytes(context, &stdout));
            value::set(context, ended, c"stderr", from_bytes(context, &stderr));
            ended
        }
    })
}

/// The C string at an address that the kernel gave.
pub fn c_strings<'a>(list: *const *const core::ffi::c_char, count: usize) -> impl Iterator<Item = &'a CStr> {
    // SAFETY: argv and environ are lists of that many C strings that live as long as the process.
    unsafe { slice::from_raw_parts(list, count).iter().map(|&text| CStr::from_ptr(text)) }
}
