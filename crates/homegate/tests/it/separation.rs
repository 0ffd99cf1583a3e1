//! Poller and server know nothing of each other. Evidence: their source.

/// Lines that name something, tests and comments apart.
fn names(source: &str, what: &str) -> Vec<String> {
    source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .filter(|line| line.contains(what))
        .map(str::to_owned)
        .collect()
}

#[test]
fn neither_names_the_other() {
    let poller = include_str!("../../src/poller.rs");
    let answer = include_str!("../../src/answer.rs");
    let cache = include_str!("../../src/cache.rs");
    for what in ["answer::", "answer;", "cache"] {
        assert_eq!(names(poller, what), Vec::<String>::new(), "poller");
    }
    assert_eq!(names(answer, "poller"), Vec::<String>::new());
    for what in ["poller", "answer"] {
        assert_eq!(names(cache, what), Vec::<String>::new(), "cache");
    }
    // Of what reads meters, the server uses the feed's model alone.
    for what in ["raven", "zcl", "p1::", "sml", "push"] {
        assert_eq!(names(answer, &format!("han::{what}")), Vec::<String>::new());
    }
    // The search itself finds what is there.
    assert!(!names(answer, "cache").is_empty());
}
