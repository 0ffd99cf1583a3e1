//! The two APDUs that make an association.

use alloc::vec::Vec;
use core::fmt;

use crate::codec::{DecodeError, Malformed, Reader, Wire, put_nested, put_octets};

use super::ber::{
    self, BitString, Fields, OBJECT_IDENTIFIER, OCTET_STRING, put_explicit, put_explicit_integer,
};
use super::lenient::{Lenient, Notes, leniently};
use super::{
    ApplicationContextName, AssociateSourceDiagnostic, AssociationResult, AuthenticationValue,
    MechanismName, ServiceProviderDiagnostic, ServiceUserDiagnostic,
};

/// Asks for an association (`AARQ-apdu`). [`fmt::Debug`] tells lengths of what
/// may hold a secret.
///
/// ```text
/// 60 length                            [APPLICATION 0]
///    80 .. unused bits                 protocol-version, DEFAULT version1
///    A1 .. 06 .. oid                   application-context-name
///    A2 .. 04 .. | A3 .. 04 ..         called-AP-title, called-AE-qualifier
///    A4 .. 02 .. | A5 .. 02 ..         called-AP-, called-AE-invocation-id
///    A6 .. 04 .. | A7 .. 04 ..         calling-AP-title, calling-AE-qualifier
///    A8 .. 02 .. | A9 .. 02 ..         calling-AP-, calling-AE-invocation-id
///    8A .. unused bits                 sender-acse-requirements
///    8B .. oid                         mechanism-name
///    AC .. 80 .. value                 calling-authentication-value
///    9D .. text                        implementation-information
///    BE .. 04 .. InitiateRequest       user-information
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Aarq<'a> {
    /// `protocol-version` (0); the default, version1, where absent.
    pub protocol_version: Option<BitString<'a>>,
    /// `application-context-name` (1).
    pub application_context_name: ApplicationContextName<'a>,
    /// `called-AP-title` (2): the server's system title.
    pub called_ap_title: Option<&'a [u8]>,
    /// `called-AE-qualifier` (3).
    pub called_ae_qualifier: Option<&'a [u8]>,
    /// `called-AP-invocation-id` (4).
    pub called_ap_invocation_id: Option<i32>,
    /// `called-AE-invocation-id` (5).
    pub called_ae_invocation_id: Option<i32>,
    /// `calling-AP-title` (6): the client's system title.
    pub calling_ap_title: Option<&'a [u8]>,
    /// `calling-AE-qualifier` (7): the client's certificate for signatures.
    pub calling_ae_qualifier: Option<&'a [u8]>,
    /// `calling-AP-invocation-id` (8).
    pub calling_ap_invocation_id: Option<i32>,
    /// `calling-AE-invocation-id` (9): the id of the client's user.
    pub calling_ae_invocation_id: Option<i32>,
    /// `sender-acse-requirements` (10).
    pub sender_acse_requirements: Option<BitString<'a>>,
    /// `mechanism-name` (11).
    pub mechanism_name: Option<MechanismName<'a>>,
    /// `calling-authentication-value` (12): password or challenge.
    pub calling_authentication_value: Option<AuthenticationValue<'a>>,
    /// `implementation-information` (29).
    pub implementation_information: Option<&'a [u8]>,
    /// `user-information` (30): an InitiateRequest, in clear or ciphered.
    pub user_information: Option<&'a [u8]>,
}

impl<'a> Aarq<'a> {
    /// Makes a request with nothing but its context.
    #[must_use]
    pub const fn new(application_context_name: ApplicationContextName<'a>) -> Self {
        Self {
            protocol_version: None,
            application_context_name,
            called_ap_title: None,
            called_ae_qualifier: None,
            called_ap_invocation_id: None,
            called_ae_invocation_id: None,
            calling_ap_title: None,
            calling_ae_qualifier: None,
            calling_ap_invocation_id: None,
            calling_ae_invocation_id: None,
            sender_acse_requirements: None,
            mechanism_name: None,
            calling_authentication_value: None,
            implementation_information: None,
            user_information: None,
        }
    }

    /// Adds the authentication functional unit: the requirement, the mechanism
    /// and the password or challenge.
    #[must_use]
    pub const fn with_authentication(
        mut self,
        mechanism: MechanismName<'a>,
        value: AuthenticationValue<'a>,
    ) -> Self {
        self.sender_acse_requirements = Some(BitString::FIRST_BIT);
        self.mechanism_name = Some(mechanism);
        self.calling_authentication_value = Some(value);
        self
    }

