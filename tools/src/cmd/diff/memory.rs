//! The pages of RAM that differ.

use dejavm_core::mem::Memory;
use dejavm_core::types::{Gpa, PAGE_SHIFT};
use std::collections::BTreeSet;

/// How many pages are shown.
const MOST_PAGES: usize = 8;
/// How many bytes of each.
const BYTES: usize = 8;

/// The pages that differ, a line each: where, how much, and the first bytes that do.
pub(super) fn lines(a: &Memory, b: &Memory) -> Vec<String> {
    let numbers =
        |memory: &Memory| memory.pages_not_zero().map(|(number, _)| number).collect::<BTreeSet<_>>();
    let mut lines = Vec::new();
    let mut count = 0;
    for number in numbers(a).union(&numbers(b)) {
        let (a_page, b_page) = (a.page(*number), b.page(*number));
        let differ = |k: &usize| a_page[*k] != b_page[*k];
        let Some(first) = (0..a_page.len()).find(differ) else { continue };
        count += 1;
        if count <= MOST_PAGES {
            let Gpa(page) = a.gpa_of((*number as usize) << PAGE_SHIFT);
            let bytes = (0..a_page.len()).filter(differ).count();
            let end = (first + BYTES).min(a_page.len());
            let (a, b) = (hex(&a_page[first..end]), hex(&b_page[first..end]));
            lines.push(format!(
                "memory: {bytes} bytes of page {page:#x}, from {:#x}: {a} | {b}",
                page + first as u64
            ));
        }
    }
    if count > MOST_PAGES {
        lines.push(format!("memory: ... and {} more pages", count - MOST_PAGES));
    }
    lines
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}
