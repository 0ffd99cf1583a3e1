//! From options to an association with a meter.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use dlms::acse::{AssociateSourceDiagnostic, MechanismName, ServiceUserDiagnostic};
use dlms::axdr::Data;
use dlms::client::{Config, Failure as DlmsFailure, Repeat, Security};
use dlms::cosem::{AttributeDescriptor, Obis};
use dlms::security::{
    AwsLc, ChallengeError, CounterRestart, Key, KeyRing, Keys, PeerCounter, Protection,
    ReplayWindow, SecuritySuite, SendCounter, SystemTitle, UnprotectError, Wrapping,
};
use dlms::server::Context;
use dlms::xdlms::{DataAccessResult, ServiceError, StateError};
use link::{
    Association, Client, ClientError, ClientKeys, Clock, CounterStore, Drkey, Endpoint, KeyFile,
    Link, LinkError, MeterKeys, Password, Sap, Surroundings, Trace, Traced,
};

use crate::config;
use crate::counters::{self, Counters};
use crate::failure::Failure;
use crate::profile::{self, Form, Mechanism, Profile, Protect};
use crate::scion::ScionArgs;
use crate::secret::Secret;

/// How often an association is tried where somebody else moves the counter, or
/// the meter's challenge is not to be answered.
const ATTEMPTS_MAX: u32 = 5;

/// How long an answer is waited for where nobody says it.
const TIMEOUT_S: u64 = 10;

/// The client that everybody may be.
const PUBLIC_CLIENT: Sap = 16;

const LOGICAL_DEVICE_NAME: AttributeDescriptor =
    AttributeDescriptor::new(1, Obis::new(0, 0, 42, 0, 0, 255), 2);

/// Where meters tell the invocation counter that they saw last; value group E
/// is the security setup it belongs to. Seen on Landis+Gyr E350 and E570 and
/// MetCom MCS301.
const INVOCATION_COUNTER: AttributeDescriptor =
    AttributeDescriptor::new(1, Obis::new(0, 0, 43, 1, 0, 255), 2);

/// How an association is made.
#[derive(Args, Debug)]
pub(crate) struct AssociationOptions {
    #[command(flatten)]
    given: Profile,

    #[command(flatten)]
    scion: ScionArgs,

    /// Take what is not given from this file: TOML, one KEY = VALUE for each
    /// of these options, with _ for -
    #[arg(long, value_name = "FILE", help_heading = "Association")]
    profile_file: Option<PathBuf>,

    /// The configuration that knows meters by name
    /// [default: ~/.config/gridward/gridward.toml]
    #[arg(
        long,
        value_name = "FILE",
        env = "GRIDWARD_CONFIG",
        hide_env_values = true,
        help_heading = "Association"
    )]
    config: Option<PathBuf>,

    /// Go on with this invocation counter; only upwards
    #[arg(long, value_name = "N", help_heading = "Association")]
    counter: Option<u32>,

    /// Record all messages in a file for packet analysers
    #[arg(long, value_name = "FILE.pcap", help_heading = "Association")]
    trace: Option<PathBuf>,
}

/// A meter, and how to associate with it: options, profile file and
/// configuration in one.
pub(crate) struct Destination {
    pub(crate) endpoint: Endpoint,
    profile: Profile,
    counter: Option<u32>,
    trace: Option<PathBuf>,
}

impl AssociationOptions {
    /// Finds out what `place` means: a URL, or a meter of the configuration.
    pub(crate) fn destination(&self, place: &str) -> Result<Destination, Failure> {
        let given = self.given.clone();
        let (url, profile) = if place.contains("://") {
            let base = match &self.profile_file {
                Some(path) => config::load_profile(path)?,
                None => Profile::default(),
            };
            (place.to_owned(), given.over(base))
        } else if self.profile_file.is_some() {
            return Err(Failure::usage(format!(
                "{place}: a meter of the configuration has a profile of its own"
            ))
            .hint("give a URL with --profile-file"));
        } else {
            let (url, base) = config::meter(place, self.config.as_deref())?;
            (url, given.over(base))
        };
        profile
            .check()
            .map_err(|reason| Failure::usage(format!("{place}: {reason}")))?;
        let mut endpoint: Endpoint = url
            .parse()
            .map_err(|error| Failure::usage(format!("{url}: {error}")))?;
        self.scion.put(&mut endpoint)?;
        Ok(Destination {
            endpoint,
            profile,
            counter: self.counter,
            trace: self.trace.clone(),
        })
    }
}