    /// Reads `octets` as the peer must have meant them, and tells what was
    /// wrong with them.
    ///
    /// # Errors
    /// The offset and the reason where no meaning is plain.
    pub fn decode_lenient(octets: &'a [u8]) -> Result<Lenient<Self>, DecodeError> {
        leniently(octets, Self::read)
    }

    fn read(reader: &mut Reader<'a>, notes: Option<&mut Notes>) -> Result<Self, DecodeError> {
        const CONTEXT: &str = "application-context-name";
        let mut fields = Fields::open(reader, 0x60, "AARQ", notes)?;
        let mut value = Self::new(ApplicationContextName::Unknown(&[]));
        let mut context = None;
        while let Some(tag) = fields.next("AARQ")? {
            match tag {
                0x80 => value.protocol_version = Some(bits(&mut fields, "protocol-version")?),
                0xA1 => context = Some(fields.explicit(OBJECT_IDENTIFIER, CONTEXT)?),
                0xA2 => value.called_ap_title = fields.octet_string("called-AP-title")?,
                0xA3 => value.called_ae_qualifier = fields.octet_string("called-AE-qualifier")?,
                0xA4 => {
                    value.called_ap_invocation_id =
                        fields.invocation_id("called-AP-invocation-id")?
                }
                0xA5 => {
                    value.called_ae_invocation_id =
                        fields.invocation_id("called-AE-invocation-id")?
                }
                0xA6 => value.calling_ap_title = fields.octet_string("calling-AP-title")?,
                0xA7 => value.calling_ae_qualifier = fields.octet_string("calling-AE-qualifier")?,
                0xA8 => {
                    value.calling_ap_invocation_id =
                        fields.invocation_id("calling-AP-invocation-id")?
                }
                0xA9 => {
                    value.calling_ae_invocation_id =
                        fields.invocation_id("calling-AE-invocation-id")?
                }
                0x8A => {
                    value.sender_acse_requirements =
                        Some(bits(&mut fields, "sender-acse-requirements")?);
                }
                0x8B => value.mechanism_name = Some(mechanism(&mut fields)?),
                0xAC => {
                    value.calling_authentication_value = Some(authentication_value(
                        &mut fields,
                        "calling-authentication-value",
                    )?);
                }
                0x9D => value.implementation_information = Some(implementation(&mut fields)?),
                0xBE => value.user_information = fields.octet_string("user-information")?,
                _ => fields.unknown("AARQ")?,
            }
        }
        value.application_context_name =
            ApplicationContextName::from_contents(context.ok_or_else(|| fields.missing(CONTEXT))?);
        Ok(value)
    }
}

impl<'a> Wire<'a> for Aarq<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(0x60);
        put_nested(out, |out| {
            put_bits(out, 0x80, self.protocol_version);
            put_context(out, self.application_context_name);
            put_string(out, 0xA2, self.called_ap_title);
            put_string(out, 0xA3, self.called_ae_qualifier);
            put_id(out, 0xA4, self.called_ap_invocation_id);
            put_id(out, 0xA5, self.called_ae_invocation_id);
            put_string(out, 0xA6, self.calling_ap_title);
            put_string(out, 0xA7, self.calling_ae_qualifier);
            put_id(out, 0xA8, self.calling_ap_invocation_id);
            put_id(out, 0xA9, self.calling_ae_invocation_id);
            put_bits(out, 0x8A, self.sender_acse_requirements);
            put_mechanism(out, 0x8B, self.mechanism_name);
            put_authentication_value(out, 0xAC, self.calling_authentication_value);
            put_implementation(out, self.implementation_information);
            put_string(out, 0xBE, self.user_information);
        });
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Self::read(reader, None)
    }
}

impl fmt::Debug for Aarq<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aarq")
            .field("protocol_version", &self.protocol_version)
            .field("application_context_name", &self.application_context_name)
            .field("called_ap_title", &self.called_ap_title)
            .field("called_ae_qualifier", &self.called_ae_qualifier)
            .field("called_ap_invocation_id", &self.called_ap_invocation_id)
            .field("called_ae_invocation_id", &self.called_ae_invocation_id)
            .field("calling_ap_title", &self.calling_ap_title)
            .field("calling_ae_qualifier", &self.calling_ae_qualifier)
            .field("calling_ap_invocation_id", &self.calling_ap_invocation_id)
            .field("calling_ae_invocation_id", &self.calling_ae_invocation_id)
            .field("sender_acse_requirements", &self.sender_acse_requirements)
            .field("mechanism_name", &self.mechanism_name)
            .field(
                "calling_authentication_value",
                &self.calling_authentication_value,
            )
            .field(
                "implementation_information",
                &self.implementation_information,
            )
            .field("user_information", &self.user_information.map(Octets))
            .finish()
    }
}

