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
    // The same of the tasks around them: they meet in `shared` alone.
    let reader = include_str!("../../src/reader.rs");
    for what in [
        "crate::answer",
        "server",
        "summary",
        "history",
        "recorder",
        "mqtt",
    ] {
        assert_eq!(names(reader, what), Vec::<String>::new(), "reader");
    }
    let servers = [
        include_str!("../../src/server.rs"),
        include_str!("../../src/server/espi.rs"),
        include_str!("../../src/server/guard.rs"),
        include_str!("../../src/server/live.rs"),
        include_str!("../../src/server/metrics.rs"),
        include_str!("../../src/server/page.rs"),
        include_str!("../../src/server/session.rs"),
        include_str!("../../src/summary.rs"),
        include_str!("../../src/mqtt.rs"),
    ];
    for server in servers {
        for what in [
            "poller",
            "reader::",
            "crate::source",
            "crate::port",
            "link::Source",
        ] {
            assert_eq!(names(server, what), Vec::<String>::new(), "server");
        }
    }
    let shared = include_str!("../../src/shared.rs");
    for what in ["poller", "reader", "server", "answer"] {
        let named = names(shared, what);
        let named = named.iter().filter(|line| !line.contains("fn counted"));
        assert_eq!(named.count(), 0, "shared: {what}");
    }
    // The search itself finds what is there.
    assert!(!names(answer, "cache").is_empty());
}
