//! The allocator of the engine and of the host. Its memory is a region that is part of the executable (`region.rs`), so
//! everything in it stays at its address from the build to the last run; what does not fit is asked from the kernel.
//!
//! Small blocks come from free lists by size class, else from the end of the used part; large ones are mappings of
//! their own, given back when they are freed. Blocks are never joined or split: a process lives for milliseconds.
use crate::poison;
use core::ptr::{copy_nonoverlapping, null_mut, write_bytes};

/// Before each block: its size, this header included. Blocks are at multiples of 16, so the lowest bit is free for
/// `MAPPED`.
pub const HEADER: usize = 8;
const MAPPED: usize = 1;
/// Blocks up to this size have a class per 16 bytes, larger ones four per doubling.
const LINEAR: usize = 1 << 10;
/// From this size on a block is a mapping of its own.
const LARGE: usize = 256 << 10;
const CLASSES: usize = LINEAR / 16 + 4 * (LARGE.ilog2() - LINEAR.ilog2()) as usize;
/// No block is larger: sums of sizes cannot overflow.
const LARGEST: usize = 1 << 40;
/// Asked from the kernel at once when the region is full.
const GROW: usize = 1 << 20;

/// Where more memory comes from.
pub trait Source {
    /// Zeroed memory, or null.
    fn map(&mut self, length: usize) -> *mut u8;
    fn remap(&mut self, start: *mut u8, old: usize, new: usize) -> *mut u8;
    fn unmap(&mut self, start: *mut u8, length: usize);
}

#[repr(C)]
pub struct Heap<S> {
    pub source: S,
    /// the first byte that belongs to no block, less the header of the next one; 8 below a multiple of 16
    next: usize,
    /// from here on nothing was ever written: zeros
    fresh: usize,
    end: usize,
    /// blocks below this address are never used again
    kept: usize,
    /// what may still be asked from the source
    left: usize,
    /// what may be asked besides once that was too little: room to say so
    reserve: usize,
    free: [usize; CLASSES],
}

impl<S: Source> Heap<S> {
    pub const fn new(source: S) -> Self {
        Heap { source, next: 0, fresh: 0, end: 0, kept: 0, left: 0, reserve: 0, free: [0; CLASSES] }
    }

    /// Takes over zeroed memory for what comes; `limit` bounds what is asked from the source besides.
    pub fn begin(&mut self, start: *mut u8, length: usize, limit: usize) {
        self.next = ((start as usize + 15) & !15) + HEADER;
        self.fresh = self.next;
        self.end = start as usize + length;
        self.left = limit;
    }

    /// The first address above all blocks of the memory in use.
    pub fn top(&self) -> usize {
        self.next
    }

    /// What blocks hold now stays in them, also when they are given back.
    pub fn keep(&mut self) {
        self.kept = self.next;
    }

    pub fn set_limit(&mut self, limit: usize, reserve: usize) {
        self.left = limit;
        self.reserve = reserve;
    }

    /// Whether so much may be asked from the source. The first time that it may not, the reserve is opened for what
    /// follows.
    fn may_ask(&mut self, length: usize) -> bool {
        if length <= self.left {
            return true;
        }
        self.left += core::mem::take(&mut self.reserve);
        false
    }

    /// A block of at least `size` bytes, or null; with `zeroed` all of it is zeros.
    ///
    /// # Safety
    /// `begin` was called with memory that is nobody else's.
    pub unsafe fn allocate(&mut self, size: usize, zeroed: bool) -> *mut u8 {
        if size > LARGEST {
            return null_mut();
        }
        let whole = round(size + HEADER);
        if whole >= LARGE && self.left > 0 {
            return self.allocate_mapped(whole);
        }
        let class = classify(whole);
        // SAFETY: free lists hold blocks of their class that nobody uses; a block that is cut fresh lies below `end`.
        unsafe {
            if class < CLASSES && self.free[class] != 0 {
                let block = self.free[class] as *mut u8;
                poison::unpoison(block, whole - HEADER);
                self.free[class] = *(block as *const usize);
                if zeroed {
                    write_bytes(block, 0, size);
                }
                return block;
            }
            if whole > self.end.saturating_sub(self.next) && !self.grow(whole) {
                return null_mut();
            }
            let header = self.next;
            let written = header < self.fresh;
            self.next += whole;
            let block = (header + HEADER) as *mut u8;
            poison::unpoison(header as *mut u8, whole);
            *(header as *mut usize) = whole;
            if zeroed && written {
                write_bytes(block, 0, size);
            }
            self.fresh = self.fresh.max(self.next);
            block
        }
    }

