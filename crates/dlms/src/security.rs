//! Security suites: protecting and verifying APDUs, invocation counters,
//! authentication of the peers and the keys for all of it.
//!
//! | part | what it holds |
//! |---|---|
//! | [`Key`], [`Keys`], [`SystemTitle`] | key octets that show nowhere, and whose they are |
//! | [`Crypto`], [`Gcm`], [`RustCrypto`] | the algorithms, behind one door; with the feature `aws-lc` also `AwsLc`, for hosts |
//! | [`KeyRing`] | one peer's keys made ready: [`protect`](KeyRing::protect), [`unprotect`](KeyRing::unprotect) |
//! | [`SendCounter`], [`CounterBlock`], [`CounterHint`] | counters of our own that are never used twice |
//! | [`ReplayWindow`], [`PeerCounter`] | counters of the peer that move only after the tag verified |
//! | [`HlsExchange`], [`password_matches`] | the four passes of HLS, and LLS |
//! | [`PublicKey`], [`Signatures`] | signatures of a maker, verified |
//! | [`SecurityPolicy`], [`KeyTransfer`] | what the Security Setup object (class 64) activates and transfers |
//!
//! ```
//! use dlms::security::{
//!     CounterRecord, Envelope, Keys, KeyRing, Protection, ReplayWindow, RustCrypto,
//!     SecuritySuite, SendCounter, SystemTitle, Wrapping,
//! };
//!
//! let keys = Keys::new([0x5A; 16].into(), [0xA5; 16].into());
//! let ring = KeyRing::new(&RustCrypto, SecuritySuite::Suite0, &keys)?;
//! let client = SystemTitle(*b"GWD\0\0\0\0\x01");
//! let protection = Protection::AuthenticatedEncrypted;
//!
//! // The client: reserve counters, store the record, then use them.
//! let mut counter = SendCounter::resume(CounterRecord::default());
//! let plan = counter.plan_block(1_000)?;
//! // store(plan.record());
//! counter.adopt(plan);
//! let get = [0xC0, 1, 0xC1, 0, 8, 0, 0, 1, 0, 0, 0xFF, 2, 0];
//! let mut frame = Vec::new();
//! let envelope = Envelope::new(Wrapping::Glo, protection);
//! ring.protect(envelope, &client, counter.take()?, &get, &mut frame)?;
//!
//! // The server: verify once; the window moves only if the tag is right.
//! let mut window = ReplayWindow::rising(0);
//! let opened = ring.unprotect_once(&mut frame, &client, protection, &mut window)?;
//! // store(window.floor());
//! assert_eq!(opened.plain(&frame), get);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A check that passed leaves a proof: [`TagVerified`], [`PasswordVerified`],
//! [`HlsVerified`]. Nothing outside this module can make one:
//!
//! ```compile_fail,E0423
//! let forged = dlms::security::TagVerified(());
//! ```

#[cfg(feature = "aws-lc")]
mod aws_lc;
mod counter;
mod crypto;
mod envelope;
mod hls;
mod key;
mod policy;
mod proof;
mod replay;
mod signature;
mod suite;
mod transfer;

#[cfg(feature = "aws-lc")]
pub use aws_lc::AwsLc;
pub use counter::{
    COUNTER_WARNING, CounterBlock, CounterError, CounterHint, CounterPlan, CounterRecord,
    FreshCounter, HINT_AHEAD_MAX, HINT_BUDGET, HINT_TRIALS_MAX, HintRefused, SendCounter,
};
pub use crypto::{Crypto, Gcm, Iv, RustCrypto, Tag, TagMismatch, TextTooLong, UnwrapError};
pub use envelope::{
    Envelope, Header, KeyRing, ProtectError, UnprotectError, Unprotected, Unverified, Wrapping,
};
pub use hls::{
    CHALLENGE_LEN_MAX, CHALLENGE_LEN_MIN, Challenge, ChallengeError, GMAC_REPLY_LEN, HlsError,
    HlsExchange, PASSWORD_LEN_MAX, Role, password_matches,
};
pub use key::{
    Key, KeyError, KeyKind, KeyLength, Keys, ParseSystemTitleError, SystemTitle, weak_key,
};
pub use policy::{PolicyError, PolicyVersion, Required, SecurityPolicy};
pub use proof::{HlsVerified, PasswordVerified, SignatureVerified, TagVerified};
pub use replay::{
    Candidate, CounterRestart, PEERS_MAX, PeerCounter, PeerWindows, REPLAY_WINDOW_WIDTH,
    ReplayError, ReplayWindow,
};
pub use signature::{NoPublicKey, PublicKey, Signature, SignatureMismatch, Signatures};
pub use suite::{Protection, SecurityControl, SecuritySuite};
pub use transfer::{KeyTransfer, KeyTransferError, KeyTransfers};
