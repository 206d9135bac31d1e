use super::*;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::vec::Vec;

/// Memory of the system's allocator, so that AddressSanitizer knows its bounds; counts what is out.
#[derive(Default)]
struct System {
    out: usize,
    refuse: bool,
}

fn layout(length: usize) -> Layout {
    Layout::from_size_align(length, 65536).unwrap()
}

impl Source for System {
    fn map(&mut self, length: usize) -> *mut u8 {
        if self.refuse {
            return null_mut();
        }
        self.out += length;
        // SAFETY: the length is not zero.
        unsafe { alloc_zeroed(layout(length)) }
    }
    fn remap(&mut self, start: *mut u8, old: usize, new: usize) -> *mut u8 {
        let place = self.map(new);
        if !place.is_null() {
            // SAFETY: both are of this source, and at least as long.
            unsafe { copy_nonoverlapping(start, place, old.min(new)) };
            self.unmap(start, old);
        }
        place
    }
    fn unmap(&mut self, start: *mut u8, length: usize) {
        self.out -= length;
        // SAFETY: it came from `map` with this length.
        unsafe { dealloc(start, layout(length)) };
    }
}

const REGION: usize = 256 << 10;

/// A heap over a region of its own, given back at the end.
struct Fixture {
    heap: Heap<System>,
    region: *mut u8,
}

impl Fixture {
    fn new(limit: usize) -> Self {
        // SAFETY: the length is not zero.
        let region = unsafe { alloc_zeroed(layout(REGION)) };
        let mut heap = Heap::new(System::default());
        heap.begin(region, REGION, limit);
        Fixture { heap, region }
    }
    fn take(&mut self, size: usize) -> *mut u8 {
        // SAFETY: the region is this fixture's.
        unsafe { self.heap.allocate(size, false) }
    }
    fn give(&mut self, block: *mut u8) {
        // SAFETY: tests give blocks back once.
        unsafe { self.heap.release(block) }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // SAFETY: as in `new`.
        unsafe { dealloc(self.region, layout(REGION)) };
    }
}

fn fill(block: *mut u8, size: usize, seed: u8) {
    // SAFETY: the block has that size.
    unsafe { write_bytes(block, seed, size) };
}

fn holds(block: *const u8, size: usize, seed: u8) -> bool {
    // SAFETY: the block has that size.
    unsafe { core::slice::from_raw_parts(block, size) }.iter().all(|&byte| byte == seed)
}

#[test]
fn every_block_is_aligned_and_has_room() {
    let mut fixture = Fixture::new(64 << 20);
    for size in (0..3000).chain([LARGE - 9, LARGE - 8, LARGE - 7, LARGE, 3 << 20]) {
        let block = fixture.take(size);
        assert!(!block.is_null() && block as usize % 16 == 0, "{size}");
        // SAFETY: a block of this heap.
        assert!(unsafe { usable(block) } >= size, "{size}");
        fill(block, size, 7);
        fixture.give(block);
    }
}

#[test]
fn sizes_are_rounded_to_one_per_class() {
    for size in 1..LARGE {
        let whole = round(size);
        assert!(whole >= size && whole % 16 == 0 && round(whole) == whole, "{size}");
        assert!(whole - size < 32.max(size / 3), "{size} wastes {}", whole - size);
        if whole < LARGE {
            assert_eq!(classify(whole), classify(round(whole - 15)), "{size}");
            assert!(classify(whole) < CLASSES);
        }
    }
}

#[test]
fn a_free_block_is_used_again() {
    let mut fixture = Fixture::new(0);
    let (one, _two) = (fixture.take(100), fixture.take(100));
    fixture.give(one);
    assert_eq!(fixture.take(97), one);
}

#[test]
fn zeroed_blocks_are_zeros_whatever_was_there() {
    let mut fixture = Fixture::new(64 << 20);
    for size in [1, 40, 1000, 5000, 300 << 10] {
        for _ in 0..3 {
            // SAFETY: the region is the fixture's.
            let block = unsafe { fixture.heap.allocate(size, true) };
            assert!(holds(block, size, 0), "{size}");
            fill(block, size, 0xff);
            fixture.give(block);
        }
    }
}

#[test]
fn a_giant_size_is_refused_not_wrapped() {
    let mut fixture = Fixture::new(1 << 30);
    let block = fixture.take(100);
    for size in [usize::MAX, usize::MAX - 7, usize::MAX - 65535, isize::MAX as usize, 1 << 62, 1 << 41] {
        assert!(fixture.take(size).is_null());
        // SAFETY: the block is live.
        assert!(unsafe { fixture.heap.reallocate(block, size) }.is_null());
    }
    fixture.give(block);
}

