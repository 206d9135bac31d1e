//! The memory the heap begins with. It is part of the executable, which is linked static and not position independent:
//! its addresses never change. What the build left in it is written back into the file (`snapshot.rs`), and every later
//! process has it from the kernel at exec, page by page as it is touched.
use crate::heap::{self, Heap, Source};
use crate::kernel::{MADV_POPULATE_READ, MADV_POPULATE_WRITE, MAP_FAILED, map, mremap, munmap, prefault};
use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_void;
use core::ptr::{addr_of_mut, null, null_mut};
use rquickjs_sys::{JSContext, JSMallocFunctions, JSRuntime, JSValue, size_t};

/// What the build may fill; the build fails when it is not enough.
pub const SIZE: usize = 6 << 20;
/// What a process may ask from the kernel for the heap.
const LIMIT: usize = 512 << 20;
/// What it may ask besides, once that was too little, to say so.
const RESERVE: usize = 4 << 20;
/// How much of the heap a call is expected to use besides: ready at once, where page faults would cost more.
const USUAL: usize = 128 << 10;

/// What the build leaves for every later process, at the start of the region.
#[repr(C)]
pub struct Root {
    pub magic: [u8; 8],
    pub runtime: *mut JSRuntime,
    pub context: *mut JSContext,
    pub main: JSValue,
    /// printed where not even an error can be made any more
    pub last_words: *const u8,
    pub last_words_length: usize,
    /// what the file ends with: not there when the file was cut short
    seal: *const [u8; 8],
    /// where the blocks begin that calls read, and behind them those that they write to (`layout.rs`)
    pub read: usize,
    pub written: usize,
    heap: Heap<Kernel>,
}

const SPACE: usize = SIZE - size_of::<Root>();

#[repr(C, align(65536))] // the largest page an architecture has
struct Region {
    root: Root,
    space: [u8; SPACE],
}

#[used]
// a section of its own, which the linker puts behind all other data: what is not used of it is not in the file
#[unsafe(link_section = ".region")]
static mut REGION: Region = Region {
    root: Root {
        magic: [0; 8],
        runtime: null_mut(),
        context: null_mut(),
        main: rquickjs_sys::JS_UNDEFINED,
        last_words: null(),
        last_words_length: 0,
        seal: null(),
        read: 0,
        written: 0,
        heap: Heap::new(Kernel),
    },
    space: [0; SPACE],
};

/// Where what the build left ends, nothing of which is ever freed (`frozen.h`); 0 while it is made.
#[unsafe(export_name = "podwire_frozen")]
static mut FROZEN: usize = 0;

pub fn root() -> &'static mut Root {
    // SAFETY: the process has one thread, and nobody keeps the reference over a call that makes another.
    unsafe { &mut *addr_of_mut!(REGION.root) }
}

pub fn start() -> usize {
    addr_of_mut!(REGION) as usize
}

/// Where blocks may lie.
pub fn space() -> usize {
    addr_of_mut!(REGION) as usize + size_of::<Root>()
}

/// Empties what is behind that address, for blocks; for the process that fills the region.
pub fn begin(at: usize) {
    let (place, length) = (at as *mut u8, start() + SIZE - at);
    // SAFETY: one thread, which uses nothing any more that was there.
    unsafe { place.write_bytes(0, length) };
    let root = root();
    (root.read, root.written, root.heap) = (at, at, Heap::new(Kernel));
    root.heap.begin(place, length, 0);
}

pub fn used() -> usize {
    root().heap.top() - start()
}

/// Puts those bytes behind what the build left, at the end of the last page of it.
pub fn seal(mark: [u8; 8]) {
    const HEADER: usize = 8;
    let heap = &mut root().heap;
    let end = (heap.top() + 64).next_multiple_of(4096) - HEADER;
    // SAFETY: the region was readied; each block, header included, is as long as was asked: short ones are not rounded.
    unsafe {
        while end - heap.top() > 1000 {
            heap.allocate(512 - HEADER, true);
        }
        let size = end - heap.top() - HEADER;
        let last: *mut [u8; 8] = heap.allocate(size, true).add(size - size_of_val(&mark)).cast();
        *last = mark;
        root().seal = last;
    }
}

