//! Random APDUs, from a seed.
//!
//! What they borrow is leaked: a test process ends soon.

use dlms::acse::{
    Aare, Aarq, ApplicationContextName, AssociateSourceDiagnostic, AssociationResult,
    AuthenticationValue, BitString, MechanismName, ReleaseRequestReason, ReleaseResponseReason,
    Rlre, Rlrq, ServiceProviderDiagnostic, ServiceUserDiagnostic,
};
use dlms::axdr::{DateTime, RawData};
use dlms::codec::put_length;
use dlms::cosem::{
    AttributeDescriptor, AttributeDescriptorWithSelection, MethodDescriptor, Obis,
    SelectiveAccessDescriptor,
};
use dlms::xdlms::{
    AccessRequest, AccessRequestSpecification, AccessResponse, AccessResponseSpecification,
    ActionRequest, ActionResponse, ActionResponseWithOptionalData, ActionResult, Apdu,
    BlockControl, ConfirmedService, ConfirmedServiceError, Conformance, DataAccessResult,
    DataBlockG, DataBlockSa, DataNotification, DataNotificationConfirm, ErrorClass,
    EventNotificationRequest, ExceptionResponse, Gateway, GeneralBlockTransfer, GeneralCiphering,
    GeneralDedCiphering, GeneralGloCiphering, GeneralSigning, GetDataResult, GetRequest,
    GetResponse, InformationReportRequest, InitiateRequest, InitiateResponse, InvokeIdAndPriority,
    KeyInfo, LongInvokeIdAndPriority, ReadRequest, ReadResponse, ReadResult, ServiceCiphering,
    ServiceError, SetRequest, SetResponse, StateError, Tag, UnconfirmedWriteRequest,
    VariableAccessSpecification, WriteRequest, WriteResponse, WriteResult,
};

use crate::captures::Random;

/// How many kinds of APDU [`Generator::apdu`] makes in turn.
pub(super) const KINDS: usize = 52;

pub(super) struct Generator(pub(super) Random);

