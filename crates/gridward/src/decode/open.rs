//! APDUs opened: what others stand inside, deciphered where the keys are there.

use dlms::acse::{Aare, Aarq, Lenient, Rlre, Rlrq};
use dlms::axdr::Data;
use dlms::codec::{DecodeError, Reader, Wire as _};
use dlms::security::{
    AwsLc, Header, Key, KeyError, KeyRing, Keys, Protection, ReplayWindow, SecuritySuite,
    SystemTitle, UnprotectError, Wrapping,
};
use dlms::xdlms::{Apdu, DataNotification, GetResponse, SetRequest};
use han::measure::Basis;
use han::push::{self, Item};
use serde_json::{Value, json};

use super::describe;
use super::node::Node;
use super::piece::Piece;
use super::values::Values;
use crate::failure::Failure;
use crate::output::{Ink, Style};
use crate::text::hex;

/// APDUs that stand in one another, at most.
const LAYERS_MAX: usize = 8;

/// Octets of an authentication tag.
const TAG_LEN: usize = 12;

/// Security control and invocation counter.
const SECURITY_HEADER_LEN: usize = 5;

/// What opens messages.
#[derive(Debug)]
pub(crate) struct Secrets {
    pub(crate) encryption: Option<Key>,
    pub(crate) authentication: Option<Key>,
    pub(crate) system_title: Option<SystemTitle>,
}

/// A message as far as it could be opened.
#[derive(Debug)]
pub(crate) struct Opened {
    /// All of it.
    pub(crate) tree: Node,
    /// The innermost APDU, or the value, without protection.
    pub(crate) plain: Option<Vec<u8>>,
    /// The same, encoded again.
    pub(crate) again: Option<Vec<u8>>,
    pub(crate) protection: Option<Protected>,
    pub(crate) values: Values,
    /// What must be known beside.
    pub(crate) notes: Vec<String>,
}

/// How a message was protected, and whether that was verified.
#[derive(Clone, Debug)]
pub(crate) struct Protected {
    wrapping: &'static str,
    suite: Option<u8>,
    authenticated: bool,
    encrypted: bool,
    system_title: Option<Vec<u8>>,
    invocation_counter: Option<u32>,
    verified: Verified,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verified {
    /// The tag is right.
    Yes,
    /// The tag is wrong.
    No,
    /// There is no tag.
    NoTag,
    /// There is a tag, but not the keys for it.
    NoKey,
    /// It is encrypted, and no key was given.
    Closed,
    /// There is a signature, which is not looked at.
    Signature,
}

impl Protected {
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "wrapping": self.wrapping,
            "suite": self.suite,
            "authenticated": self.authenticated,
            "encrypted": self.encrypted,
            "system_title": self.system_title.as_deref().map(hex),
            "invocation_counter": self.invocation_counter,
            "verified": match self.verified {
                Verified::Yes => Some(true),
                Verified::No => Some(false),
                Verified::NoTag | Verified::NoKey | Verified::Closed | Verified::Signature => None,
            },
        })
    }

    pub(crate) fn render(&self, style: Style) -> String {
        let (ink, text) = match (self.verified, self.encrypted) {
            (Verified::Yes, true) => (Ink::Good, "decrypted and verified"),
            (Verified::Yes, false) => (Ink::Good, "verified"),
            (Verified::No, _) => (Ink::Error, "NOT authentic: the tag does not verify"),
            (Verified::NoTag, _) => (
                Ink::Warn,
                "decrypted, NOT verified: the message has no authentication tag",
            ),
            (Verified::NoKey, true) => (
                Ink::Warn,
                "decrypted, NOT verified: --auth-key is not given",
            ),
            (Verified::NoKey, false) => {
                (Ink::Warn, "NOT verified: that takes --key and --auth-key")
            }
            (Verified::Closed, _) => (Ink::Warn, "NOT opened"),
            (Verified::Signature, _) => (Ink::Warn, "signature NOT verified"),
        };
        format!(
            "{} {}\n",
            style.paint(Ink::Head, "Protection:"),
            style.paint(ink, text)
        )
    }
}