/// An association, and what must be told at its end.
pub(crate) struct Session {
    pub(crate) client: Client,
    counters: Option<Arc<Counters>>,
    trace: Option<(Trace, PathBuf)>,
}

impl Session {
    /// Ends the association in an orderly way.
    pub(crate) async fn end(self) -> Result<(), Failure> {
        let security = self.client.release().await;
        if let Some(counters) = self.counters
            && let Some(floor) = security.and_then(|security| security.received.window().floor())
        {
            counters.heard(floor)?;
        }
        if let Some((trace, path)) = self.trace
            && let Some(kind) = trace.failed()
        {
            return Err(Failure::new(format!(
                "the trace {} is incomplete: {kind}",
                path.display()
            )));
        }
        Ok(())
    }
}

/// Runs a command that talks to a meter.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("the runtime does not start: {error}")))?
        .block_on(work)
}

/// What the options and the key file come to.
struct Plan {
    client: Sap,
    mechanism: MechanismName<'static>,
    protection: Protection,
    suite: SecuritySuite,
    encryption: Option<Key>,
    authentication: Option<Key>,
    password: Option<Password>,
    /// The secret that the network's keys are mixed with, in place of an
    /// authentication key.
    drkey: Option<Key>,
    /// The meter's title, where the key file tells it.
    server_title: Option<SystemTitle>,
}

/// What the public client was told.
#[derive(Default)]
struct Told {
    logical_device_name: Option<String>,
    counter: Option<u32>,
}

impl Destination {
    /// Makes the association.
    pub(crate) async fn connect(&self) -> Result<Session, Failure> {
        let endpoint = &self.endpoint;
        let server = self.profile.server.unwrap_or(1);
        let surroundings = Surroundings::system();
        let trace = self.trace(&surroundings.clock)?;
        let line = Line {
            endpoint,
            surroundings: &surroundings,
            trace: trace.as_ref().map(|(trace, _)| trace),
            limit: self.limit(),
        };
        let file = self
            .profile
            .keys
            .as_ref()
            .map(|path| KeyFile::load(path).map_err(|error| crate::keys::failure(&error)))
            .transpose()?;
        let mut told = Told::default();
        let mut asked = false;
        if file.is_some() && self.profile.meter.is_none() {
            told = line.ask_publicly(server, true).await?;
            asked = true;
        }
        let plan = self.plan(file.as_ref(), told.logical_device_name.as_deref())?;
        let make = || Association {
            client: plan.client,
            server,
            config: self.config(&plan),
            security: None,
            counters: None,
            password: plan.password.clone(),
            dedicated: matches!(self.form(), Form::Ded | Form::GeneralDed),
            counter: None,
            drkey: plan.drkey(),
        };
        let Some(encryption) = &plan.encryption else {
            let client = line
                .associate(make())
                .await
                .map_err(|error| explain(&error, endpoint))?;
            return Ok(Session {
                client,
                counters: None,
                trace,
            });
        };
        let folder = match &self.profile.state {
            Some(folder) => folder.clone(),
            None => counters::default_folder()?,
        };
        let title = self.title(&folder)?;
        let counters = Arc::new(Counters::open(&folder, encryption, &title)?);
        if let Some(next) = self.counter {
            counters.raise(next)?;
            told = Told::default();
        } else if !asked {
            // Meters that keep it to themselves are taken by our own word.
            told = line.ask_publicly(server, false).await.unwrap_or_default();
        }
        // The reply to our challenge is new, and what comes after it lies above its counter.
        // Without one only memory tells old answers from new ones.
        let heard = match plan.mechanism {
            MechanismName::HighGmac => 0,
            _ => counters.last_heard(),
        };
        for attempt in 1.. {
            let record = counters.resume(told.counter)?;
            let start = record.end;
            let mut association = make();
            association.security = Some(Security {
                title,
                server_title: plan.server_title,
                keys: plan.ring(encryption)?,
                send: SendCounter::resume(record),
                received: PeerCounter::new(ReplayWindow::sliding(heard), CounterRestart::Refuse),
            });
            association.counters = Some(Arc::clone(&counters) as Arc<dyn CounterStore>);
            let error = match line.associate(association).await {
                Ok(client) => {
                    counters.confirm()?;
                    return Ok(Session {
                        client,
                        counters: Some(counters),
                        trace,
                    });
                }
                Err(error) => error,
            };
            counters.abandon();
            // One random challenge in some 1,400 reads as an APDU and is not
            // answered; the next does not.
            let unlucky = matches!(
                error,
                ClientError::Failed(DlmsFailure::Challenge(ChallengeError::ReadsAsApdu))
            );
            if attempt < ATTEMPTS_MAX && unlucky {
                tracing::debug!(attempt, "the meter's challenge reads as an APDU");
                continue;
            }
            // Somebody else with the same key may have been faster.
            let refused = matches!(
                error,
                ClientError::Failed(DlmsFailure::Rejected { .. } | DlmsFailure::CounterBehind(_))
            );
            if attempt < ATTEMPTS_MAX && refused && self.counter.is_none() {
                told = line.ask_publicly(server, false).await.unwrap_or_default();
                if told.counter.is_some_and(|counter| counter >= start) {
                    tracing::debug!(attempt, start, "the meter's counter has moved on");
                    continue;
                }
            }
            return Err(explain(&error, endpoint));
        }
        Err(Failure::new("no attempt was made"))
    }

