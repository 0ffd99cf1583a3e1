//! One path: a destination address, with what is known of the way there
//! (RFC 9260 sections 6.3, 7.2 and 8.2; RFC 7829; RFC 8899).

use std::net::IpAddr;

use crate::config::{Config, Encapsulation, PmtuConfig, RtoConfig};
use crate::packet::HEADER_LEN;
use crate::time::{Duration, Instant, micros};

/// Whether a path is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathState {
    /// Its address was told, and nothing has shown that the peer has it.
    Unconfirmed,
    /// In use.
    Active,
    /// Timeouts came, not enough to give it up: no data goes there as long as
    /// an active path is left (RFC 7829).
    PotentiallyFailed,
    /// Given up until a heartbeat comes back.
    Inactive,
}

/// What a path is like, for people and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathStatus {
    /// Our address.
    pub local: IpAddr,
    /// The peer's address.
    pub remote: IpAddr,
    /// Whether it is used.
    pub state: PathState,
    /// Whether it is the one to use when all are active.
    pub primary: bool,
    /// Smoothed round trip, once measured.
    pub round_trip: Option<Duration>,
    /// Retransmission timeout.
    pub rto: Duration,
    /// Congestion window in octets.
    pub congestion_window: usize,
    /// Octets under way.
    pub in_flight: usize,
    /// Octets of the largest IP packet.
    pub mtu: usize,
    /// Consecutive timeouts.
    pub errors: u32,
}

/// A heartbeat that was not answered yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heartbeat {
    pub(crate) nonce: u64,
    pub(crate) sent_at: Instant,
    pub(crate) expires: Instant,
    /// Octets of the packet, where it was padded to learn the MTU.
    pub(crate) probe: Option<usize>,
}

/// New data that went out since something arrived.
#[derive(Clone, Copy, Debug, Default)]
struct Burst {
    packets: u32,
    octets: u32,
    /// Octets acknowledged since all went out that may.
    freed: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) remote: IpAddr,
    pub(crate) local: IpAddr,
    /// The peer's UDP port, where packets are encapsulated.
    pub(crate) udp_port: Option<u16>,
    pub(crate) state: PathState,
    /// Something has shown that the peer has this address.
    pub(crate) confirmed: bool,
    pub(crate) errors: u32,

    srtt: Option<u64>,
    rttvar: u64,
    pub(crate) rto: Duration,
    /// When the next round trip is measured by data: once a round trip.
    sample_from: Instant,

    pub(crate) cwnd: usize,
    pub(crate) ssthresh: usize,
    partial_bytes_acked: usize,
    pub(crate) flight: usize,
    /// Fast recovery lasts until this TSN is acknowledged.
    pub(crate) recovery: Option<u64>,
    /// The next packet goes whatever the congestion window says.
    pub(crate) rescue: bool,
    last_data_at: Instant,
    /// When data that can only have come by this path was acknowledged last,
    /// or a heartbeat.
    pub(crate) answered_at: Option<Instant>,
    burst: Burst,

    pub(crate) t3: Option<Instant>,
    pub(crate) heartbeat: Option<Heartbeat>,
    pub(crate) heartbeat_due: Option<Instant>,
    /// The MTU probe has a heartbeat of its own, whose loss says nothing of
    /// the path.
    pub(crate) mtu_probe: Option<Heartbeat>,
    /// Nonce of the heartbeat that went to another UDP port, to learn whether
    /// the peer is there, and until when no other does.
    pub(crate) asked: Option<(u64, Instant)>,
    pub(crate) pmtu: Pmtu,
    consecutive_timeouts: u32,
}

impl Path {
    pub(crate) fn new(
        local: IpAddr,
        remote: IpAddr,
        udp_port: Option<u16>,
        config: &Config,
        now: Instant,
    ) -> Self {
        let pmtu = Pmtu::new(&config.pmtu, overhead(remote, udp_port));
        let mds = pmtu.current.saturating_sub(HEADER_LEN);
        Self {
            remote,
            local,
            udp_port,
            state: PathState::Unconfirmed,
            confirmed: false,
            errors: 0,
            srtt: None,
            rttvar: 0,
            rto: config.rto.initial,
            sample_from: now,
            cwnd: initial_window(mds),
            ssthresh: usize::MAX,
            partial_bytes_acked: 0,
            flight: 0,
            recovery: None,
            rescue: false,
            last_data_at: now,
            answered_at: None,
            burst: Burst::default(),
            t3: None,
            heartbeat: None,
            heartbeat_due: None,
            mtu_probe: None,
            asked: None,
            pmtu,
            consecutive_timeouts: 0,
        }
    }