/// Opens the message that `piece` is.
pub(crate) fn open(piece: &Piece, secrets: &Secrets) -> Result<Opened, Failure> {
    layer(piece, secrets, secrets.system_title, 0)
}

/// Opens one layer; `title` is who sends it, where that is known.
fn layer(
    piece: &Piece,
    secrets: &Secrets,
    title: Option<SystemTitle>,
    depth: usize,
) -> Result<Opened, Failure> {
    if depth >= LAYERS_MAX {
        return Err(Failure::at(
            piece.at(0),
            format!("more than {LAYERS_MAX} APDUs stand in one another"),
        ));
    }
    // Ports of Luxembourg cipher telegrams of text.
    if depth > 0 && piece.octets().first() == Some(&b'/') {
        return super::telegram::telegram(piece).map(|(opened, _)| opened);
    }
    let original = piece;
    let mended = mend(piece);
    let piece = mended.as_ref().map_or(piece, |(mended, _)| mended);
    let (apdu, mut notes) = decode(piece).map_err(|error| piece.fault(error))?;
    notes.extend(mended.as_ref().map(|(_, note)| note.clone()));
    if describe::is_unknown(&apdu) {
        let first = piece.octets().first().copied().unwrap_or_default();
        return Err(Failure::at(
            piece.at(0),
            format!("{first:02x} begins no APDU"),
        ));
    }
    let tree = describe::apdu(&apdu, piece).map_err(|error| piece.fault(error))?;
    let again = describe::encode_again(&apdu).map_err(|error| piece.fault(error))?;
    let mut opened = Opened {
        tree,
        plain: Some(original.octets().to_vec()),
        again: Some(again),
        protection: None,
        values: values_of(&apdu),
        notes,
    };
    match &apdu {
        Apdu::ServiceCiphering(ciphering) => {
            return ciphered(opened, piece, ciphering.ciphered, secrets, title, depth);
        }
        Apdu::GeneralGloCiphering(general) => {
            return ciphered(
                opened,
                piece,
                general.ciphered_content,
                secrets,
                title,
                depth,
            );
        }
        Apdu::GeneralDedCiphering(general) => {
            return ciphered(
                opened,
                piece,
                general.ciphered_content,
                secrets,
                title,
                depth,
            );
        }
        Apdu::GeneralCiphering(general) => {
            opened.plain = None;
            opened.again = None;
            let control = general
                .ciphered_content
                .first()
                .copied()
                .unwrap_or_default();
            let counter = general
                .ciphered_content
                .get(1..SECURITY_HEADER_LEN)
                .and_then(|octets| octets.try_into().ok())
                .map(u32::from_be_bytes);
            let control = dlms::security::SecurityControl::from_octet(control);
            opened.protection = Some(Protected {
                wrapping: "general-ciphering",
                suite: Some(control.suite_id()),
                authenticated: control.protection().authenticated(),
                encrypted: control.protection().encrypted(),
                system_title: Some(general.originator_system_title.to_vec()),
                invocation_counter: counter,
                verified: Verified::Closed,
            });
            opened
                .notes
                .push("general-ciphering is shown but not opened".to_owned());
        }
        Apdu::GeneralSigning(signed) => {
            let inner = inside(piece, signed.content, secrets, title, depth)?;
            opened.take_in(inner);
            opened.protection = opened.protection.or_else(|| {
                Some(Protected {
                    wrapping: "general-signing",
                    suite: None,
                    authenticated: true,
                    encrypted: false,
                    system_title: Some(signed.originator_system_title.to_vec()),
                    invocation_counter: None,
                    verified: Verified::Signature,
                })
            });
        }
        Apdu::Gateway(gateway) => {
            let inner = inside(piece, gateway.apdu, secrets, title, depth)?;
            opened.take_in(inner);
        }
        Apdu::Aarq(aarq) => {
            opened.user_information(
                piece,
                aarq.user_information,
                secrets,
                aarq.calling_ap_title
                    .and_then(SystemTitle::from_slice)
                    .or(title),
                depth,
            )?;
        }
        Apdu::Aare(aare) => {
            opened.user_information(
                piece,
                aare.user_information,
                secrets,
                aare.responding_ap_title
                    .and_then(SystemTitle::from_slice)
                    .or(title),
                depth,
            )?;
        }
        Apdu::Rlrq(rlrq) => {
            opened.user_information(piece, rlrq.user_information, secrets, title, depth)?;
        }
        Apdu::Rlre(rlre) => {
            opened.user_information(piece, rlre.user_information, secrets, title, depth)?;
        }
        _ => {}
    }
    Ok(opened)
}

