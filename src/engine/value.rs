//! Values of the engine as the host's, and back.
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int};
use core::ptr::null_mut;
use core::slice;
use rquickjs_sys::*;

pub type Native = unsafe extern "C" fn(*mut JSContext, JSValue, c_int, *mut JSValue) -> JSValue;

/// The arguments of a native function.
pub struct Args<'a> {
    pub context: *mut JSContext,
    values: &'a [JSValue],
}

impl Args<'_> {
    /// # Safety
    /// The three are what the engine called a native function with.
    pub unsafe fn new<'a>(context: *mut JSContext, count: c_int, values: *mut JSValue) -> Args<'a> {
        // SAFETY: the engine passes `count` values, which live until the function returns.
        Args { context, values: if count > 0 { unsafe { slice::from_raw_parts(values, count as usize) } } else { &[] } }
    }

    /// An argument; undefined where there is none.
    pub fn get(&self, at: usize) -> JSValue {
        self.values.get(at).copied().unwrap_or(JS_UNDEFINED)
    }

    pub fn number(&self, at: usize) -> Option<i64> {
        number(self.context, self.get(at))
    }

    /// The bytes of a Uint8Array, where they lie.
    pub fn bytes(&self, at: usize) -> Option<&mut [u8]> {
        bytes(self.context, self.get(at))
    }

    pub fn text(&self, at: usize) -> Option<Text> {
        Text::of(self.context, self.get(at))
    }

    /// A list of texts, each as a C string; `None` also where one holds a NUL.
    pub fn texts(&self, at: usize) -> Option<Vec<Text>> {
        // SAFETY: plain reads of an array; each element is freed after its text was taken.
        unsafe {
            let (list, mut length) = (self.get(at), 0);
            if !JS_IsArray(list) || JS_GetLength(self.context, list, &mut length) < 0 {
                return None;
            }
            let texts = (0..length).map(|at| {
                let value = JS_GetPropertyInt64(self.context, list, at);
                let text = Text::of(self.context, value);
                JS_FreeValue(self.context, value);
                text.filter(Text::is_whole)
            });
            texts.collect()
        }
    }
}

/// A whole number of a JavaScript number.
pub fn number(context: *mut JSContext, value: JSValue) -> Option<i64> {
    // SAFETY: a number converts without running any code.
    unsafe {
        if JS_IsInt(value) {
            return Some(JS_VALUE_GET_INT(value) as i64);
        }
        let mut number = 0;
        (JS_IsNumber(value) && JS_ToInt64Ext(context, &mut number, value) == 0).then_some(number)
    }
}

pub fn bytes<'a>(context: *mut JSContext, value: JSValue) -> Option<&'a mut [u8]> {
    // SAFETY: the array's memory stays where it is while the native function runs: nothing else does.
    unsafe {
        if !JS_IsObject(value) || JS_GetTypedArrayType(value) != JSTypedArrayEnum_JS_TYPED_ARRAY_UINT8 as c_int {
            return None;
        }
        let mut length = 0;
        let start = JS_GetUint8Array(context, &mut length, value);
        if length == 0 || start.is_null() {
            return Some(&mut []);
        }
        Some(slice::from_raw_parts_mut(start, length as usize))
    }
}

/// A string of the engine in UTF-8, ended by a NUL; freed with this.
pub struct Text {
    context: *mut JSContext,
    start: *mut u8,
    length: usize,
}

impl Text {
    /// `None` for what is no string, or where there is no memory.
    pub fn of(context: *mut JSContext, value: JSValue) -> Option<Text> {
        // SAFETY: a string converts without running any code; the result is ours until it is freed.
        unsafe {
            if !JS_IsString(value) {
                return None;
            }
            let mut length = 0;
            let start = JS_ToCStringLen2(context, &mut length, value, false).cast_mut().cast::<u8>();
            if start.is_null() {
                return None;
            }
            let text = Text { context, start, length: length as usize };
            text.replace_surrogates();
            Some(text)
        }
    }

    /// Half of a surrogate pair, which UTF-8 has no form for, becomes U+FFFD, as TextEncoder has it; of the same
    /// length.
    fn replace_surrogates(&self) {
        // SAFETY: the copy is ours.
        let bytes = unsafe { slice::from_raw_parts_mut(self.start, self.length) };
        for at in 0..self.length.saturating_sub(2) {
            if bytes[at] == 0xed && bytes[at + 1] >= 0xa0 {
                bytes[at..at + 3].copy_from_slice(&[0xef, 0xbf, 0xbd]);
            }
        }
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: it lives as long as this.
        unsafe { slice::from_raw_parts(self.start, self.length) }
    }

