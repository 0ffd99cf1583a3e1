//! What no safe crate offers of the operating system: the one crate of this
//! workspace that may hold `unsafe`, each with why it is sound.

#[cfg(target_os = "linux")]
pub mod socket;
pub mod tun;
#[cfg(target_os = "linux")]
pub mod udp;

use std::fs;

use rustix::mm::{Advice, madvise};

/// Gives back the program text that the start alone needed: what is needed
/// again is mapped anew from the file, in pieces of 64 KiB, as it is run. Does
/// nothing where the system has no `/proc`.
///
/// Returns the octets of the mappings that were given back; how many of them
/// were resident is the system's to know.
pub fn release_text() -> usize {
    let Ok(maps) = fs::read_to_string("/proc/self/maps") else {
        return 0;
    };
    maps.lines().filter_map(text).map(release).sum()
}

/// Where a mapping of program text from a file lies, and its octets:
/// `55d0-5600 r-xp 00010000 fe:00 131 /usr/bin/gridward`.
fn text(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (first, end) = fields.next()?.split_once('-')?;
    let is_text = fields.next()? == "r-xp";
    let is_file = fields.nth(3).is_some_and(|path| path.starts_with('/'));
    let first = usize::from_str_radix(first, 16).ok()?;
    let length = usize::from_str_radix(end, 16).ok()?.checked_sub(first)?;
    (is_text && is_file).then_some((first, length))
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
    // never written (r-x), so a page that is dropped comes back from the file
    // with the same octets, at the latest when it is run: the system refuses to
    // write to a file that is being executed.
    match unsafe { madvise(start, length, Advice::LinuxDontNeed) } {
        Ok(()) => length,
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_from_other_mappings() {
        let text = |line: &str| text(line);
        assert_eq!(
            text("1000-3000 r-xp 00010000 fe:00 131      /usr/bin/gridward"),
            Some((0x1000, 0x2000))
        );
        for other in [
            "1000-3000 r--p 00010000 fe:00 131 /usr/bin/gridward",
            "1000-3000 rw-p 00000000 00:00 0",
            "7000-8000 r-xp 00000000 00:00 0 [vdso]",
            "3000-1000 r-xp 00010000 fe:00 131 /usr/bin/gridward",
            "",
        ] {
            assert_eq!(text(other), None, "{other}");
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