/// Mends a notification in a way that is known of real meters: a date-time
/// behind its tag without a length, a structure that tells more elements than
/// it has, and octets behind the body. Nothing for all others.
fn mend(piece: &Piece) -> Option<(Piece, String)> {
    let octets = piece.octets();
    if let [0x0F, _, _, _, _, DATE_TIME, ..] = octets
        && DataNotification::from_octets(octets).is_err()
    {
        let mut mended = octets.to_vec();
        if let Some(length) = mended.get_mut(5) {
            *length = 12;
        }
        let mended = piece.with_octets(&mended);
        DataNotification::from_octets(mended.octets())
            .ok()?
            .body
            .decode()
            .ok()?;
        let note = "the date-time has a tag where its length should be";
        return Some((mended, note.to_owned()));
    }
    let notification = DataNotification::from_octets(octets).ok()?;
    let body = notification.body;
    if body.decode().is_ok() {
        return None;
    }
    let head = piece.len() - body.octets().len();
    if let Some(short) = push::short(body.octets()) {
        let mut mended = octets.to_vec();
        mended.truncate(head);
        mended.extend_from_slice(&short.octets);
        let note = format!(
            "the body tells {} elements and holds {}: the rest was never sent",
            short.told, short.held
        );
        return Some((piece.with_octets(&mended), note));
    }
    let behind = behind_values(body.octets())?;
    let note = format!("{behind} octets stand behind the body");
    Some((piece.part(0..piece.len() - behind), note))
}

/// How many octets stand behind a value that tells what it is of: a recording
/// kept a check sequence or a tag.
pub(super) fn behind_values(octets: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(octets);
    let value = Data::decode(&mut reader).ok()?;
    let behind = reader.remaining();
    (behind > 0 && behind <= BEHIND_MAX && !push::of_body(&value).items.is_empty())
        .then_some(behind)
}

/// Octets behind a body that are passed over: a tag, a check sequence, a flag.
const BEHIND_MAX: usize = 16;

/// The tag of a date-time.
const DATE_TIME: u8 = 0x19;

/// Opens what stands inside a layer as `part` of its octets.
fn inside(
    piece: &Piece,
    part: &[u8],
    secrets: &Secrets,
    title: Option<SystemTitle>,
    depth: usize,
) -> Result<Opened, Failure> {
    let start = piece.index_of(part).unwrap_or_default();
    let inner = piece.part(start..start + part.len());
    layer(&inner, secrets, title, depth + 1)
}

impl Opened {
    /// Takes the APDU that stands inside this one.
    fn take_in(&mut self, inner: Self) {
        self.tree.children.push(inner.tree);
        self.plain = inner.plain;
        self.again = inner.again;
        self.values = inner.values;
        self.notes.extend(inner.notes);
        self.protection = inner.protection.or_else(|| self.protection.take());
    }

