//! Where the blocks of the heap that is made at build time lie: those calls write to in pages of their own, those they
//! only read as well, and apart from both what they leave alone. For this the heap is made twice, by the same requests
//! for blocks in the same order. The first time each block has pages to itself, and the warm-up runs once more to see
//! which of them it reaches (`watch.rs`). The second time it is known of each block what becomes of it.
use crate::heap::{HEADER, round, usable};
use crate::region::{self, root};
use crate::watch::{Access, PAGE, watch};
use alloc::vec::Vec;
use core::ffi::c_void;
use core::ptr::{copy_nonoverlapping, null_mut, write_bytes};
use linux_raw_sys::general::{MAP_ANONYMOUS, MAP_NORESERVE, MAP_PRIVATE, PROT_READ, PROT_WRITE};
use rquickjs_sys::{JSMallocFunctions, JSRuntime, size_t};

/// Where the first heap is, in every build: the engine's hash tables go by addresses.
const WIDE: usize = 64 << 30;
const WIDE_SIZE: usize = 2 << 30;
/// What becomes of blocks that are given back before the heap is finished.
const PASSING: Option<Access> = None;
/// Where in the engine's own header of a block its kind is, and that of shapes (struct JSMallocBlockHeader).
const KIND: usize = 3;
const SHAPE: u8 = 2;

/// A block that was asked for: its size as blocks have it, and what becomes of it.
#[derive(Clone, Copy)]
struct Block {
    size: usize,
    fate: Option<Access>,
}

/// The first heap.
struct Wide {
    /// all blocks, in the order in which they were asked for
    blocks: Vec<Block>,
    /// for each page the number of the block that has it
    owners: Vec<usize>,
    /// the first pages of blocks that were given back, by how many they have
    free: Vec<Vec<usize>>,
    /// so many pages and blocks are what a call finds: they stay as they are
    kept: (usize, usize),
}

impl Wide {
    fn begin() -> Wide {
        const FLAGS: u32 = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        // SAFETY: where something is already the kernel chooses another place.
        let start = unsafe { crate::sys!(__NR_mmap, WIDE, WIDE_SIZE, PROT_READ | PROT_WRITE, FLAGS, -1_isize, 0) };
        assert!(start as usize == WIDE, "no room at {WIDE:#x}");
        Wide { blocks: Vec::new(), owners: Vec::new(), free: Vec::new(), kept: (0, 0) }
    }

    fn pages_of(size: usize) -> usize {
        (HEADER + size).div_ceil(PAGE)
    }

    /// The address of the header of a new block.
    fn allocate(&mut self, size: usize) -> usize {
        let pages = Wide::pages_of(size);
        let first = self.free.get_mut(pages).and_then(Vec::pop).unwrap_or(self.owners.len());
        self.owners.resize(self.owners.len().max(first + pages), 0);
        self.owners[first..first + pages].fill(self.blocks.len());
        self.blocks.push(Block { size, fate: Some(Access::None) });
        WIDE + first * PAGE + HEADER
    }

    fn release(&mut self, header: usize, size: usize) {
        let (first, pages) = ((header - WIDE) / PAGE, Wide::pages_of(size));
        if first < self.kept.0 {
            return;
        }
        self.blocks[self.owners[first]].fate = PASSING;
        self.free.resize_with(self.free.len().max(pages + 1), Vec::new);
        self.free[pages].push(first);
    }

    /// From here on a call is followed.
    fn keep(&mut self) {
        self.kept = (self.owners.len(), self.blocks.len());
        self.free.clear();
        region::freeze_below(WIDE + self.owners.len() * PAGE);
    }

    /// What becomes of each block that was there at `keep`, where a call does that with its pages.
    fn fates(&self, accesses: Vec<Access>) -> Vec<Block> {
        let mut blocks = self.blocks[..self.kept.1].to_vec();
        for (page, access) in accesses.into_iter().enumerate() {
            let Block { size, fate } = &mut blocks[self.owners[page]];
            // SAFETY: a block begins with the engine's header, behind our own, and never at the end of a page.
            let kind = unsafe { *((WIDE + page * PAGE + 2 * HEADER + KIND) as *const u8) };
            // which shapes the engine passes over, as it looks for one, depends on where other things lie: any of them
            let least = if kind == SHAPE { Access::Read } else { Access::None };
            // of a large block that is written to most pages are not
            let most = if *size > PAGE { Access::Read } else { Access::Written };
            *fate = fate.map(|before| before.max(access).clamp(least, most));
        }
        blocks
    }
}

/// The heap that stays. What passes lies behind it, in the heap of the region as every call has it.
struct Placed {
    blocks: Vec<Block>,
    /// how many of them were asked for again
    count: usize,
    /// where the next block of each kind lies, by `Access`
    next: [usize; 3],
    /// where those that are read begin, and those that are written to
    read: usize,
    written: usize,
    /// where the last one ends
    end: usize,
}