    fn form(&self) -> Form {
        self.profile.wrapping.unwrap_or_default()
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(self.profile.timeout.unwrap_or(TIMEOUT_S))
    }

    fn title(&self, folder: &std::path::Path) -> Result<SystemTitle, Failure> {
        match &self.profile.system_title {
            Some(text) => profile::system_title(text),
            None => counters::own_title(folder),
        }
    }

    fn trace(&self, clock: &Arc<dyn Clock>) -> Result<Option<(Trace, PathBuf)>, Failure> {
        let Some(path) = &self.trace else {
            return Ok(None);
        };
        let started = std::fs::File::create(path)
            .and_then(|file| Trace::new(Box::new(file), Arc::clone(clock)))
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        Ok(Some((started, path.clone())))
    }

    fn config(&self, plan: &Plan) -> Config {
        let ciphered =
            plan.protection != Protection::None || plan.mechanism == MechanismName::HighGmac;
        Config {
            context: if ciphered {
                Context::LogicalNameCiphered
            } else {
                Context::LogicalName
            },
            mechanism: plan.mechanism,
            protection: plan.protection,
            wrapping: match self.form() {
                Form::Glo => Wrapping::Glo,
                Form::Ded => Wrapping::Ded,
                Form::GeneralGlo => Wrapping::GeneralGlo,
                Form::GeneralDed => Wrapping::GeneralDed,
            },
            pdu_len_max: self.profile.max_pdu.unwrap_or(u16::MAX),
            timeout: self.limit(),
            ..Config::default()
        }
    }

    fn plan(&self, file: Option<&KeyFile>, name: Option<&str>) -> Result<Plan, Failure> {
        let entry = file.map(|file| self.entry(file, name)).transpose()?;
        let from_file = entry
            .map(|entry| self.client_keys(entry))
            .transpose()?
            .flatten();
        let client = match (self.profile.client, from_file) {
            (Some(client), _) => client,
            (None, Some(keys)) => keys.sap,
            (None, None) => PUBLIC_CLIENT,
        };
        let option = |secret: &Option<Secret>, name: &str| {
            secret.as_ref().map(|secret| secret.key(name)).transpose()
        };
        let encryption = match from_file {
            Some(keys) => keys.encryption_key.clone(),
            None => option(&self.profile.key, "--key")?,
        };
        let drkey = from_file.and_then(|keys| keys.drkey_secret.clone());
        let authentication = match from_file {
            Some(_) if drkey.is_some() => None,
            Some(keys) => keys.authentication_key.clone(),
            None => option(&self.profile.auth_key, "--auth-key")?,
        };
        let password = match from_file {
            Some(keys) => keys.password.clone(),
            None => self
                .profile
                .password
                .as_ref()
                .map(|secret| secret.password("--password"))
                .transpose()?,
        };
        let mechanism = match self.profile.security {
            Some(mechanism) => mechanism.name()?,
            None => match from_file {
                Some(keys) => keys.mechanism,
                None if encryption.is_some() => MechanismName::HighGmac,
                None if password.is_some() => MechanismName::Low,
                None => MechanismName::Lowest,
            },
        };
        if !matches!(
            mechanism,
            MechanismName::Lowest | MechanismName::Low | MechanismName::HighGmac
        ) {
            return Err(Failure::usage(format!(
                "{} is not built yet: there are none, lls and hls5",
                link::mechanism_name(mechanism)
            )));
        }
        let protection = match self.profile.protect {
            Some(Protect::None) => Protection::None,
            Some(Protect::Auth) => Protection::Authenticated,
            Some(Protect::Enc) => Protection::Encrypted,
            Some(Protect::Authenc) => Protection::AuthenticatedEncrypted,
            None if encryption.is_some() && (authentication.is_some() || drkey.is_some()) => {
                Protection::AuthenticatedEncrypted
            }
            None => Protection::None,
        };
        if mechanism == MechanismName::Low && password.is_none() {
            return Err(Failure::usage("lls needs a password")
                .hint("give --password, GRIDWARD_PASSWORD or --keys FILE"));
        }
        let keyed = protection != Protection::None || mechanism == MechanismName::HighGmac;
        if keyed && (encryption.is_none() || (authentication.is_none() && drkey.is_none())) {
            return Err(Failure::usage(
                "hls5 and protected requests need an encryption key and an authentication key",
            )
            .hint("give --key and --auth-key, their variables, or --keys FILE"));
        }
        let suite = self
            .profile
            .suite
            .or_else(|| from_file.map(|keys| keys.suite))
            .unwrap_or(0);
        let suite = SecuritySuite::from_id(suite)
            .ok_or_else(|| Failure::usage(format!("there is no security suite {suite}")))?;
        Ok(Plan {
            client,
            mechanism,
            protection,
            suite,
            encryption: encryption.filter(|_| keyed),
            authentication,
            password: password.filter(|_| mechanism == MechanismName::Low),
            drkey: drkey.filter(|_| keyed),
            server_title: entry.map(|entry| entry.system_title),
        })
    }