    /// Opens what an association control APDU carries. That APDU itself stays
    /// the innermost one without protection.
    fn user_information(
        &mut self,
        piece: &Piece,
        part: Option<&[u8]>,
        secrets: &Secrets,
        title: Option<SystemTitle>,
        depth: usize,
    ) -> Result<(), Failure> {
        let Some(part) = part else { return Ok(()) };
        let start = piece.index_of(part).unwrap_or_default();
        let mut node = Node::new("user-information", piece.at(start));
        if part.is_empty() {
            self.tree.children.push(node.text("empty"));
            return Ok(());
        }
        let inner = inside(piece, part, secrets, title, depth)?;
        self.notes.extend(inner.notes);
        self.protection = inner.protection;
        node.children.push(inner.tree);
        self.tree.children.push(node);
        Ok(())
    }
}

/// Decodes an APDU; association control as its sender must have meant it, with
/// what was wrong.
fn decode(piece: &Piece) -> Result<(Apdu<'_>, Vec<String>), DecodeError> {
    let octets = piece.octets();
    let mut reader = Reader::new(octets);
    let strict = Apdu::decode(&mut reader).and_then(|apdu| {
        reader.finish(apdu.tag().name())?;
        Ok(apdu)
    });
    let refused = match strict {
        Ok(apdu) => return Ok((apdu, Vec::new())),
        Err(error) => error,
    };
    fn noted<'a, T>(
        piece: &Piece,
        lenient: Result<Lenient<T>, DecodeError>,
        make: impl FnOnce(T) -> Apdu<'a>,
    ) -> Option<(Apdu<'a>, Vec<String>)> {
        let lenient = lenient.ok()?;
        let notes = lenient
            .deviations
            .into_iter()
            .map(|mut deviation| {
                deviation.offset = piece.at(deviation.offset);
                deviation.to_string()
            })
            .collect();
        Some((make(lenient.value), notes))
    }
    match octets.first() {
        Some(0x60) => noted(piece, Aarq::decode_lenient(octets), Apdu::Aarq),
        Some(0x61) => noted(piece, Aare::decode_lenient(octets), Apdu::Aare),
        Some(0x62) => noted(piece, Rlrq::decode_lenient(octets), Apdu::Rlrq),
        Some(0x63) => noted(piece, Rlre::decode_lenient(octets), Apdu::Rlre),
        _ => None,
    }
    .ok_or(refused)
}