    pub fn pointer(&self) -> *const c_char {
        self.start.cast()
    }

    /// True without a NUL inside: the kernel would read another, shorter text.
    pub fn is_whole(&self) -> bool {
        !self.bytes().contains(&0)
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        // SAFETY: it came from JS_ToCStringLen2 and is freed once.
        unsafe { JS_FreeCString(self.context, self.pointer()) }
    }
}

pub fn from_number(value: i64) -> JSValue {
    i32::try_from(value).map_or_else(|_| JS_NewFloat64(value as f64), |small| JS_MKVAL(JS_TAG_INT, small))
}

pub fn from_bool(value: bool) -> JSValue {
    if value { JS_TRUE } else { JS_FALSE }
}

/// A new Uint8Array.
pub fn from_bytes(context: *mut JSContext, bytes: &[u8]) -> JSValue {
    // SAFETY: the engine copies.
    unsafe { JS_NewUint8ArrayCopy(context, bytes.as_ptr(), bytes.len() as size_t) }
}

/// A new string; what is no UTF-8 becomes U+FFFD, as TextDecoder has it.
pub fn from_text(context: *mut JSContext, bytes: &[u8]) -> JSValue {
    let make = |text: &str| {
        // SAFETY: the engine copies.
        unsafe { JS_NewStringLen(context, text.as_ptr().cast(), text.len() as size_t) }
    };
    core::str::from_utf8(bytes).map_or_else(|_| make(&String::from_utf8_lossy(bytes)), make)
}

/// A new array of what the texts say.
pub fn from_list<'a>(context: *mut JSContext, texts: impl Iterator<Item = &'a CStr>) -> JSValue {
    // SAFETY: the array takes the strings over.
    unsafe {
        let list = JS_NewArray(context);
        for (at, text) in texts.enumerate() {
            JS_SetPropertyUint32(context, list, at as u32, from_text(context, text.to_bytes()));
        }
        list
    }
}

/// Sets a property, which takes `value` over.
pub fn set(context: *mut JSContext, object: JSValue, name: &CStr, value: JSValue) {
    // SAFETY: a plain object; an exception (no memory) stays pending and is seen by the engine.
    unsafe { JS_SetPropertyStr(context, object, name.as_ptr(), value) };
}

pub fn get(context: *mut JSContext, object: JSValue, name: &CStr) -> JSValue {
    // SAFETY: a plain object.
    unsafe { JS_GetPropertyStr(context, object, name.as_ptr()) }
}

/// Gives an object the functions as properties.
pub fn add_functions(context: *mut JSContext, object: JSValue, functions: &[(&CStr, c_int, Native)]) {
    for (name, arity, function) in functions {
        // SAFETY: the functions live as long as the executable.
        let value = unsafe {
            JS_NewCFunction2(context, Some(*function), name.as_ptr(), *arity, JSCFunctionEnum_JS_CFUNC_generic, 0)
        };
        set(context, object, name, value);
    }
}

/// Throws a TypeError that names the function.
pub fn refuse(context: *mut JSContext, name: &CStr) -> JSValue {
    // SAFETY: the format takes one C string.
    unsafe { JS_ThrowTypeError(context, c"%s: an argument is missing or of the wrong type".as_ptr(), name.as_ptr()) }
}

/// What was thrown, with its stack, in words.
pub fn describe_exception(context: *mut JSContext) -> Vec<u8> {
    // SAFETY: the exception is ours once it was taken; converting it may run code, in the engine as it stands.
    unsafe {
        let error = JS_GetException(context);
        let words = |value| {
            let mut length = 0;
            let start = JS_ToCStringLen2(context, &mut length, value, false);
            if start.is_null() {
                return Vec::from(c"(no memory for words)".to_bytes());
            }
            let words = slice::from_raw_parts(start.cast::<u8>(), length as usize).to_vec();
            JS_FreeCString(context, start);
            words
        };
        if !JS_IsObject(error) {
            return [b"thrown: ".as_slice(), &words(error), b" (null: there was no memory)"].concat();
        }
        [words(error), b"\n".to_vec(), words(get(context, error, c"stack"))].concat()
    }
}

/// A reference for calls without arguments.
pub const NO_ARGUMENTS: *mut JSValue = null_mut();