    fn entry<'f>(&self, file: &'f KeyFile, name: Option<&str>) -> Result<&'f MeterKeys, Failure> {
        let wanted = self.profile.meter.as_deref().or(name).ok_or_else(|| {
            Failure::new("the meter does not tell its logical device name")
                .hint("say with --meter NAME which entry of the key file is its")
        })?;
        file.find(wanted).ok_or_else(|| {
            Failure::new(format!("the key file has no meter {wanted}"))
                .hint("--meter takes a system title or a logical device name")
        })
    }

    fn client_keys<'f>(&self, entry: &'f MeterKeys) -> Result<Option<&'f ClientKeys>, Failure> {
        match self.profile.client {
            Some(PUBLIC_CLIENT) => Ok(entry.client(PUBLIC_CLIENT)),
            Some(client) => entry.client(client).map(Some).ok_or_else(|| {
                let known: Vec<String> = entry
                    .clients
                    .iter()
                    .map(|keys| keys.sap.to_string())
                    .collect();
                Failure::new(format!(
                    "the key file has no client {client} of {}",
                    entry.logical_device_name
                ))
                .hint(format!("it has: {}", known.join(", ")))
            }),
            None => Ok(entry.clients.first()),
        }
    }
}

impl Mechanism {
    fn name(self) -> Result<MechanismName<'static>, Failure> {
        let name = self
            .to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default();
        link::mechanism_from_name(&name)
            .ok_or_else(|| Failure::usage(format!("--security {name}: not a mechanism")))
    }
}

impl Plan {
    fn keys(&self, encryption: &Key) -> Keys {
        Keys {
            encryption: encryption.clone(),
            authentication: self.authentication.clone(),
            broadcast: None,
            master: None,
            dedicated: None,
        }
    }

    fn drkey(&self) -> Option<Drkey> {
        Some(Drkey {
            secret: self.drkey.clone()?,
            keys: self.keys(self.encryption.as_ref()?),
        })
    }

    fn ring(&self, encryption: &Key) -> Result<KeyRing, Failure> {
        let keys = self.keys(encryption);
        KeyRing::new(&AwsLc, self.suite, &keys).map_err(|error| Failure::usage(error.to_string()))
    }
}

/// The way to one meter.
struct Line<'l> {
    endpoint: &'l Endpoint,
    surroundings: &'l Surroundings,
    trace: Option<&'l Trace>,
    limit: Duration,
}

impl Line<'_> {
    async fn associate(&self, mut association: Association) -> Result<Client, ClientError> {
        self.endpoint.suit(&mut association.config, Repeat::Reads);
        let ends = (association.client, association.server);
        let mut link =
            link::connect(self.endpoint, ends, &self.surroundings.clock, self.limit).await?;
        if let Some(trace) = self.trace {
            link = Box::new(Traced::new(link, trace.clone())) as Box<dyn Link>;
        }
        Client::associate(link, association, self.surroundings).await
    }

    /// Asks as the public client for the meter's name and for the counter that
    /// it saw last.
    async fn ask_publicly(&self, server: Sap, with_name: bool) -> Result<Told, Failure> {
        let mut association = Association::public(server);
        association.config.timeout = self.limit;
        let mut client = self
            .associate(association)
            .await
            .map_err(|error| explain(&error, self.endpoint))?;
        let mut told = Told::default();
        if with_name {
            let name = client
                .read(LOGICAL_DEVICE_NAME)
                .await
                .map_err(|error| explain(&error, self.endpoint))?;
            told.logical_device_name = name
                .as_octets()
                .and_then(|octets| std::str::from_utf8(octets).ok())
                .map(str::to_owned);
        }
        told.counter = match client.read(INVOCATION_COUNTER).await {
            Ok(Data::NullData) | Err(_) => None,
            Ok(value) => value.as_u32(),
        };
        drop(client.release().await);
        Ok(told)
    }
}