fn ciphered(
    mut outer: Opened,
    piece: &Piece,
    content: &[u8],
    secrets: &Secrets,
    title: Option<SystemTitle>,
    depth: usize,
) -> Result<Opened, Failure> {
    let header = match Header::decode(piece.octets()) {
        Ok(header) => header,
        Err(UnprotectError::Malformed(error)) => return Err(piece.fault(error)),
        Err(other) => return Err(Failure::at(piece.at(0), other.to_string())),
    };
    let control = header.control;
    let protection = control.protection();
    let title = header.system_title.or(title);
    let start = piece.index_of(content).unwrap_or_default();
    describe_header(&mut outer.tree, piece, &header, start);
    let mut protected = Protected {
        wrapping: wrapping_name(header.wrapping),
        suite: Some(control.suite_id()),
        authenticated: protection.authenticated(),
        encrypted: protection.encrypted(),
        system_title: title.map(|title| title.0.to_vec()),
        invocation_counter: Some(header.counter),
        verified: Verified::NoKey,
    };
    if !protection.authenticated() {
        protected.verified = Verified::NoTag;
    }
    outer.plain = None;
    outer.again = None;

    let Some(key) = &secrets.encryption else {
        if secrets.authentication.is_some() {
            outer
                .notes
                .push("the authentication key alone opens nothing: give --key too".to_owned());
        }
        if protection.encrypted() {
            outer.notes.push(
                "the message is encrypted: give --key, and --auth-key to verify it".to_owned(),
            );
            protected.verified = Verified::Closed;
            outer.protection = Some(protected);
            outer.tree.children.push(cipher_text(piece, content, start));
            return Ok(outer);
        }
        // Authenticated only: the text stands in clear.
        let end = content.len().saturating_sub(if protection.authenticated() {
            TAG_LEN
        } else {
            0
        });
        let text = content.get(SECURITY_HEADER_LEN..end).unwrap_or_default();
        let inner = inside(piece, text, secrets, title, depth)?;
        outer.protection = Some(protected);
        outer.take_in(inner);
        return Ok(outer);
    };

    let told =
        |failure: Failure, protected: &Protected| failure.with("protection", protected.to_json());
    let Some(suite) = control.suite() else {
        return Err(Failure::at(
            piece.at(start),
            format!(
                "security suite {} is none that is known",
                control.suite_id()
            ),
        ));
    };
    let Some(title) = title else {
        return Err(told(
            Failure::new("the message does not tell who sent it")
                .hint("give the sender's system title with --system-title"),
            &protected,
        ));
    };
    let ring = ring(suite, key, secrets.authentication.as_ref())?;
    let mut frame = piece.octets().to_vec();
    let verifiable = protection.authenticated() && secrets.authentication.is_some();
    let range = if verifiable {
        let opened = if control.broadcast() {
            let mut window = ReplayWindow::sliding(0);
            ring.unprotect_broadcast(&mut frame, &title, Protection::Authenticated, &mut window)
        } else {
            ring.unprotect(&mut frame, &title, Protection::Authenticated)
        };
        match opened {
            Ok(opened) => {
                protected.verified = Verified::Yes;
                opened.range()
            }
            Err(error) => {
                if error == UnprotectError::TagMismatch {
                    protected.verified = Verified::No;
                }
                let failure = refused(&error, piece, &ring, &title);
                return Err(told(failure, &protected));
            }
        }
    } else {
        match ring.dangerous_decrypt_unverified(&mut frame, &title) {
            Ok(opened) => opened.range(),
            Err(error) => return Err(told(refused(&error, piece, &ring, &title), &protected)),
        }
    };
    let plain = frame.get(range.clone()).unwrap_or_default();
    let inner = piece.part(range).with_octets(plain);
    let inner = layer(&inner, secrets, Some(title), depth + 1).map_err(|failure| {
        let failure = if protected.verified == Verified::Yes {
            failure
        } else {
            failure.hint(
                "what was decrypted is no APDU: most likely the key or the system title is wrong",
            )
        };
        told(failure, &protected)
    })?;
    outer.protection = Some(protected);
    outer.take_in(inner);
    Ok(outer)
}

fn ring(
    suite: SecuritySuite,
    encryption: &Key,
    authentication: Option<&Key>,
) -> Result<KeyRing, Failure> {
    let keys = Keys {
        encryption: encryption.clone(),
        authentication: authentication.cloned(),
        // Whichever key the message is under, it is the one that was given.
        broadcast: Some(encryption.clone()),
        master: None,
        dedicated: Some(encryption.clone()),
    };
    KeyRing::new(&AwsLc, suite, &keys).map_err(|error| match error {
        KeyError::Length {
            expected, actual, ..
        } => Failure::new(format!(
            "the message is of security suite {}, whose keys have {expected} octets, not {actual}",
            suite.id()
        )),
        other => Failure::new(other.to_string()),
    })
}

/// Tells why a message was refused, and what is most likely wrong.
fn refused(error: &UnprotectError, piece: &Piece, ring: &KeyRing, title: &SystemTitle) -> Failure {
    match error {
        UnprotectError::Malformed(error) => piece.fault(*error),
        UnprotectError::TagMismatch => {
            let failure = Failure::at(
                piece.at(piece.len().saturating_sub(TAG_LEN)),
                "the authentication tag does not verify",
            );
            if reads_well(piece, ring, title) {
                failure.hint(
                    "--key and the system title are right, since what they decrypt is an APDU: \
                     --auth-key is wrong, or the octets were changed",
                )
            } else {
                failure.hint(
                    "--key, --auth-key or the system title is wrong, or the octets were changed",
                )
            }
        }
        UnprotectError::WrongService { .. } => Failure::at(piece.at(0), error.to_string())
            .hint("most likely --key or the system title is wrong"),
        other => Failure::at(piece.at(0), other.to_string()),
    }
}