/// Answers an [`Aarq`] (`AARE-apdu`). [`fmt::Debug`] tells lengths of what may
/// hold a secret.
///
/// ```text
/// 61 length                            [APPLICATION 1]
///    80 .. unused bits                 protocol-version, DEFAULT version1
///    A1 .. 06 .. oid                   application-context-name
///    A2 .. 02 .. result                result
///    A3 .. A1 .. 02 .. (user)          result-source-diagnostic
///          A2 .. 02 .. (provider)
///    A4 .. 04 .. | A5 .. 04 ..         responding-AP-title, responding-AE-qualifier
///    A6 .. 02 .. | A7 .. 02 ..         responding-AP-, responding-AE-invocation-id
///    88 .. unused bits                 responder-acse-requirements
///    89 .. oid                         mechanism-name
///    AA .. 80 .. value                 responding-authentication-value
///    9D .. text                        implementation-information
///    BE .. 04 .. InitiateResponse      user-information
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Aare<'a> {
    /// `protocol-version` (0); the default, version1, where absent.
    pub protocol_version: Option<BitString<'a>>,
    /// `application-context-name` (1).
    pub application_context_name: ApplicationContextName<'a>,
    /// `result` (2).
    pub result: AssociationResult,
    /// `result-source-diagnostic` (3).
    pub result_source_diagnostic: AssociateSourceDiagnostic,
    /// `responding-AP-title` (4): the server's system title.
    pub responding_ap_title: Option<&'a [u8]>,
    /// `responding-AE-qualifier` (5): the server's certificate for signatures.
    pub responding_ae_qualifier: Option<&'a [u8]>,
    /// `responding-AP-invocation-id` (6).
    pub responding_ap_invocation_id: Option<i32>,
    /// `responding-AE-invocation-id` (7).
    pub responding_ae_invocation_id: Option<i32>,
    /// `responder-acse-requirements` (8).
    pub responder_acse_requirements: Option<BitString<'a>>,
    /// `mechanism-name` (9).
    pub mechanism_name: Option<MechanismName<'a>>,
    /// `responding-authentication-value` (10): the server's challenge.
    pub responding_authentication_value: Option<AuthenticationValue<'a>>,
    /// `implementation-information` (29).
    pub implementation_information: Option<&'a [u8]>,
    /// `user-information` (30): an InitiateResponse or a
    /// ConfirmedServiceError, in clear or ciphered.
    pub user_information: Option<&'a [u8]>,
}

impl<'a> Aare<'a> {
    /// Makes an answer with nothing but what every answer has.
    #[must_use]
    pub const fn new(
        application_context_name: ApplicationContextName<'a>,
        result: AssociationResult,
        result_source_diagnostic: AssociateSourceDiagnostic,
    ) -> Self {
        Self {
            protocol_version: None,
            application_context_name,
            result,
            result_source_diagnostic,
            responding_ap_title: None,
            responding_ae_qualifier: None,
            responding_ap_invocation_id: None,
            responding_ae_invocation_id: None,
            responder_acse_requirements: None,
            mechanism_name: None,
            responding_authentication_value: None,
            implementation_information: None,
            user_information: None,
        }
    }

    /// Adds the authentication functional unit: the requirement, the mechanism
    /// and the challenge.
    #[must_use]
    pub const fn with_authentication(
        mut self,
        mechanism: MechanismName<'a>,
        value: AuthenticationValue<'a>,
    ) -> Self {
        self.responding_authentication_value = Some(value);
        self.with_mechanism(mechanism)
    }

    /// Adds the requirement and the mechanism alone: the answer to a password,
    /// which has no challenge.
    #[must_use]
    pub const fn with_mechanism(mut self, mechanism: MechanismName<'a>) -> Self {
        self.responder_acse_requirements = Some(BitString::FIRST_BIT);
        self.mechanism_name = Some(mechanism);
        self
    }

    /// Reads `octets` as the peer must have meant them, and tells what was
    /// wrong with them.
    ///
    /// # Errors
    /// The offset and the reason where no meaning is plain.
    pub fn decode_lenient(octets: &'a [u8]) -> Result<Lenient<Self>, DecodeError> {
        leniently(octets, Self::read)
    }