impl Generator {
    fn u8(&mut self) -> u8 {
        u8::try_from(self.0.below(256)).unwrap()
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.u8(), self.u8()])
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes([self.u8(), self.u8(), self.u8(), self.u8()])
    }

    fn i8(&mut self) -> i8 {
        i8::from_be_bytes([self.u8()])
    }

    fn bool(&mut self) -> bool {
        self.0.below(2) == 1
    }

    fn option<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.bool().then(|| make(self))
    }

    fn list<T>(&mut self, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.0.below(5)).map(|_| make(self)).collect()
    }

    fn octets_of(&mut self, count: usize) -> &'static [u8] {
        let octets: Vec<u8> = (0..count).map(|_| self.u8()).collect();
        octets.leak()
    }

    /// Mostly few, sometimes so many that lengths take more octets.
    fn octets(&mut self) -> &'static [u8] {
        let count = match self.0.below(20) {
            0 => 120 + self.0.below(20),
            1 => 250 + self.0.below(60),
            _ => self.0.below(20),
        };
        self.octets_of(count)
    }

    fn put_data(&mut self, out: &mut Vec<u8>, depth: usize) {
        match self.0.below(if depth == 0 { 9 } else { 11 }) {
            0 => out.push(0x00),
            1 => out.extend_from_slice(&[0x11, self.u8()]),
            2 => {
                out.push(0x06);
                out.extend_from_slice(self.octets_of(4));
            }
            3 => out.extend_from_slice(&[0x10, self.u8(), self.u8()]),
            4 => out.extend_from_slice(&[0x16, self.u8()]),
            5 => out.extend_from_slice(&[0x03, u8::from(self.bool())]),
            6 => {
                out.push(0x15);
                out.extend_from_slice(self.octets_of(8));
            }
            string @ (7 | 8) => {
                let octets = self.octets();
                out.push(if string == 7 { 0x09 } else { 0x0A });
                put_length(out, octets.len());
                out.extend_from_slice(octets);
            }
            sequence => {
                let count = self.0.below(4);
                out.push(if sequence == 9 { 0x01 } else { 0x02 });
                put_length(out, count);
                // One element again and again: arrays are of one type.
                let mut element = Vec::new();
                self.put_data(&mut element, depth - 1);
                for _ in 0..count {
                    out.extend_from_slice(&element);
                }
            }
        }
    }

    fn data(&mut self) -> RawData<'static> {
        let mut out = Vec::new();
        self.put_data(&mut out, 3);
        RawData::new(out.leak())
    }

    fn date_time(&mut self) -> DateTime {
        DateTime::from_octets(self.octets_of(12).try_into().unwrap())
    }

    fn invoke(&mut self) -> InvokeIdAndPriority {
        InvokeIdAndPriority(self.u8())
    }

    fn long_invoke(&mut self) -> LongInvokeIdAndPriority {
        LongInvokeIdAndPriority(self.u32())
    }

    fn obis(&mut self) -> Obis {
        Obis(self.octets_of(6).try_into().unwrap())
    }

    fn attribute(&mut self) -> AttributeDescriptor {
        AttributeDescriptor::new(self.u16(), self.obis(), self.i8())
    }

    fn method(&mut self) -> MethodDescriptor {
        MethodDescriptor::new(self.u16(), self.obis(), self.i8())
    }

    fn selection(&mut self) -> SelectiveAccessDescriptor<'static> {
        SelectiveAccessDescriptor {
            access_selector: self.u8(),
            access_parameters: self.data(),
        }
    }

    fn target(&mut self) -> AttributeDescriptorWithSelection<'static> {
        AttributeDescriptorWithSelection {
            attribute: self.attribute(),
            access_selection: self.option(Self::selection),
        }
    }

    fn data_access_result(&mut self) -> DataAccessResult {
        DataAccessResult::from_code(self.u8())
    }

    fn action_result(&mut self) -> ActionResult {
        ActionResult::from_code(self.u8())
    }

    fn result(&mut self) -> GetDataResult<'static> {
        if self.bool() {
            Ok(self.data())
        } else {
            Err(self.data_access_result())
        }
    }

    fn response(&mut self) -> ActionResponseWithOptionalData<'static> {
        ActionResponseWithOptionalData {
            result: self.action_result(),
            return_parameters: self.option(Self::result),
        }
    }

    fn block(&mut self) -> DataBlockSa<'static> {
        DataBlockSa {
            last_block: self.bool(),
            block_number: self.u32(),
            raw_data: self.octets(),
        }
    }

    fn specification(&mut self) -> AccessRequestSpecification<'static> {
        match self.0.below(12) {
            0..=3 => AccessRequestSpecification::Get(self.attribute()),
            4..=6 => AccessRequestSpecification::Set(self.attribute()),
            7..=9 => AccessRequestSpecification::Action(self.method()),
            10 => AccessRequestSpecification::GetWithSelection(self.attribute(), self.selection()),
            _ => AccessRequestSpecification::SetWithSelection(self.attribute(), self.selection()),
        }
    }

    fn outcome(&mut self) -> AccessResponseSpecification {
        match self.0.below(3) {
            0 => AccessResponseSpecification::Get(self.data_access_result()),
            1 => AccessResponseSpecification::Set(self.data_access_result()),
            _ => AccessResponseSpecification::Action(self.action_result()),
        }
    }

    fn variable(&mut self) -> VariableAccessSpecification<'static> {
        match self.0.below(5) {
            0 => VariableAccessSpecification::VariableName(self.u16()),
            1 => VariableAccessSpecification::ParameterizedAccess {
                variable_name: self.u16(),
                selector: self.u8(),
                parameter: self.data(),
            },
            2 => VariableAccessSpecification::BlockNumberAccess(self.u16()),
            3 => VariableAccessSpecification::ReadDataBlockAccess {
                last_block: self.bool(),
                block_number: self.u16(),
                raw_data: self.octets(),
            },
            _ => VariableAccessSpecification::WriteDataBlockAccess {
                last_block: self.bool(),
                block_number: self.u16(),
            },
        }
    }

    fn read_result(&mut self) -> ReadResult<'static> {
        match self.0.below(4) {
            0 => ReadResult::Data(self.data()),
            1 => ReadResult::DataAccessError(self.data_access_result()),
            2 => ReadResult::DataBlockResult {
                last_block: self.bool(),
                block_number: self.u16(),
                raw_data: self.octets(),
            },
            _ => ReadResult::BlockNumber(self.u16()),
        }
    }

    fn write_result(&mut self) -> WriteResult {
        match self.0.below(3) {
            0 => WriteResult::Success,
            1 => WriteResult::DataAccessError(self.data_access_result()),
            _ => WriteResult::BlockNumber(self.u16()),
        }
    }

    fn conformance(&mut self) -> Conformance {
        Conformance::from_octets(self.octets_of(3).try_into().unwrap())
    }

    /// Security header and something behind it.
    fn ciphered(&mut self) -> &'static [u8] {
        let count = 5 + self.0.below(200);
        self.octets_of(count)
    }

    fn context(&mut self) -> ApplicationContextName<'static> {
        match self.0.below(4) {
            0 => ApplicationContextName::LogicalName,
            1 => ApplicationContextName::ShortName,
            2 => ApplicationContextName::LogicalNameCiphered,
            _ => ApplicationContextName::ShortNameCiphered,
        }
    }

    fn mechanism(&mut self) -> MechanismName<'static> {
        MechanismName::from_id(u8::try_from(self.0.below(8)).unwrap()).unwrap()
    }

    fn aarq(&mut self) -> Aarq<'static> {
        Aarq {
            called_ap_title: self.option(Self::octets),
            calling_ap_title: self.option(Self::octets),
            calling_ae_qualifier: self.option(Self::octets),
            sender_acse_requirements: self.option(|_| BitString::FIRST_BIT),
            mechanism_name: self.option(Self::mechanism),
            calling_authentication_value: self
                .option(|make| AuthenticationValue::Charstring(make.octets())),
            user_information: self.option(Self::octets),
            ..Aarq::new(self.context())
        }
    }

    fn aare(&mut self) -> Aare<'static> {
        let diagnostic = if self.bool() {
            AssociateSourceDiagnostic::ServiceUser(ServiceUserDiagnostic::from_code(
                self.u8() & 0x7F,
            ))
        } else {
            AssociateSourceDiagnostic::ServiceProvider(ServiceProviderDiagnostic::from_code(
                self.u8() & 0x7F,
            ))
        };
        // Codes above 0x7F take two octets in BER, which the other
        // implementation does not do.
        let result = AssociationResult::from_code(self.u8() & 0x7F);
        Aare {
            responding_ap_title: self.option(Self::octets),
            responder_acse_requirements: self.option(|_| BitString::FIRST_BIT),
            mechanism_name: self.option(Self::mechanism),
            responding_authentication_value: self
                .option(|make| AuthenticationValue::Charstring(make.octets())),
            user_information: self.option(Self::octets),
            ..Aare::new(self.context(), result, diagnostic)
        }
    }

    fn key_info(&mut self) -> KeyInfo<'static> {
        match self.0.below(3) {
            0 => KeyInfo::Identified { key_id: self.u8() },
            1 => KeyInfo::Wrapped {
                kek_id: self.u8(),
                key_ciphered_data: self.octets(),
            },
            _ => KeyInfo::Agreed {
                key_parameters: self.octets(),
                key_ciphered_data: self.octets(),
            },
        }
    }

    fn protected_tag(&mut self) -> Tag {
        let tags: Vec<Tag> = Tag::ALL
            .iter()
            .copied()
            .filter(|tag| tag.unprotected().is_some())
            .collect();
        tags[self.0.below(tags.len())]
    }

    /// An APDU of a kind below [`KINDS`].
    pub(super) fn apdu(&mut self, kind: usize) -> Apdu<'static> {
        match kind {
            0 => Apdu::Aarq(self.aarq()),
            1 => Apdu::Aare(self.aare()),
            2 => Apdu::Rlrq(Rlrq {
                reason: self.option(|make| ReleaseRequestReason::from_code(make.u8() & 0x7F)),
                user_information: self.option(Self::octets),
            }),
            3 => Apdu::Rlre(Rlre {
                reason: self.option(|make| ReleaseResponseReason::from_code(make.u8() & 0x7F)),
                user_information: self.option(Self::octets),
            }),
            4 => Apdu::InitiateRequest(InitiateRequest {
                dedicated_key: self.option(Self::octets),
                response_allowed: self.bool(),
                proposed_quality_of_service: self.option(Self::i8),
                proposed_dlms_version_number: self.u8(),
                ..InitiateRequest::new(self.conformance(), self.u16())
            }),
            5 => Apdu::InitiateResponse(InitiateResponse {
                negotiated_quality_of_service: self.option(Self::i8),
                negotiated_dlms_version_number: self.u8(),
                vaa_name: self.u16(),
                ..InitiateResponse::new(self.conformance(), self.u16())
            }),
            6 => Apdu::ConfirmedServiceError(ConfirmedServiceError {
                service: ConfirmedService::from_code(self.u8()),
                class: ErrorClass::from_code(self.u8()),
                value: self.u8(),
            }),
            7 => Apdu::ExceptionResponse(ExceptionResponse::new(
                StateError::from_code(self.u8()),
                match self.0.below(4) {
                    0 => ServiceError::InvocationCounterError(None),
                    1 => ServiceError::InvocationCounterError(Some(self.u32())),
                    2 => ServiceError::DecipheringError,
                    _ => ServiceError::Unknown(7 + self.u8() % 200),
                },
            )),
            8 => Apdu::DataNotification(DataNotification {
                invoke: self.long_invoke(),
                date_time: self.option(Self::date_time),
                date_time_tagged: false,
                body: self.data(),
            }),
            9 => Apdu::EventNotificationRequest(EventNotificationRequest {
                time: self.option(|make| Some(make.date_time())),
                attribute: self.attribute(),
                value: self.data(),
            }),
            10 => Apdu::GetRequest(GetRequest::Normal {
                invoke: self.invoke(),
                attribute: self.attribute(),
                access_selection: self.option(Self::selection),
            }),
            11 => Apdu::GetRequest(GetRequest::Next {
                invoke: self.invoke(),
                block_number: self.u32(),
            }),
            12 => Apdu::GetRequest(GetRequest::WithList {
                invoke: self.invoke(),
                attributes: self.list(Self::target),
            }),
            13 => Apdu::GetResponse(GetResponse::Normal {
                invoke: self.invoke(),
                result: self.result(),
            }),
            14 => Apdu::GetResponse(GetResponse::WithDatablock {
                invoke: self.invoke(),
                block: DataBlockG {
                    last_block: self.bool(),
                    block_number: self.u32(),
                    result: if self.bool() {
                        Ok(self.octets())
                    } else {
                        Err(self.data_access_result())
                    },
                },
            }),
            15 => Apdu::GetResponse(GetResponse::WithList {
                invoke: self.invoke(),
                results: self.list(Self::result),
            }),
            16 => Apdu::SetRequest(SetRequest::Normal {
                invoke: self.invoke(),
                attribute: self.attribute(),
                access_selection: self.option(Self::selection),
                value: self.data(),
            }),
            17 => Apdu::SetRequest(SetRequest::WithFirstDatablock {
                invoke: self.invoke(),
                attribute: self.attribute(),
                access_selection: self.option(Self::selection),
                block: self.block(),
            }),
            18 => Apdu::SetRequest(SetRequest::WithDatablock {
                invoke: self.invoke(),
                block: self.block(),
            }),
            19 => Apdu::SetRequest(SetRequest::WithList {
                invoke: self.invoke(),
                attributes: self.list(Self::target),
                values: self.list(Self::data),
            }),
            20 => Apdu::SetRequest(SetRequest::WithListAndFirstDatablock {
                invoke: self.invoke(),
                attributes: self.list(Self::target),
                block: self.block(),
            }),
            21 => Apdu::SetResponse(SetResponse::Normal {
                invoke: self.invoke(),
                result: self.data_access_result(),
            }),
            22 => Apdu::SetResponse(SetResponse::Datablock {
                invoke: self.invoke(),
                block_number: self.u32(),
            }),
            23 => Apdu::SetResponse(SetResponse::LastDatablock {
                invoke: self.invoke(),
                result: self.data_access_result(),
                block_number: self.u32(),
            }),
            24 => Apdu::SetResponse(SetResponse::LastDatablockWithList {
                invoke: self.invoke(),
                results: self.list(Self::data_access_result),
                block_number: self.u32(),
            }),
            25 => Apdu::SetResponse(SetResponse::WithList {
                invoke: self.invoke(),
                results: self.list(Self::data_access_result),
            }),
            26 => Apdu::ActionRequest(ActionRequest::Normal {
                invoke: self.invoke(),
                method: self.method(),
                parameters: self.option(Self::data),
            }),
            27 => Apdu::ActionRequest(ActionRequest::NextPblock {
                invoke: self.invoke(),
                block_number: self.u32(),
            }),
            28 => Apdu::ActionRequest(ActionRequest::WithList {
                invoke: self.invoke(),
                methods: self.list(Self::method),
                parameters: self.list(Self::data),
            }),
            29 => Apdu::ActionRequest(ActionRequest::WithFirstPblock {
                invoke: self.invoke(),
                method: self.method(),
                block: self.block(),
            }),
            30 => Apdu::ActionRequest(ActionRequest::WithListAndFirstPblock {
                invoke: self.invoke(),
                methods: self.list(Self::method),
                block: self.block(),
            }),
            31 => Apdu::ActionRequest(ActionRequest::WithPblock {
                invoke: self.invoke(),
                block: self.block(),
            }),
            32 => Apdu::ActionResponse(ActionResponse::Normal {
                invoke: self.invoke(),
                response: self.response(),
            }),
            33 => Apdu::ActionResponse(ActionResponse::WithPblock {
                invoke: self.invoke(),
                block: self.block(),
            }),
            34 => Apdu::ActionResponse(ActionResponse::WithList {
                invoke: self.invoke(),
                responses: self.list(Self::response),
            }),
            35 => Apdu::ActionResponse(ActionResponse::NextPblock {
                invoke: self.invoke(),
                block_number: self.u32(),
            }),
            36 => Apdu::AccessRequest(AccessRequest {
                invoke: self.long_invoke(),
                date_time: self.option(Self::date_time),
                specifications: self.list(Self::specification),
                data: self.list(Self::data),
            }),
            37 => Apdu::AccessResponse(AccessResponse {
                invoke: self.long_invoke(),
                date_time: self.option(Self::date_time),
                request_specifications: self.option(|make| make.list(Self::specification)),
                data: self.list(Self::data),
                response_specifications: self.list(Self::outcome),
            }),
            38 => Apdu::ReadRequest(ReadRequest {
                specifications: self.list(Self::variable),
            }),
            39 => Apdu::ReadResponse(ReadResponse {
                results: self.list(Self::read_result),
            }),
            40 => Apdu::WriteRequest(WriteRequest {
                specifications: self.list(Self::variable),
                data: self.list(Self::data),
            }),
            41 => Apdu::WriteResponse(WriteResponse {
                results: self.list(Self::write_result),
            }),
            42 => Apdu::UnconfirmedWriteRequest(UnconfirmedWriteRequest {
                specifications: self.list(Self::variable),
                data: self.list(Self::data),
            }),
            43 => Apdu::InformationReportRequest(InformationReportRequest {
                current_time: self.option(Self::octets),
                specifications: self.list(Self::variable),
                data: self.list(Self::data),
            }),
            44 => Apdu::ServiceCiphering(ServiceCiphering {
                tag: self.protected_tag(),
                ciphered: self.ciphered(),
            }),
            45 => Apdu::GeneralGloCiphering(GeneralGloCiphering {
                system_title: self.octets(),
                ciphered_content: self.ciphered(),
            }),
            46 => Apdu::GeneralDedCiphering(GeneralDedCiphering {
                system_title: self.octets(),
                ciphered_content: self.ciphered(),
            }),
            47 => Apdu::GeneralCiphering(GeneralCiphering {
                transaction_id: self.octets(),
                originator_system_title: self.octets(),
                recipient_system_title: self.octets(),
                date_time: self.octets(),
                other_information: self.octets(),
                key_info: self.option(Self::key_info),
                ciphered_content: self.ciphered(),
            }),
            48 => Apdu::GeneralSigning(GeneralSigning {
                transaction_id: self.octets(),
                originator_system_title: self.octets(),
                recipient_system_title: self.octets(),
                date_time: self.octets(),
                other_information: self.octets(),
                content: self.octets(),
                signature: self.octets(),
            }),
            49 => Apdu::GeneralBlockTransfer(GeneralBlockTransfer {
                block_control: BlockControl(self.u8()),
                block_number: self.u16(),
                block_number_ack: self.u16(),
                block_data: self.octets(),
            }),
            50 => Apdu::Gateway(Gateway {
                is_response: self.bool(),
                network_id: self.u8(),
                physical_device_address: self.octets(),
                apdu: self.octets(),
            }),
            // The other implementation has none of these.
            51 => Apdu::DataNotificationConfirm(DataNotificationConfirm {
                invoke: self.long_invoke(),
                date_time: self.option(Self::date_time),
            }),
            kind => panic!("there is no kind {kind}"),
        }
    }
}