    /// Octets of the largest chunk (PMDCS).
    pub(crate) const fn chunk_len_max(&self) -> usize {
        self.pmtu.current.saturating_sub(HEADER_LEN)
    }

    pub(crate) const fn round_trip(&self) -> Option<Duration> {
        match self.srtt {
            Some(srtt) => Some(Duration::from_micros(srtt)),
            None => None,
        }
    }

    /// Takes the round trip of acknowledged data, at most one a round trip.
    pub(crate) fn sampled(&mut self, round_trip: Duration, config: &RtoConfig, now: Instant) {
        if now >= self.sample_from {
            self.measured(round_trip, config);
            self.sample_from = now + self.round_trip().unwrap_or_default();
        }
    }

    /// Takes a measured round trip (RFC 9260, section 6.3.1, C1 to C7).
    pub(crate) fn measured(&mut self, round_trip: Duration, config: &RtoConfig) {
        const GRANULARITY: u64 = 1_000;
        let sample = micros(round_trip).min(micros(config.max));
        let srtt = match self.srtt {
            None => {
                self.rttvar = sample / 2;
                sample
            }
            Some(srtt) => {
                self.rttvar = (3 * self.rttvar + srtt.abs_diff(sample)) / 4;
                (7 * srtt + sample) / 8
            }
        };
        self.rttvar = self.rttvar.max(GRANULARITY);
        self.srtt = Some(srtt);
        let rto = Duration::from_micros(srtt.saturating_add(4 * self.rttvar));
        self.rto = rto.clamp(config.min, config.max.max(config.min));
    }

    /// Doubles the retransmission timeout (RFC 9260, section 6.3.3, E2).
    pub(crate) fn back_off(&mut self, config: &RtoConfig) {
        self.rto = self.rto.saturating_mul(2).min(config.max.max(config.min));
    }

    /// Tells that data goes out now; a window that was not used for a while
    /// has shrunk (RFC 9260, section 7.2.1).
    pub(crate) fn before_data(&mut self, now: Instant) {
        if self.flight == 0 {
            let mut idle = now.since(self.last_data_at);
            let floor = initial_window(self.chunk_len_max());
            while idle >= self.rto && self.cwnd > floor {
                self.cwnd = (self.cwnd / 2).max(floor);
                idle = idle.saturating_sub(self.rto);
            }
            self.partial_bytes_acked = 0;
        }
        self.last_data_at = now;
    }

    /// Takes note that something arrived: so many packets may go again.
    pub(crate) const fn arrived(&mut self) {
        self.burst.packets = 0;
        self.burst.octets = 0;
    }

    /// Takes note of octets that an arrival acknowledged: as many may take
    /// their place.
    pub(crate) fn freed(&mut self, octets: usize) {
        let octets = u32::try_from(octets).unwrap_or(u32::MAX);
        self.burst.freed = self.burst.freed.saturating_add(octets);
    }

    /// Whether one more packet with new data may follow those that went since
    /// something arrived (RFC 9260, section 6.1, D): `packets_max` may, and
    /// what takes the place of all that was acknowledged, with two packets more,
    /// so that the window can grow. Where arrivals are taken together, and one
    /// acknowledgement stands for many packets, `packets_max` alone would be all
    /// that a round trip carries.
    pub(crate) fn may_burst(&self, packets_max: u32) -> bool {
        let Burst {
            packets,
            octets,
            freed,
        } = self.burst;
        let two = u32::try_from(2 * self.chunk_len_max()).unwrap_or(u32::MAX);
        packets < packets_max || (freed > 0 && octets < freed.saturating_add(two))
    }

    /// Takes note of a packet with so many octets of new data.
    pub(crate) fn burst(&mut self, octets: usize) {
        let octets = u32::try_from(octets).unwrap_or(u32::MAX);
        self.burst.packets = self.burst.packets.saturating_add(1);
        self.burst.octets = self.burst.octets.saturating_add(octets);
    }