#[test]
fn the_limit_bounds_what_is_mapped_and_comes_free_again() {
    let mut fixture = Fixture::new(2 << 20);
    let one = fixture.take(1 << 20);
    assert!(!one.is_null());
    assert!(fixture.take(1 << 20).is_null());
    fixture.give(one);
    let two = fixture.take(1 << 20);
    assert!(!two.is_null());
    fixture.give(two);
    assert_eq!(fixture.heap.source.out, 0);
}

#[test]
fn once_the_limit_was_met_there_is_a_reserve_to_say_so() {
    let mut fixture = Fixture::new(0);
    fixture.heap.set_limit(1 << 20, 2 << 20);
    let one = fixture.take(900 << 10);
    assert!(!one.is_null());
    assert!(fixture.take(900 << 10).is_null());
    let two = fixture.take(900 << 10);
    assert!(!two.is_null());
    while !fixture.take(300 << 10).is_null() {}
    fixture.give(one);
    fixture.give(two);
}

#[test]
fn no_memory_is_null_and_harms_nothing() {
    let mut fixture = Fixture::new(64 << 20);
    let (small, large) = (fixture.take(100), fixture.take(LARGE));
    fill(small, 100, 1);
    fill(large, LARGE, 2);
    fixture.heap.source.refuse = true;
    while !fixture.take(60_000).is_null() {}
    // SAFETY: both are live.
    unsafe {
        assert!(fixture.heap.reallocate(small, 100_000).is_null());
        assert!(fixture.heap.reallocate(large, 8 << 20).is_null());
    }
    assert!(holds(small, 100, 1) && holds(large, LARGE, 2));
    fixture.give(large);
}

/// Random work held to a model: no block overlaps another, every one keeps what was written to it.
#[test]
fn random_work_keeps_every_block_whole() {
    let mut fixture = Fixture::new(256 << 20);
    let mut live: Vec<(*mut u8, usize, u8)> = Vec::new();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let rounds = if cfg!(miri) { 2_000 } else { 200_000 };
    for round in 0..rounds {
        let size = match random(100) {
            0 => random(1 << 20),
            1..10 => random(20_000),
            _ => random(300),
        };
        let seed = (round % 251) as u8;
        match random(3) {
            0 if !live.is_empty() => {
                let (block, length, old) = live.swap_remove(random(live.len()));
                assert!(holds(block, length, old));
                fixture.give(block);
            }
            1 if !live.is_empty() => {
                let at = random(live.len());
                let (block, length, old) = live[at];
                // SAFETY: the block is live.
                let moved = unsafe { fixture.heap.reallocate(block, size) };
                if moved.is_null() {
                    continue;
                }
                assert!(holds(moved, length.min(size), old));
                fill(moved, size, seed);
                live[at] = (moved, size, seed);
            }
            _ => {
                let block = fixture.take(size);
                if block.is_null() {
                    continue;
                }
                fill(block, size, seed);
                live.push((block, size, seed));
            }
        }
        if live.len() > 400 {
            let (block, length, old) = live.swap_remove(random(live.len()));
            assert!(holds(block, length, old));
            fixture.give(block);
        }
    }
    for (block, length, old) in live {
        assert!(holds(block, length, old));
        fixture.give(block);
    }
}

#[test]
fn blocks_that_are_kept_are_never_made_again() {
    let mut fixture = Fixture::new(0);
    let kept: Vec<_> = (1..20).map(|n| fixture.take(n * 17)).collect();
    for (at, &block) in kept.iter().enumerate() {
        fill(block, (at + 1) * 17, 0xaa);
    }
    fixture.heap.keep();
    for &block in kept.iter().rev() {
        fixture.give(block);
    }
    let top = fixture.heap.top();
    for n in 1..20 {
        let block = fixture.take(n * 17);
        assert!(block as usize >= top);
        fill(block, n * 17, 0x55);
    }
    assert!(kept.iter().enumerate().all(|(at, &block)| holds(block, (at + 1) * 17, 0xaa)));
    // SAFETY: a block of this heap.
    let moved = unsafe { fixture.heap.reallocate(kept[3], 1000) };
    assert!(moved as usize > top && holds(moved, 4 * 17, 0xaa) && holds(kept[3], 4 * 17, 0xaa));
}