/// Whether those bytes are still there.
pub fn is_sealed(mark: [u8; 8]) -> bool {
    let seal = root().seal;
    // SAFETY: an address in the region, which is read as the process began with it.
    !seal.is_null() && unsafe { *seal } == mark
}

/// What lies below that address stays: reference counts of it are not kept, and its blocks are not used again.
pub fn freeze_below(end: usize) {
    // SAFETY: one thread, and a plain number.
    unsafe { FROZEN = end };
}

/// As `freeze_below`, with all that the build left.
pub fn freeze() {
    freeze_below(root().heap.top());
    root().heap.keep();
}

/// Opens the heap for more than the region, and has the pages that a call needs ready where `soon`.
pub fn open(soon: bool) {
    root().heap.set_limit(LIMIT, RESERVE);
    if !soon {
        return;
    }
    let Root { read, written, .. } = *root();
    let fresh = start() + (used() & !4095);
    prefault(read, written - read, MADV_POPULATE_READ);
    prefault(written, fresh.min(start() + SIZE - USUAL) + USUAL - written, MADV_POPULATE_WRITE);
}

struct Kernel;

impl Source for Kernel {
    fn map(&mut self, length: usize) -> *mut u8 {
        pointer(map(length))
    }
    fn remap(&mut self, start: *mut u8, old: usize, new: usize) -> *mut u8 {
        pointer(mremap(start, old, new))
    }
    fn unmap(&mut self, start: *mut u8, length: usize) {
        munmap(start, length);
    }
}

fn pointer(result: isize) -> *mut u8 {
    if MAP_FAILED.contains(&result) { null_mut() } else { result as *mut u8 }
}

pub const FUNCTIONS: JSMallocFunctions = JSMallocFunctions {
    js_malloc: Some(malloc),
    js_calloc: Some(calloc),
    js_free: Some(free),
    js_realloc: Some(realloc),
    js_malloc_usable_size: Some(usable),
};

unsafe extern "C" fn malloc(_: *mut c_void, size: size_t) -> *mut c_void {
    // SAFETY: the region was readied before an engine was made in it.
    unsafe { root().heap.allocate(size as usize, false).cast() }
}

pub unsafe extern "C" fn calloc(_: *mut c_void, count: size_t, size: size_t) -> *mut c_void {
    // SAFETY: as above; a product too large is refused as a size that is.
    unsafe { root().heap.allocate(count.saturating_mul(size) as usize, true).cast() }
}

pub unsafe extern "C" fn free(_: *mut c_void, block: *mut c_void) {
    if !block.is_null() {
        // SAFETY: the engine gives back what it got, once.
        unsafe { root().heap.release(block.cast()) }
    }
}

unsafe extern "C" fn realloc(_: *mut c_void, block: *mut c_void, size: size_t) -> *mut c_void {
    // SAFETY: the engine passes what it got.
    unsafe {
        if block.is_null() {
            return root().heap.allocate(size as usize, false).cast();
        }
        root().heap.reallocate(block.cast(), size as usize).cast()
    }
}

unsafe extern "C" fn usable(block: *const c_void) -> size_t {
    // SAFETY: the engine asks about what it got.
    unsafe { heap::usable(block.cast()) as size_t }
}

/// The host's own memory is the heap's too, except in the process that fills the region: nothing of the host belongs
/// there.
struct Host;
#[cfg(not(any(test, feature = "fuzz")))]
#[global_allocator]
static HOST: Host = Host;

unsafe extern "C" {
    #[link_name = "malloc"]
    fn libc_malloc(size: usize) -> *mut u8;
    #[link_name = "free"]
    fn libc_free(block: *mut u8);
}

// SAFETY: blocks of either allocator are aligned to 16, and `is_making` never changes in a process.
unsafe impl GlobalAlloc for Host {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > 16 {
            return null_mut();
        }
        // SAFETY: the region is ready before the host allocates.
        unsafe {
            if crate::is_making() { libc_malloc(layout.size()) } else { root().heap.allocate(layout.size(), false) }
        }
    }
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the block came from `alloc` of this process.
        unsafe { if crate::is_making() { libc_free(block) } else { root().heap.release(block) } }
    }
}
