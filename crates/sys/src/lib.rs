//! What no safe crate offers of the operating system: the one crate of this
//! workspace that may hold `unsafe`, each with why it is sound.

#[cfg(target_os = "linux")]
pub mod socket;
pub mod tun;
#[cfg(target_os = "linux")]
pub mod udp;

use std::fs;

use rustix::mm::{Advice, madvise};

/// Gives back program text and constants that are resident: what is needed
/// again is mapped anew from the file, in pieces of 64 KiB, as it is used. Does
/// nothing where the system has no `/proc`.
///
/// Returns the octets of the mappings that were given back; how many of them
/// were resident is the system's to know.
pub fn release_text() -> usize {
    let Ok(maps) = fs::read_to_string("/proc/self/maps") else {
        return 0;
    };
    unwritten(&maps).into_iter().map(release).sum()
}

/// Gives back memory that this thread has freed and that the allocator keeps for
/// later. What is in use stays where it is.
#[cfg(feature = "mimalloc")]
#[expect(
    unsafe_code,
    reason = "a function of C's; what it does here is said below"
)]
pub fn release_heap() {
    // SAFETY: the function takes no pointer, any thread may call it, and it
    // moves nothing: what it unmaps are pages of which all blocks were freed.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

/// A mapping of a file: `55d0-5600 r-xp 00010000 fe:00 131 /usr/bin/gridward`.
struct Mapping<'a> {
    first: usize,
    length: usize,
    access: &'a str,
    path: &'a str,
}

impl<'a> Mapping<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let (first, end) = fields.next()?.split_once('-')?;
        let access = fields.next()?;
        let path = fields.nth(3).filter(|path| path.starts_with('/'))?;
        let first = usize::from_str_radix(first, 16).ok()?;
        let length = usize::from_str_radix(end, 16).ok()?.checked_sub(first)?;
        Some(Self {
            first,
            length,
            access,
            path,
        })
    }
}

/// Where mappings lie that were never written, and their octets: program text,
/// and what lies right before it in the same file, its first segment of
/// constants. What lies behind the text may be what the loader has relocated and
/// then closed to writing; so it is left.
fn unwritten(maps: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut before: Option<Mapping<'_>> = None;
    for line in maps.lines() {
        let mapping = Mapping::parse(line);
        if let Some(text) = mapping.as_ref().filter(|it| it.access == "r-xp") {
            let constants = before.filter(|it| {
                it.access == "r--p" && it.path == text.path && it.first + it.length == text.first
            });
            found.extend(constants.map(|it| (it.first, it.length)));
            found.push((text.first, text.length));
        }
        before = mapping;
    }
    found
}

#[expect(
    unsafe_code,
    reason = "advice on memory is unsafe in general; what it does here is said below"
)]
fn release((first, length): (usize, usize)) -> usize {
    let start = std::ptr::with_exposed_provenance_mut(first);
    // SAFETY: the range is one mapping as the kernel has just told it, which
    // nothing in this process unmaps: program and libraries stay until the end,
    // since none is loaded while it runs. It is mapped privately from a file and
    // never written (segments of an ELF file that are only read or run, in front
    // of those that the loader relocates), so a page that is dropped comes back
    // from the file with the same octets, at the latest when it is used: the
    // system refuses to write to a file that is being executed.
    match unsafe { madvise(start, length, Advice::LinuxDontNeed) } {
        Ok(()) => length,
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_its_constants_are_told_from_other_mappings() {
        let program = "\
1000-2000 r--p 00000000 fe:00 131      /usr/bin/gridward
2000-4000 r-xp 00001000 fe:00 131      /usr/bin/gridward
4000-5000 r--p 00003000 fe:00 131      /usr/bin/gridward
5000-6000 rw-p 00004000 fe:00 131      /usr/bin/gridward
";
        let all = [(0x1000, 0x1000), (0x2000, 0x2000)];
        assert_eq!(unwritten(program), all);
        let others = "\
1000-2000 r--p 00000000 fe:00 132      /usr/lib/other
2000-4000 r-xp 00010000 fe:00 131      /usr/bin/gridward
5000-6000 r--p 00004000 fe:00 131      /usr/bin/gridward
7000-8000 r-xp 00006000 fe:00 131      /usr/bin/gridward
";
        let text = [(0x2000, 0x2000), (0x7000, 0x1000)];
        assert_eq!(unwritten(others), text);
        for other in [
            "1000-3000 rw-p 00000000 00:00 0",
            "7000-8000 r-xp 00000000 00:00 0 [vdso]",
            "3000-1000 r-xp 00010000 fe:00 131 /usr/bin/gridward",
            "1000-3000 r--p 00010000 fe:00 131 /usr/bin/gridward",
            "",
        ] {
            assert_eq!(unwritten(other), [], "{other}");
        }
    }

    #[test]
    fn a_program_goes_on_without_the_text_of_its_start() {
        for _ in 0..3 {
            assert!(release_text() > 0);
            let words: Vec<String> = (0..1_000).map(|it: u32| format!("{it:x}")).collect();
            assert_eq!(words.concat().len(), 16 + 240 * 2 + 744 * 3);
        }
    }
}