    fn read(reader: &mut Reader<'a>, notes: Option<&mut Notes>) -> Result<Self, DecodeError> {
        const CONTEXT: &str = "application-context-name";
        const DIAGNOSTIC: &str = "result-source-diagnostic";
        let mut fields = Fields::open(reader, 0x61, "AARE", notes)?;
        let mut value = Self::new(
            ApplicationContextName::Unknown(&[]),
            AssociationResult::RejectedPermanent,
            AssociateSourceDiagnostic::ServiceUser(ServiceUserDiagnostic::Null),
        );
        let (mut context, mut result, mut diagnostic) = (None, None, None);
        while let Some(tag) = fields.next("AARE")? {
            match tag {
                0x80 => value.protocol_version = Some(bits(&mut fields, "protocol-version")?),
                0xA1 => context = Some(fields.explicit(OBJECT_IDENTIFIER, CONTEXT)?),
                0xA2 => result = Some(ber::explicit_code(fields.contents("result")?, "result")?),
                0xA3 => diagnostic = Some(source_diagnostic(fields.contents(DIAGNOSTIC)?)?),
                0xA4 => value.responding_ap_title = fields.octet_string("responding-AP-title")?,
                0xA5 => {
                    value.responding_ae_qualifier =
                        fields.octet_string("responding-AE-qualifier")?;
                }
                0xA6 => {
                    value.responding_ap_invocation_id =
                        fields.invocation_id("responding-AP-invocation-id")?
                }
                0xA7 => {
                    value.responding_ae_invocation_id =
                        fields.invocation_id("responding-AE-invocation-id")?
                }
                0x88 => {
                    value.responder_acse_requirements =
                        Some(bits(&mut fields, "responder-acse-requirements")?);
                }
                0x89 => value.mechanism_name = Some(mechanism(&mut fields)?),
                0xAA => {
                    value.responding_authentication_value = Some(authentication_value(
                        &mut fields,
                        "responding-authentication-value",
                    )?);
                }
                0x9D => value.implementation_information = Some(implementation(&mut fields)?),
                0xBE => value.user_information = fields.octet_string("user-information")?,
                _ => fields.unknown("AARE")?,
            }
        }
        value.application_context_name =
            ApplicationContextName::from_contents(context.ok_or_else(|| fields.missing(CONTEXT))?);
        value.result =
            AssociationResult::from_code(result.ok_or_else(|| fields.missing("result"))?);
        value.result_source_diagnostic = diagnostic.ok_or_else(|| fields.missing(DIAGNOSTIC))?;
        Ok(value)
    }
}

impl<'a> Wire<'a> for Aare<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(0x61);
        put_nested(out, |out| {
            put_bits(out, 0x80, self.protocol_version);
            put_context(out, self.application_context_name);
            put_explicit_integer(out, 0xA2, i32::from(self.result.code()));
            let (choice, code) = match self.result_source_diagnostic {
                AssociateSourceDiagnostic::ServiceUser(reason) => (0xA1, reason.code()),
                AssociateSourceDiagnostic::ServiceProvider(reason) => (0xA2, reason.code()),
            };
            out.push(0xA3);
            put_nested(out, |out| {
                put_explicit_integer(out, choice, i32::from(code))
            });
            put_string(out, 0xA4, self.responding_ap_title);
            put_string(out, 0xA5, self.responding_ae_qualifier);
            put_id(out, 0xA6, self.responding_ap_invocation_id);
            put_id(out, 0xA7, self.responding_ae_invocation_id);
            put_bits(out, 0x88, self.responder_acse_requirements);
            put_mechanism(out, 0x89, self.mechanism_name);
            put_authentication_value(out, 0xAA, self.responding_authentication_value);
            put_implementation(out, self.implementation_information);
            put_string(out, 0xBE, self.user_information);
        });
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Self::read(reader, None)
    }
}

impl fmt::Debug for Aare<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aare")
            .field("protocol_version", &self.protocol_version)
            .field("application_context_name", &self.application_context_name)
            .field("result", &self.result)
            .field("result_source_diagnostic", &self.result_source_diagnostic)
            .field("responding_ap_title", &self.responding_ap_title)
            .field("responding_ae_qualifier", &self.responding_ae_qualifier)
            .field(
                "responding_ap_invocation_id",
                &self.responding_ap_invocation_id,
            )
            .field(
                "responding_ae_invocation_id",
                &self.responding_ae_invocation_id,
            )
            .field(
                "responder_acse_requirements",
                &self.responder_acse_requirements,
            )
            .field("mechanism_name", &self.mechanism_name)
            .field(
                "responding_authentication_value",
                &self.responding_authentication_value,
            )
            .field(
                "implementation_information",
                &self.implementation_information,
            )
            .field("user_information", &self.user_information.map(Octets))
            .finish()
    }
}