    fn allocate_mapped(&mut self, whole: usize) -> *mut u8 {
        let length = pages(whole + 16);
        if !self.may_ask(length) {
            return null_mut();
        }
        let start = self.source.map(length);
        if start.is_null() {
            return null_mut();
        }
        self.left -= length;
        // SAFETY: the mapping is ours alone and longer than 16 bytes.
        unsafe { *(start.add(16 - HEADER) as *mut usize) = length | MAPPED };
        // SAFETY: as above.
        unsafe { start.add(16) }
    }

    /// More room, wherever the kernel has it: what is left of the old is given up.
    fn grow(&mut self, whole: usize) -> bool {
        let length = (whole + 2 * HEADER + GROW - 1) & !(GROW - 1);
        if !self.may_ask(length) {
            return false;
        }
        let start = self.source.map(length);
        if start.is_null() {
            return false;
        }
        let left = self.left - length;
        poison::poison(start, length);
        self.begin(start, length, left);
        true
    }

    /// # Safety
    /// `block` came from `allocate` or `reallocate` of this heap and was not given back since.
    pub unsafe fn release(&mut self, block: *mut u8) {
        if (block as usize) < self.kept {
            return;
        }
        // SAFETY: every block has a header before it.
        unsafe {
            let header = *(block.sub(HEADER) as *const usize);
            if header & MAPPED != 0 {
                self.left += header & !MAPPED;
                self.source.unmap(block.sub(16), header & !MAPPED);
                return;
            }
            if block as usize - HEADER + header == self.next {
                self.next -= header;
                poison::poison(self.next as *mut u8, header);
                return;
            }
            if header >= LARGE {
                // one that was made while nothing may be mapped: lost, and empty
                write_bytes(block, 0, header - HEADER);
                return;
            }
            let class = classify(header);
            *(block as *mut usize) = self.free[class];
            self.free[class] = block as usize;
            poison::poison(block, header - HEADER);
        }
    }

    /// The block with another size, perhaps at another place; null, and the old one unharmed, where there is no memory.
    ///
    /// # Safety
    /// As `release`.
    pub unsafe fn reallocate(&mut self, block: *mut u8, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise; sizes are read from the block's header.
        unsafe {
            let room = usable(block);
            if size <= room {
                return block;
            }
            let header = *(block.sub(HEADER) as *const usize);
            if header & MAPPED != 0 {
                return self.remap(block, header & !MAPPED, size);
            }
            let new = self.allocate(size, false);
            if !new.is_null() {
                copy_nonoverlapping(block, new, room);
                self.release(block);
            }
            new
        }
    }

    unsafe fn remap(&mut self, block: *mut u8, old: usize, size: usize) -> *mut u8 {
        if size > LARGEST {
            return null_mut();
        }
        let length = pages(size + 16);
        if !self.may_ask(length - old) {
            return null_mut();
        }
        // SAFETY: a mapped block starts 16 bytes into its mapping.
        unsafe {
            let start = self.source.remap(block.sub(16), old, length);
            if start.is_null() {
                return null_mut();
            }
            self.left -= length - old;
            *(start.add(16 - HEADER) as *mut usize) = length | MAPPED;
            start.add(16)
        }
    }
}

/// How many bytes a block has room for.
///
/// # Safety
/// `block` is one of a heap.
pub unsafe fn usable(block: *const u8) -> usize {
    // SAFETY: every block has a header before it.
    let header = unsafe { *(block.sub(HEADER) as *const usize) };
    if header & MAPPED != 0 { (header & !MAPPED) - 16 } else { header - HEADER }
}

/// Whole pages for a mapping, of the largest size an architecture has.
fn pages(length: usize) -> usize {
    (length + 65535) & !65535
}

/// A size as blocks have it: one of its class.
pub fn round(size: usize) -> usize {
    let last = size.max(2 * HEADER + 16) - 1;
    let step = if (LINEAR..LARGE).contains(&last) { last.ilog2() - 2 } else { 4 };
    ((last >> step) + 1) << step
}

/// The free list for blocks of a rounded size; CLASSES for large ones, which have none.
fn classify(whole: usize) -> usize {
    let last = whole - 1;
    if last < LINEAR {
        return last / 16;
    }
    if whole >= LARGE {
        return CLASSES;
    }
    let doubling = last.ilog2();
    LINEAR / 16 + 4 * (doubling - LINEAR.ilog2()) as usize + (last >> (doubling - 2)) - 4
}

#[cfg(test)]
#[path = "heap_tests.rs"]
mod tests;
