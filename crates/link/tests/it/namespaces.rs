//! Networks of our own, apart from the machine's: needs root, `unshare` and
//! `ip`.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

/// A network namespace, kept by a process that sleeps.
pub(crate) struct Namespace(Child);

impl Namespace {
    /// Makes one; `None` where this machine does not let us.
    pub(crate) fn new() -> Option<Self> {
        let ours = fs::read_link("/proc/self/ns/net").ok()?;
        let mut child = Command::new("unshare")
            .args(["--net", "sleep", "600"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let theirs = format!("/proc/{}/ns/net", child.id());
        loop {
            if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
                return None;
            }
            if fs::read_link(&theirs).is_ok_and(|theirs| theirs != ours) {
                break;
            }
            std::thread::yield_now();
        }
        let namespace = Self(child);
        namespace.can("ip link set lo up").then_some(namespace)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Runs a command in it, and tells whether that went well.
    fn can(&self, command: &str) -> bool {
        let pid = self.pid().to_string();
        Command::new("nsenter")
            .args(["--net", "--target", &pid])
            .args(command.split(' '))
            .status()
            .is_ok_and(|done| done.success())
    }

    /// Runs a command in it.
    pub(crate) fn run(&self, command: &str) {
        assert!(self.can(command), "{command}");
    }

    /// Does something in it, on a thread and a runtime of its own.
    pub(crate) fn spawn<T, F>(&self, what: F) -> JoinHandle<T>
    where
        T: Send + 'static,
        F: AsyncFnOnce() -> T + Send + 'static,
    {
        let file = File::open(format!("/proc/{}/ns/net", self.pid())).unwrap();
        std::thread::spawn(move || {
            use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(file.as_fd(), kind).unwrap();
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(what())
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Two hosts with two links between them, each through a switch that can be
/// cut in silence: both ends keep their carrier.
pub(crate) struct TwoPaths {
    pub(crate) one: Namespace,
    pub(crate) other: Namespace,
    switches: Namespace,
}

impl TwoPaths {
    pub(crate) fn new() -> Option<Self> {
        let (one, other, switches) = (Namespace::new()?, Namespace::new()?, Namespace::new()?);
        for link in [1, 2] {
            // Not every kernel has bridges.
            if !switches.can(&format!("ip link add switch{link} type bridge")) {
                return None;
            }
            switches.run(&format!("ip link set switch{link} up"));
            for (host, namespace) in [(1, &one), (2, &other)] {
                let (port, end) = (format!("port{link}{host}"), format!("link{link}"));
                let pid = namespace.pid();
                switches.run(&format!(
                    "ip link add {port} type veth peer name {end} netns {pid}"
                ));
                switches.run(&format!("ip link set {port} master switch{link} up"));
                namespace.run(&format!("ip address add 10.77.{link}.{host}/24 dev {end}"));
                namespace.run(&format!("ip link set {end} up"));
            }
        }
        Some(Self {
            one,
            other,
            switches,
        })
    }

    /// Cuts a link: what is sent there is lost, and nobody is told.
    pub(crate) fn cut(&self, link: u8) {
        self.switches
            .run(&format!("ip link set port{link}2 nomaster"));
    }

    pub(crate) fn mend(&self, link: u8) {
        self.switches
            .run(&format!("ip link set port{link}2 master switch{link}"));
    }

    /// Cuts a link in one direction: its switch hands host 1 or 2 nothing any
    /// more, and takes from it as before.
    pub(crate) fn cut_towards(&self, link: u8, host: u8) {
        self.switch_hands(link, host, false);
        // What it learnt goes out whatever stands there.
        self.switches.run(&format!(
            "ip link set port{link}{host} type bridge_slave fdb_flush"
        ));
    }

    pub(crate) fn mend_towards(&self, link: u8, host: u8) {
        self.switch_hands(link, host, true);
    }

    fn switch_hands(&self, link: u8, host: u8, is: bool) {
        let is = if is { "on" } else { "off" };
        self.switches.run(&format!(
            "ip link set port{link}{host} type bridge_slave learning {is} flood {is} \
             mcast_flood {is} bcast_flood {is}"
        ));
    }
}