/// Octets that may hold a key: shown as their number.
pub(super) struct Octets<'a>(pub(super) &'a [u8]);

impl fmt::Debug for Octets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets", self.0.len())
    }
}

fn bits<'a>(
    fields: &mut Fields<'a, '_>,
    field: &'static str,
) -> Result<BitString<'a>, DecodeError> {
    BitString::from_contents(fields.contents(field)?, field)
}

fn mechanism<'a>(fields: &mut Fields<'a, '_>) -> Result<MechanismName<'a>, DecodeError> {
    let contents = fields.contents("mechanism-name")?.rest();
    Ok(MechanismName::from_contents(contents))
}

fn implementation<'a>(fields: &mut Fields<'a, '_>) -> Result<&'a [u8], DecodeError> {
    Ok(fields.contents("implementation-information")?.rest())
}

fn authentication_value<'a>(
    fields: &mut Fields<'a, '_>,
    field: &'static str,
) -> Result<AuthenticationValue<'a>, DecodeError> {
    let mut reader = fields.contents(field)?;
    let start = reader.clone();
    let tag = reader.u8(field)?;
    let mut contents = reader.nested(field)?;
    reader.finish(field)?;
    Ok(match tag {
        0x80 => AuthenticationValue::Charstring(contents.rest()),
        0x81 => AuthenticationValue::BitString(BitString::from_contents(contents, field)?),
        0xA2 => AuthenticationValue::External(contents.rest()),
        0xA3 => AuthenticationValue::Other(contents.rest()),
        _ => return Err(start.error(field, Malformed::Tag(tag))),
    })
}

fn source_diagnostic(mut reader: Reader<'_>) -> Result<AssociateSourceDiagnostic, DecodeError> {
    const FIELD: &str = "result-source-diagnostic";
    let start = reader.clone();
    let choice = reader.u8(FIELD)?;
    let contents = reader.nested(FIELD)?;
    reader.finish(FIELD)?;
    let code = ber::explicit_code(contents, FIELD)?;
    match choice {
        0xA1 => Ok(AssociateSourceDiagnostic::ServiceUser(
            ServiceUserDiagnostic::from_code(code),
        )),
        0xA2 => Ok(AssociateSourceDiagnostic::ServiceProvider(
            ServiceProviderDiagnostic::from_code(code),
        )),
        _ => Err(start.error(FIELD, Malformed::Tag(choice))),
    }
}

fn put_bits(out: &mut Vec<u8>, tag: u8, bits: Option<BitString<'_>>) {
    if let Some(bits) = bits {
        bits.put(out, tag);
    }
}

fn put_context(out: &mut Vec<u8>, name: ApplicationContextName<'_>) {
    out.push(0xA1);
    put_nested(out, |out| {
        out.push(OBJECT_IDENTIFIER);
        put_nested(out, |out| name.put_contents(out));
    });
}

fn put_string(out: &mut Vec<u8>, tag: u8, octets: Option<&[u8]>) {
    if let Some(octets) = octets {
        put_explicit(out, tag, OCTET_STRING, octets);
    }
}

fn put_id(out: &mut Vec<u8>, tag: u8, id: Option<i32>) {
    if let Some(id) = id {
        put_explicit_integer(out, tag, id);
    }
}

fn put_mechanism(out: &mut Vec<u8>, tag: u8, name: Option<MechanismName<'_>>) {
    if let Some(name) = name {
        out.push(tag);
        put_nested(out, |out| name.put_contents(out));
    }
}

fn put_implementation(out: &mut Vec<u8>, text: Option<&[u8]>) {
    if let Some(text) = text {
        out.push(0x9D);
        put_octets(out, text);
    }
}

fn put_authentication_value(out: &mut Vec<u8>, tag: u8, value: Option<AuthenticationValue<'_>>) {
    let Some(value) = value else { return };
    out.push(tag);
    put_nested(out, |out| match value {
        AuthenticationValue::Charstring(octets) => {
            out.push(0x80);
            put_octets(out, octets);
        }
        AuthenticationValue::BitString(bits) => bits.put(out, 0x81),
        AuthenticationValue::External(octets) => {
            out.push(0xA2);
            put_octets(out, octets);
        }
        AuthenticationValue::Other(octets) => {
            out.push(0xA3);
            put_octets(out, octets);
        }
    });
}