/// Whether an encrypted message becomes an APDU under a key: by chance hardly
/// anything does.
fn reads_well(piece: &Piece, ring: &KeyRing, title: &SystemTitle) -> bool {
    let mut frame = piece.octets().to_vec();
    let Ok(opened) = ring.dangerous_decrypt_unverified(&mut frame, title) else {
        return false;
    };
    if !opened.header().control.protection().encrypted() {
        return false;
    }
    let plain = Piece::new(opened.dangerous_plain(&frame), 0);
    matches!(
        decode(&plain),
        Ok((apdu, _)) if !describe::is_unknown(&apdu) && describe::apdu(&apdu, &plain).is_ok()
    )
}

const fn wrapping_name(wrapping: Wrapping) -> &'static str {
    match wrapping {
        Wrapping::Glo => "glo",
        Wrapping::Ded => "ded",
        Wrapping::GeneralGlo => "general-glo",
        Wrapping::GeneralDed => "general-ded",
        _ => "other",
    }
}

/// Shows the part of a ciphered APDU that stands in clear; its content begins
/// at `start`.
fn describe_header(tree: &mut Node, piece: &Piece, header: &Header, start: usize) {
    if let Some(title) = header.system_title {
        let text = match title.manufacturer() {
            Some(flag) => format!("{title} ({flag})"),
            None => title.to_string(),
        };
        tree.children.push(
            Node {
                value: json!(title.to_string()),
                ..Node::new("system-title", piece.at(2))
            }
            .text(text),
        );
    }
    let control = header.control;
    let mut what = format!("suite {}, {}", control.suite_id(), control.protection());
    if control.broadcast() {
        what.push_str(", broadcast key");
    }
    if control.compressed() {
        what.push_str(", compressed");
    }
    tree.children.push(
        Node {
            value: json!(control.octet()),
            ..Node::new("security-control", piece.at(start))
        }
        .text(format!("{:02x}, {what}", control.octet())),
    );
    tree.children
        .push(Node::new("invocation-counter", piece.at(start + 1)).valued(header.counter));
}

fn cipher_text(piece: &Piece, content: &[u8], start: usize) -> Node {
    let text = content.get(SECURITY_HEADER_LEN..).unwrap_or_default();
    Node::new("ciphered", piece.at(start + SECURITY_HEADER_LEN))
        .text(format!("{} octets", text.len()))
}

fn values_of(apdu: &Apdu<'_>) -> Values {
    match apdu {
        Apdu::DataNotification(notification) => notification
            .body
            .decode()
            .map(|body| push::of_body(&body).into())
            .unwrap_or_default(),
        Apdu::GetResponse(GetResponse::Normal {
            result: Ok(data), ..
        }) => data
            .decode()
            .map(|body| push::of_body(&body).into())
            .unwrap_or_default(),
        Apdu::EventNotificationRequest(event) => one(&event.attribute, event.value.decode().ok()),
        Apdu::SetRequest(SetRequest::Normal {
            attribute, value, ..
        }) => one(attribute, value.decode().ok()),
        _ => Values::default(),
    }
}

fn one(attribute: &dlms::cosem::AttributeDescriptor, data: Option<Data>) -> Values {
    Values {
        items: data
            .map(|data| Item {
                obis: attribute.instance,
                class_id: Some(attribute.class_id),
                attribute: Some(attribute.attribute),
                data,
                scaler_unit: None,
                basis: Basis::Told,
            })
            .into_iter()
            .collect(),
        ..Values::default()
    }
}