    /// Takes note that all went out that may: what was acknowledged and not
    /// made use of is no credit for later.
    pub(crate) const fn settled(&mut self) {
        if self.burst.octets < self.burst.freed {
            self.burst.packets = 0;
            self.burst.octets = 0;
        }
        self.burst.freed = 0;
    }

    /// Opens the window (RFC 9260, sections 7.2.1 and 7.2.2) where the
    /// cumulative TSN advanced and `before` octets had been under way.
    pub(crate) fn acknowledged(&mut self, octets: usize, before: usize) {
        let mds = self.chunk_len_max();
        self.consecutive_timeouts = 0;
        if self.recovery.is_some() {
            return;
        }
        let full = before >= self.cwnd;
        if self.cwnd <= self.ssthresh {
            if full {
                self.cwnd = self.cwnd.saturating_add(octets.min(mds));
            }
            return;
        }
        self.partial_bytes_acked = self.partial_bytes_acked.saturating_add(octets);
        if self.partial_bytes_acked >= self.cwnd {
            if full {
                self.partial_bytes_acked -= self.cwnd;
                self.cwnd = self.cwnd.saturating_add(mds);
            } else {
                self.partial_bytes_acked = self.cwnd;
            }
        }
        if self.flight == 0 {
            self.partial_bytes_acked = 0;
        }
    }

    /// Halves the window after a loss that acknowledgements showed, until
    /// `exit` is acknowledged (RFC 9260, section 7.2.4).
    pub(crate) fn lost(&mut self, exit: u64) {
        if self.recovery.is_some() {
            return;
        }
        self.ssthresh = (self.cwnd / 2).max(4 * self.chunk_len_max());
        self.cwnd = self.ssthresh;
        self.partial_bytes_acked = 0;
        self.recovery = Some(exit);
        self.rescue = true;
    }

    /// Shrinks the window to one packet after a timeout (RFC 9260, section
    /// 7.2.3).
    pub(crate) fn timed_out(&mut self, config: &Config) {
        let mds = self.chunk_len_max();
        self.ssthresh = (self.cwnd / 2).max(4 * mds);
        self.cwnd = mds;
        self.partial_bytes_acked = 0;
        self.recovery = None;
        self.consecutive_timeouts = self.consecutive_timeouts.saturating_add(1);
        if self.consecutive_timeouts >= 3 {
            self.pmtu.black_hole();
        }
        self.back_off(&config.rto);
    }

    /// Starts again with a fresh window, after the path came back.
    pub(crate) fn restart_window(&mut self) {
        self.cwnd = initial_window(self.chunk_len_max());
        self.partial_bytes_acked = 0;
        self.recovery = None;
    }

    /// Counts one timeout, and tells whether the state is another now.
    pub(crate) fn count_error(&mut self, config: &Config) -> bool {
        let before = self.state;
        self.errors = self.errors.saturating_add(1);
        if self.errors > config.path_retransmits_max {
            self.state = PathState::Inactive;
        } else if self.errors > config.potentially_failed_retransmits_max
            && before == PathState::Active
        {
            self.state = PathState::PotentiallyFailed;
        }
        self.state != before
    }

    /// Takes note that the peer answered on this path, and tells whether the
    /// state is another now.
    pub(crate) fn answered(&mut self) -> bool {
        self.errors = 0;
        self.confirmed = true;
        let before = self.state;
        self.state = PathState::Active;
        // What timeouts shrank stays small where the path only may have
        // failed: else a timeout on the only path would mean nothing.
        if before == PathState::Inactive {
            self.restart_window();
        }
        before != PathState::Active
    }

    pub(crate) fn status(&self, primary: bool) -> PathStatus {
        PathStatus {
            local: self.local,
            remote: self.remote,
            state: self.state,
            primary,
            round_trip: self.round_trip(),
            rto: self.rto,
            congestion_window: self.cwnd,
            in_flight: self.flight,
            mtu: self.pmtu.current + overhead(self.remote, self.udp_port),
            errors: self.errors,
        }
    }
}

/// The search for the largest packet that gets through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pmtu {
    /// Octets of the largest SCTP packet that is known to get through.
    pub(crate) current: usize,
    base: usize,
    ceiling: usize,
    max: usize,
    attempts: u8,
    pub(crate) due: Option<Instant>,
}

impl Pmtu {
    const STEP: usize = 16;
    const ATTEMPTS_MAX: u8 = 3;

