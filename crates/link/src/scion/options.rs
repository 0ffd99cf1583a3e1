//! What a URL of SCION says.

use std::net::IpAddr;

use scion::address::IsdAs;
use scion::policy::{Acl, Policy, Preference, Sequence};

use crate::endpoint::{Options, Query};
use crate::{DLMS_PORT, EndpointError, HostPort};

/// What a SCION endpoint has beside host and port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScionOptions {
    /// The AS that the host is in.
    pub isd_as: IsdAs,
    /// Host and port of the own AS's daemon; or `http://`, host and port of its
    /// endhost API.
    pub daemon: Option<String>,
    /// The fence: what paths may touch.
    pub fence: Option<Acl>,
    /// The pattern that the ASes of a path follow.
    pub pattern: Option<Sequence>,
    /// Whether only paths are taken that the AS's daemon vouches for: none
    /// that an endhost API's segments give.
    pub verified: bool,
    /// What allowed paths are put in order by first; none: the quickest first.
    pub prefer: Option<Preference>,
    /// The own address to send from; none: the one that faces the router.
    pub local: Option<IpAddr>,
}

impl ScionOptions {
    /// Makes the policy that paths are held against: where nothing else is
    /// preferred, and of those that are equal in it, the quickest first.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            // Without a fence all known paths are allowed, and still none that
            // nobody told.
            acl: self.fence.clone().or_else(|| "+".parse().ok()),
            sequence: self.pattern.clone(),
            verified_only: self.verified,
            max_latency: None,
            preferences: self
                .prefer
                .into_iter()
                .chain([Preference::Latency])
                .collect(),
        }
    }

    /// Writes AS, host and port as they stand in a URL.
    pub(crate) fn place(&self, at: &HostPort) -> String {
        format!("[{},{}]:{}", self.isd_as, at.host, at.port)
    }

    pub(crate) fn put(&self, query: &mut Query) {
        query.put("daemon", self.daemon.as_ref());
        query.put("fence", self.fence.as_ref());
        query.put("pattern", self.pattern.as_ref());
        query.put("verified", self.verified.then_some("yes"));
        query.put("prefer", self.prefer.map(Preference::name));
        query.put("local", self.local);
    }

    /// Reads `[ISD-AS,HOST][:PORT]` and the options.
    pub(crate) fn parse(
        place: &str,
        options: &mut Options,
    ) -> Result<(HostPort, Self), EndpointError> {
        let place = place.strip_suffix('/').unwrap_or(place);
        let rest = place.strip_prefix('[').ok_or(EndpointError::Scion)?;
        let (inner, tail) = rest.split_once(']').ok_or(EndpointError::Scion)?;
        let (isd_as, host) = inner.split_once(',').ok_or(EndpointError::Scion)?;
        let port = match tail.strip_prefix(':') {
            Some(port) => port.parse().map_err(|_| EndpointError::Port)?,
            None if tail.is_empty() => DLMS_PORT,
            None => return Err(EndpointError::Scion),
        };
        let host: IpAddr = host.parse().map_err(|_| EndpointError::Scion)?;
        let policy = |error: scion::policy::PolicyError| EndpointError::Policy(Box::new(error));
        let at = HostPort {
            host: host.to_string(),
            port,
        };
        let fence = options.take("fence").map(|text| text.parse::<Acl>());
        let pattern = options.take("pattern").map(|text| text.parse::<Sequence>());
        let verified = options.take("verified");
        if verified.as_deref().is_some_and(|text| text != "yes") {
            return Err(EndpointError::Verified);
        }
        let prefer = options.take("prefer").map(|text| {
            let mut all = Preference::ALL.into_iter();
            all.find(|one| one.name() == text)
                .ok_or(EndpointError::Prefer)
        });
        let local = options.take("local").map(|text| text.parse::<IpAddr>());
        let own = Self {
            isd_as: isd_as.parse().map_err(|_| EndpointError::Scion)?,
            daemon: options.take("daemon").filter(|text| !text.is_empty()),
            fence: fence.transpose().map_err(policy)?,
            pattern: pattern.transpose().map_err(policy)?,
            verified: verified.is_some(),
            prefer: prefer.transpose()?,
            local: local.transpose().map_err(|_| EndpointError::Local)?,
        };
        Ok((at, own))
    }
}
