//! The allocator, against what callers rely on: blocks that are disjoint, aligned, and keep what
//! was written to them, whichever of its two memories they come from.

#![allow(unsafe_code)] // GlobalAlloc's methods are unsafe

use std::alloc::{GlobalAlloc, Layout};
use std::process::Command;
use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;

#[path = "../src/arena.rs"]
mod arena;

use arena::Arena;

/// A block with the byte that it is full of.
struct Block {
    at: *mut u8,
    layout: Layout,
    mark: u8,
}

impl Block {
    fn new(arena: &Arena, layout: Layout, mark: u8, zeroed: bool) -> Block {
        // SAFETY: no layout here is empty.
        let at = unsafe {
            if zeroed {
                arena.alloc_zeroed(layout)
            } else {
                arena.alloc(layout)
            }
        };
        let mut block = Block {
            at,
            layout,
            mark: 0,
        };
        if zeroed {
            block.check(layout.size());
        }
        block.fill(mark);
        block
    }

    fn fill(&mut self, mark: u8) {
        assert!(
            !self.at.is_null() && self.at.addr() % self.layout.align() == 0,
            "{:?} at {:?}",
            self.layout,
            self.at
        );
        self.mark = mark;
        // SAFETY: the block is ours and has that size.
        unsafe { self.at.write_bytes(mark, self.layout.size()) };
    }

    /// The first `len` bytes are as they were written.
    fn check(&self, len: usize) {
        // SAFETY: the block is ours, and its bytes were written.
        let bytes = unsafe { std::slice::from_raw_parts(self.at, len) };
        assert!(
            bytes.iter().all(|byte| *byte == self.mark),
            "{:?} at {:?}: not {}: {bytes:?}",
            self.layout,
            self.at,
            self.mark
        );
    }

    fn resize(&mut self, arena: &Arena, size: usize) {
        let kept = size.min(self.layout.size());
        // SAFETY: the block came from there with this layout, and the new size is not 0.
        self.at = unsafe { arena.realloc(self.at, self.layout, size) };
        self.layout = Layout::from_size_align(size, self.layout.align()).expect("a layout");
        self.check(kept);
        self.fill(self.mark);
    }

    fn free(self, arena: &Arena) {
        self.check(self.layout.size());
        // SAFETY: the block came from there with this layout, and is not used again.
        unsafe { arena.dealloc(self.at, self.layout) };
    }
}

#[derive(Clone, Debug)]
enum Step {
    Alloc {
        size: usize,
        align_bits: u32,
        zeroed: bool,
    },
    Realloc {
        which: usize,
        size: usize,
    },
    Free {
        which: usize,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![8 => 1..300_usize, 2 => 1..5_000_usize, 1 => 30_000..70_000_usize];
    prop_oneof![
        3 => (size.clone(), 0..7_u32, any::<bool>()).prop_map(|(size, align_bits, zeroed)| Step::Alloc { size, align_bits, zeroed }),
        3 => (any::<usize>(), size).prop_map(|(which, size)| Step::Realloc { which, size }),
        2 => any::<usize>().prop_map(|which| Step::Free { which }),
    ]
}

fn run(arena: &Arena, steps: &[Step]) {
    let mut blocks: Vec<Block> = Vec::new();
    for (step, mark) in steps.iter().zip((1..=u8::MAX).cycle()) {
        match *step {
            Step::Alloc {
                size,
                align_bits,
                zeroed,
            } => {
                let layout = Layout::from_size_align(size, 1 << align_bits).expect("a layout");
                blocks.push(Block::new(arena, layout, mark, zeroed));
            }
            Step::Realloc { which, size } if !blocks.is_empty() => {
                let which = which % blocks.len();
                blocks[which].resize(arena, size);
            }
            Step::Free { which } if !blocks.is_empty() => {
                let which = which % blocks.len();
                blocks.swap_remove(which).free(arena);
            }
            _ => {}
        }
        for block in &blocks {
            block.check(block.layout.size());
        }
    }
    for block in blocks {
        block.free(arena);
    }
}

proptest! {
    #[test]
    fn blocks_are_disjoint_and_keep_their_contents(steps in vec(any_step(), 0..120)) {
        run(&Arena::new(), &steps);
    }

    #[test]
    fn threads_get_blocks_of_their_own(steps in vec(vec(any_step(), 0..40), 4)) {
        let arena = Arena::new();
        thread::scope(|scope| {
            for steps in &steps {
                scope.spawn(|| run(&arena, steps));
            }
        });
    }
}

#[test]
fn the_last_block_grows_in_place_and_is_given_back() {
    let arena = Arena::new();
    let layout = Layout::from_size_align(100, 8).expect("a layout");
    let mut block = Block::new(&arena, layout, 1, false);
    let at = block.at;
    block.resize(&arena, 1000);
    assert_eq!(block.at, at);
    block.free(&arena);
    let block = Block::new(&arena, layout, 2, true);
    assert_eq!(block.at, at);
    block.free(&arena);
}

/// Runs this test once more, which ends at its first call.
#[test]
fn without_memory_the_process_ends_with_one_line() {
    const WHICH: &str = "ZROOT_TEST_WITHOUT_MEMORY";
    let name = "without_memory_the_process_ends_with_one_line";
    let too_much = Layout::from_size_align(isize::MAX as usize - 4096, 8).expect("a layout");
    let (small, large) = (Layout::new::<u64>(), Layout::new::<[u64; 10_000]>());
    let arena = Arena::new();
    // SAFETY: no layout is empty; what is resized has just come from there.
    let which: [&dyn Fn() -> *mut u8; 4] = unsafe {
        [
            &|| arena.alloc(too_much),
            &|| arena.alloc_zeroed(too_much),
            &|| arena.realloc(arena.alloc(small), small, too_much.size()),
            &|| arena.realloc(arena.alloc(large), large, too_much.size()),
        ]
    };
    if let Some(number) = std::env::var_os(WHICH) {
        let number: usize = number
            .to_str()
            .and_then(|n| n.parse().ok())
            .expect("a number");
        panic!("there is memory: {:?}", which[number]());
    }
    for number in 0..which.len() {
        let mut again = Command::new(std::env::current_exe().expect("this program"));
        again.args(["--exact", name, "--nocapture"]);
        let output = again.env(WHICH, number.to_string()).output().expect("run");
        let said = String::from_utf8_lossy(&output.stderr);
        let status = output.status.code();
        assert_eq!((status, &*said), (Some(125), "zroot: out of memory\n"));
    }
}