    fn new(config: &PmtuConfig, overhead: usize) -> Self {
        let fit = |size: u16| usize::from(size).saturating_sub(overhead) & !3;
        let base = fit(config.base).max(fit(512));
        let max = fit(config.max).max(base);
        Self {
            current: base,
            base,
            ceiling: max,
            max,
            attempts: 0,
            due: None,
        }
    }

    /// The size to try next: first the largest, then halves of what is left.
    pub(crate) const fn candidate(&self) -> Option<usize> {
        if self.ceiling < self.current + Self::STEP {
            return None;
        }
        if self.ceiling == self.max {
            return Some(self.max);
        }
        Some((self.current + (self.ceiling - self.current) / 2) & !3)
    }

    /// `size` got through.
    pub(crate) fn found(&mut self, size: usize, config: &PmtuConfig, now: Instant) {
        self.current = self.current.max(size).min(self.max);
        self.attempts = 0;
        self.plan(config, now, Duration::ZERO);
    }

    /// `size` did not come back.
    pub(crate) fn missed(&mut self, size: usize, config: &PmtuConfig, now: Instant, rto: Duration) {
        self.attempts = self.attempts.saturating_add(1);
        if self.attempts >= Self::ATTEMPTS_MAX {
            self.attempts = 0;
            self.ceiling = size.saturating_sub(4).max(self.current);
        }
        self.plan(config, now, rto);
    }

    /// Plans the next probe: soon, or after a while when the search is over.
    pub(crate) fn plan(&mut self, config: &PmtuConfig, now: Instant, soon: Duration) {
        self.due = if self.candidate().is_some() {
            Some(now + soon)
        } else if self.current < self.max {
            self.ceiling = self.max;
            Some(now + config.raise_interval)
        } else {
            None
        };
    }

    /// Timeouts in a row may mean that large packets vanish.
    const fn black_hole(&mut self) {
        if self.current > self.base {
            self.ceiling = self.max;
            self.current = self.base;
        }
    }
}

/// Octets of IP and UDP headers.
pub(crate) const fn overhead(remote: IpAddr, udp_port: Option<u16>) -> usize {
    let ip = match remote {
        IpAddr::V4(_) => 20,
        IpAddr::V6(_) => 40,
    };
    ip + if udp_port.is_some() { 8 } else { 0 }
}

/// The peer's UDP port at first.
pub(crate) const fn udp_port(encapsulation: Encapsulation) -> Option<u16> {
    match encapsulation {
        Encapsulation::Ip => None,
        Encapsulation::Udp { remote_port } => Some(remote_port),
    }
}

/// The first congestion window (RFC 9260, section 7.2.1).
const fn initial_window(mds: usize) -> usize {
    let low = if 2 * mds > 4_404 { 2 * mds } else { 4_404 };
    if 4 * mds < low { 4 * mds } else { low }
}

#[cfg(test)]
mod tests {
    //! Evidence: RFC 9260, section 6.1, D, and what is said of it above.
    use std::net::Ipv4Addr;

    use super::*;

    fn packets(path: &mut Path, octets: usize) -> usize {
        let mut packets = 0;
        while path.may_burst(4) {
            path.burst(octets);
            packets += 1;
            assert!(packets < 1_000, "a burst has no end");
        }
        packets
    }

    #[test]
    fn a_burst_is_what_was_acknowledged_or_what_is_configured() {
        let here = Ipv4Addr::LOCALHOST.into();
        let mut path = Path::new(here, here, None, &Config::default(), Instant::ORIGIN);
        let full = path.chunk_len_max();
        assert_eq!(packets(&mut path, full), 4);
        assert_eq!(packets(&mut path, full), 0);
        path.settled();
        // Two packets are acknowledged at once: no more than is configured.
        path.arrived();
        path.freed(2 * full);
        assert_eq!(packets(&mut path, full), 4);
        path.settled();
        // Several acknowledgements that are taken together count together.
        for _ in 0..5 {
            path.arrived();
            path.freed(4 * full);
        }
        assert_eq!(packets(&mut path, full), 22);
        path.settled();
        assert_eq!(packets(&mut path, full), 0);
        // What was not made use of is no credit.
        path.arrived();
        path.freed(20 * full);
        path.burst(full);
        path.settled();
        assert_eq!(packets(&mut path, full), 4);
    }
}