/// Says why a meter did not do what was asked, and what to do.
pub(crate) fn explain(error: &ClientError, endpoint: &Endpoint) -> Failure {
    let reason = crate::failure::chain(error);
    let failure = Failure::new(format!("{endpoint}: {reason}"));
    match hint(error) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn hint(error: &ClientError) -> Option<&'static str> {
    const KEYS: &str = "check --key, --auth-key and --client: the meter has other keys, or this \
                        client has none";
    const SILENCE: &str = "is this the right address and --server? Is --client allowed in, and \
                           does the meter speak this transport?";
    const RIGHTS: &str = "this association may not do that: try another --client, or a higher \
                          --security or --protect; `gridward objects` lists the rights";
    const COUNTER: &str = "the counter is out of step: say once --counter N, with an N above the \
                           meter's";
    Some(match error {
        ClientError::Link(LinkError::Timeout { .. } | LinkError::DataLink(_)) => SILENCE,
        ClientError::Link(LinkError::Io(_)) => "is the meter there, and listening on this port?",
        ClientError::Link(LinkError::Closed) => {
            "the meter hung up: --client or --server may be none that it knows"
        }
        ClientError::Refused(
            DataAccessResult::ObjectUndefined
            | DataAccessResult::ObjectUnavailable
            | DataAccessResult::ObjectClassInconsistent,
        ) => "`gridward objects` lists what there is",
        ClientError::Refused(
            DataAccessResult::ReadWriteDenied | DataAccessResult::ScopeOfAccessViolated,
        ) => RIGHTS,
        ClientError::Refused(DataAccessResult::TypeUnmatched) => {
            "the value is of another type than the attribute; give the type, as in u16:5"
        }
        ClientError::NotDone(dlms::xdlms::ActionResult::ReadWriteDenied) => RIGHTS,
        ClientError::Failed(failure) => match failure {
            DlmsFailure::NoAnswer(_) => SILENCE,
            DlmsFailure::NotAuthentic(_)
            | DlmsFailure::ReplyRefused
            | DlmsFailure::Unverified(UnprotectError::TagMismatch) => KEYS,
            DlmsFailure::Unverified(UnprotectError::Replayed(_)) => {
                "the answer has a counter of before: somebody plays it back, or the meter was \
                 reset; then give another --state DIR"
            }
            DlmsFailure::Unverified(UnprotectError::Insufficient { .. }) => {
                "the meter answers with less protection than was asked for: try another --protect"
            }
            DlmsFailure::Title => "the key file's entry is another meter's: check --meter",
            DlmsFailure::CounterBehind(_) | DlmsFailure::Hint(_) => COUNTER,
            DlmsFailure::Rejected {
                diagnostic: AssociateSourceDiagnostic::ServiceUser(reason),
                ..
            } => match reason {
                ServiceUserDiagnostic::AuthenticationFailure => {
                    "check --password or --key and --auth-key, --client, --security, --protect and \
                     --meter: one of them is not what the meter has"
                }
                ServiceUserDiagnostic::AuthenticationMechanismNameNotRecognised
                | ServiceUserDiagnostic::AuthenticationMechanismNameRequired
                | ServiceUserDiagnostic::AuthenticationRequired => {
                    "the meter wants another --security of this --client"
                }
                ServiceUserDiagnostic::ApplicationContextNameNotSupported => {
                    "the meter wants this --client with ciphering, or without: try --protect"
                }
                _ => {
                    "most likely --client is none that the meter knows, or it wants another \
                     --security or --protect"
                }
            },
            DlmsFailure::Exception(exception) => {
                match (exception.state_error, exception.service_error) {
                    (_, ServiceError::DecipheringError) => KEYS,
                    (_, ServiceError::InvocationCounterError(_)) => COUNTER,
                    (StateError::ServiceNotAllowed, _) => RIGHTS,
                    _ => return None,
                }
            }
            _ => return None,
        },
        _ => return None,
    })
}