impl Placed {
    fn begin(blocks: Vec<Block>) -> Placed {
        let mut end = region::space();
        let next = [Access::None, Access::Read, Access::Written].map(|access| {
            let start = end.next_multiple_of(PAGE) + HEADER;
            let sizes = blocks.iter().filter(|block| block.fate == Some(access)).map(|block| block.size);
            end = start + sizes.sum::<usize>();
            start
        });
        region::begin(end);
        let [read, written] = [Access::Read, Access::Written].map(|access| next[access as usize] - HEADER);
        Placed { blocks, count: 0, next, read, written, end }
    }

    /// The address of the header of a new block; 0 for one that passes.
    fn allocate(&mut self, size: usize) -> usize {
        let block = self.blocks[self.count];
        assert!(block.size == size, "the heap is not made as it was before");
        self.count += 1;
        let Some(access) = block.fate else { return 0 };
        let next = &mut self.next[access as usize];
        *next += size;
        *next - size
    }
}

enum Making {
    Nothing,
    Wide(Wide),
    Placed(Placed),
}
static mut MAKING: Making = Making::Nothing;

fn making() -> &'static mut Making {
    // SAFETY: the process has one thread, and nobody keeps the reference over a call that makes another.
    unsafe { &mut *core::ptr::addr_of_mut!(MAKING) }
}

/// Begins the first heap.
pub fn begin() {
    *making() = Making::Wide(Wide::begin());
}

/// The first heap is finished: what happens next is what a call does, or readies it.
pub fn keep() {
    if let Making::Wide(wide) = making() {
        wide.keep();
    }
}

/// Begins the heap that stays: what a call does is known to be what `run` does.
pub fn begin_again<T>(run: impl FnOnce() -> T) -> T {
    let Making::Wide(Wide { kept: (pages, _), .. }) = *making() else { unreachable!() };
    let (accesses, result) = watch(WIDE, pages * PAGE, run);
    region::freeze_below(0);
    if let Making::Wide(wide) = making() {
        let blocks = wide.fates(accesses);
        *making() = Making::Placed(Placed::begin(blocks));
    }
    result
}

/// The heap is finished: from now on it is one as every call has it.
pub fn end(runtime: *mut JSRuntime) {
    let Making::Placed(placed) = core::mem::replace(making(), Making::Nothing) else { return };
    assert!(placed.count == placed.blocks.len(), "the heap is not made as it was before");
    // SAFETY: the engine keeps its allocator at its beginning (struct JSRuntime).
    unsafe {
        let functions = runtime.cast::<JSMallocFunctions>();
        let is_there = (*functions).js_malloc.is_some_and(|found| found as usize == malloc as *const () as usize);
        assert!(is_there, "the engine keeps its allocator elsewhere");
        *functions = region::FUNCTIONS;
    }
    region::begin(placed.end);
    (root().read, root().written) = (placed.read, placed.written);
}

pub const FUNCTIONS: JSMallocFunctions = JSMallocFunctions {
    js_malloc: Some(malloc),
    js_calloc: Some(calloc),
    js_free: Some(free),
    js_realloc: Some(realloc),
    js_malloc_usable_size: region::FUNCTIONS.js_malloc_usable_size,
};

unsafe extern "C" fn malloc(_: *mut c_void, size: size_t) -> *mut c_void {
    allocate(size as usize).cast()
}

unsafe extern "C" fn calloc(_: *mut c_void, count: size_t, size: size_t) -> *mut c_void {
    allocate((count * size) as usize).cast()
}

unsafe extern "C" fn free(_: *mut c_void, block: *mut c_void) {
    if !block.is_null() {
        // SAFETY: the engine gives back what it got, once.
        unsafe { release(block.cast()) }
    }
}

unsafe extern "C" fn realloc(_: *mut c_void, block: *mut c_void, size: size_t) -> *mut c_void {
    // SAFETY: the engine passes what it got.
    unsafe {
        let room = if block.is_null() { 0 } else { usable(block.cast()) };
        if !block.is_null() && size as usize <= room {
            return block;
        }
        let new = allocate(size as usize);
        copy_nonoverlapping(block.cast(), new, room);
        free(null_mut(), block);
        new.cast()
    }
}

/// A block of zeros.
fn allocate(size: usize) -> *mut u8 {
    let whole = round(size + HEADER);
    let header = match making() {
        Making::Nothing => unreachable!(),
        Making::Wide(wide) => wide.allocate(whole),
        Making::Placed(placed) => placed.allocate(whole),
    };
    // SAFETY: so many bytes from the header on are the block's.
    unsafe {
        if header == 0 {
            let block = region::calloc(null_mut(), 1, size as size_t);
            assert!(!block.is_null(), "the heap is larger than its region");
            return block.cast();
        }
        *(header as *mut usize) = whole;
        let block = (header + HEADER) as *mut u8;
        write_bytes(block, 0, whole - HEADER);
        block
    }
}

unsafe fn release(block: *mut u8) {
    // SAFETY: every block has a header before it.
    unsafe {
        match making() {
            Making::Nothing => unreachable!(),
            Making::Wide(wide) => wide.release(block as usize - HEADER, usable(block) + HEADER),
            Making::Placed(placed) => {
                assert!(block as usize > placed.end, "the heap is not made as it was before");
                region::free(null_mut(), block.cast());
            }
        }
    }
}
