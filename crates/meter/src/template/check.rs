//! From the text of a model file to a model that is sound, or all that is wrong with it.

use std::collections::BTreeMap;

use dlms::acse::MechanismName;
use dlms::axdr::{Data, Date, DateTime, Tag};
use dlms::cosem::{InterfaceClass, Obis, ScalerUnit, Unit};
use toml::Spanned;

use super::file::{Attribute, File, Object, Profile};
use super::{
    ASSOCIATIONS_MAX, AssociationIndex, AssociationSet, AssociationTemplate, AttributeTemplate,
    Cell, ClockTemplate, Column, FILE_LEN_MAX, Identity, MethodTemplate, OBJECTS_MAX,
    ObjectTemplate, PDU_LENS, PROBLEMS_MAX, Problem, ProfileRows, ProfileTemplate, Quantity,
    Source, StateValue, Template, TemplateError,
};
use crate::breaker::ControlMode;
use crate::journal::CHANNELS_MAX;

/// The most rows that a profile may show: a year of quarter hours.
const ENTRIES_MAX: u32 = 366 * 96;

/// The classes and versions that this meter can be.
const CLASSES: &[(u16, u8)] = &[
    (1, 0),
    (3, 0),
    (4, 0),
    (7, 1),
    (8, 0),
    (15, 1),
    (15, 2),
    (15, 3),
    (17, 0),
    (18, 0),
    (64, 0),
    (64, 1),
    (70, 0),
];

const LOGICAL_DEVICE_NAME: Obis = Obis::new(0, 0, 42, 0, 0, 255);
pub(crate) const CLOCK: Obis = Obis::new(0, 0, 1, 0, 0, 255);
const SAP_ASSIGNMENT: Obis = Obis::new(0, 0, 41, 0, 0, 255);
const CURRENT_ASSOCIATION: Obis = Obis::new(0, 0, 40, 0, 0, 255);

pub(super) fn check(text: &str) -> Result<Template, TemplateError> {
    if text.len() > FILE_LEN_MAX {
        let problem = format!("the file has more than {FILE_LEN_MAX} octets");
        return Err(TemplateError::of(None, problem));
    }
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| line_of(text, span.start));
        TemplateError::of(line, error.message())
    })?;
    let mut checker = Checker {
        text,
        problems: Vec::new(),
        names: Vec::new(),
    };
    let template = checker.template(&file);
    if checker.problems.is_empty() {
        Ok(template)
    } else {
        checker.problems.sort_by_key(|problem| problem.line);
        checker.problems.truncate(PROBLEMS_MAX);
        Err(TemplateError {
            problems: checker.problems,
        })
    }
}

struct Checker<'a> {
    text: &'a str,
    problems: Vec<Problem>,
    /// Names of the associations.
    names: Vec<String>,
}

impl Checker<'_> {
    fn template(&mut self, file: &File) -> Template {
        let head = &file.model;
        if !matches!(head.phases.as_ref(), 1 | 3) {
            self.problem(&head.phases, "phases is 1 or 3");
        }
        if !(1..=0x3FFF).contains(head.sap.as_ref()) {
            self.problem(&head.sap, "sap is 1 to 16383");
        }
        if let Some(size) = &head.max_receive_pdu
            && !PDU_LENS.contains(size.as_ref())
        {
            let (least, most) = (PDU_LENS.start(), PDU_LENS.end());
            self.problem(size, format!("max_receive_pdu is {least} to {most}"));
        }
        let clock = self.clock(file);
        let control_mode = self.control_mode(file);
        let associations = self.associations(file);
        let mut objects = BTreeMap::new();
        if file.object.len() > OBJECTS_MAX {
            self.nowhere(format!("there are more than {OBJECTS_MAX} objects"));
        }
        for object in file.object.iter().take(OBJECTS_MAX) {
            if let Some(sound) = self.object(object) {
                let obis = sound.obis;
                if objects.insert(obis, sound).is_some() {
                    self.problem(&object.obis, format!("object {obis} is there twice"));
                }
            }
        }
        let mut template = Template {
            name: head.name.clone(),
            title: head.title.clone(),
            three_phase: *head.phases.as_ref() == 3,
            sap: *head.sap.as_ref(),
            pdu_len_max: head
                .max_receive_pdu
                .as_ref()
                .map_or(*PDU_LENS.end(), |size| *size.as_ref()),
            clock,
            control_mode,
            associations,
            objects,
            channels: Vec::new(),
            capture_period_s: 0,
            rows: 0,
        };
        for object in &file.object {
            if let Some(profile) = &object.profile {
                self.profile(object, profile, &mut template);
            }
        }
        self.whole(file, &template);
        template
    }

    fn clock(&mut self, file: &File) -> ClockTemplate {
        let clock = &file.clock;
        if !(-840..=720).contains(clock.time_zone.as_ref()) {
            self.problem(&clock.time_zone, "time_zone is -840 to 720 minutes");
        }
        let mut switch = |text: &Spanned<String>| {
            let octets = hex::<12>(text.as_ref());
            let sound = octets.is_some_and(|octets| {
                let at = DateTime::from_octets(octets);
                let month = (1..=12).contains(&at.date.month);
                let day = at.date.day_of_month != Date::UNSPECIFIED;
                month && day && at.time.to_seconds().is_some()
            });
            if !sound {
                self.problem(
                    text,
                    "a change of daylight saving is 24 hex digits of a date-time with month, day, \
                     hour and minute",
                );
            }
            octets.unwrap_or_default()
        };
        ClockTemplate {
            time_zone: *clock.time_zone.as_ref(),
            daylight_savings_begin: switch(&clock.daylight_savings_begin),
            daylight_savings_end: switch(&clock.daylight_savings_end),
            daylight_savings_deviation: clock.daylight_savings_deviation.clamp(-120, 120),
            daylight_savings_enabled: clock.daylight_savings_enabled,
            shift_limit_s: clock.shift_limit_s,
        }
    }

    fn control_mode(&mut self, file: &File) -> ControlMode {
        let written = file.breaker.as_ref().map(|breaker| &breaker.control_mode);
        match written.map(|mode| (mode, ControlMode::new(*mode.as_ref()))) {
            Some((_, Some(mode))) => return mode,
            Some((at, None)) => self.problem(at, "control_mode is 0 to 6"),
            None if file.object.iter().any(|object| object.class == 70) => {
                self.nowhere("an object of class 70 needs [breaker] with its control_mode");
            }
            None => {}
        }
        ControlMode::ALWAYS_CONNECTED
    }

    fn associations(&mut self, file: &File) -> Vec<AssociationTemplate> {
        if file.association.is_empty() {
            self.nowhere("there is no association");
        }
        if file.association.len() > ASSOCIATIONS_MAX {
            self.nowhere(format!(
                "there are more than {ASSOCIATIONS_MAX} associations"
            ));
        }
        let mut sound: Vec<AssociationTemplate> = Vec::new();
        for entry in file.association.iter().take(ASSOCIATIONS_MAX) {
            let name = entry.name.as_ref();
            if sound
                .iter()
                .any(|other| other.name == *name || other.client == entry.client)
            {
                self.problem(
                    &entry.name,
                    format!("association {name}: its name or client is there twice"),
                );
            }
            if !(1..=0x7F).contains(&entry.client) {
                self.problem(
                    &entry.name,
                    format!("association {name}: client is 1 to 127"),
                );
            }
            let mechanism = match entry.mechanism.as_str() {
                "none" => MechanismName::Lowest,
                "lls" => MechanismName::Low,
                "hls5" => MechanismName::HighGmac,
                other => {
                    self.problem(
                        &entry.name,
                        format!("association {name}: mechanism is none, lls or hls5, not {other}"),
                    );
                    MechanismName::Lowest
                }
            };
            let mut obis = |text: &Option<String>| {
                let text = text.as_ref()?;
                let obis = text.parse().ok();
                if obis.is_none() {
                    self.problem(
                        &entry.name,
                        format!("association {name}: {text:?} is no OBIS code"),
                    );
                }
                obis
            };
            let security_setup = obis(&entry.security_setup);
            let invocation_counter = obis(&entry.invocation_counter);
            if mechanism == MechanismName::HighGmac && security_setup.is_none() {
                self.problem(
                    &entry.name,
                    format!("association {name}: hls5 needs a security_setup"),
                );
            }
            let (authenticated, encrypted) = match entry.require.as_deref() {
                None | Some("none") => (false, false),
                Some("auth") => (true, false),
                Some("enc") => (false, true),
                Some("authenc") => (true, true),
                Some(other) => {
                    self.problem(
                        &entry.name,
                        format!(
                            "association {name}: require is none, auth, enc or authenc, not {other}"
                        ),
                    );
                    (true, true)
                }
            };
            if (authenticated || encrypted) && security_setup.is_none() {
                self.problem(
                    &entry.name,
                    format!("association {name}: require needs a security_setup"),
                );
            }
            if entry.optional && security_setup.is_none() {
                self.problem(
                    &entry.name,
                    format!("association {name}: optional needs a security_setup"),
                );
            }
            let bare = mechanism == MechanismName::Lowest && security_setup.is_some();
            if entry.pre_established && !(bare && authenticated) {
                self.problem(
                    &entry.name,
                    format!(
                        "association {name}: pre_established needs mechanism none, a \
                         security_setup, and require auth or authenc"
                    ),
                );
            }
            self.names.push(name.clone());
            sound.push(AssociationTemplate {
                name: name.clone(),
                client: entry.client,
                mechanism,
                security_setup,
                invocation_counter,
                authenticated,
                encrypted,
                optional: entry.optional,
                pre_established: entry.pre_established,
            });
        }
        sound
    }

    fn object(&mut self, entry: &Object) -> Option<ObjectTemplate> {
        let written = entry.obis.as_ref();
        let Ok(obis) = written.parse::<Obis>() else {
            self.problem(&entry.obis, format!("{written:?} is no OBIS code"));
            return None;
        };
        let class = InterfaceClass::find(entry.class, entry.version)
            .filter(|_| CLASSES.contains(&(entry.class, entry.version)));
        let Some(class) = class else {
            self.problem(
                &entry.obis,
                format!(
                    "object {obis}: this meter has no class {} version {}",
                    entry.class, entry.version
                ),
            );
            return None;
        };
        let get = self.set_of(&entry.obis, &entry.get);
        let set = self.set_of(&entry.obis, &entry.set);
        let mut attributes: Vec<AttributeTemplate> = Vec::new();
        for attribute in &entry.attributes {
            let known = class.attribute_name(attribute.as_ref().id).is_some();
            let id = attribute.as_ref().id;
            if id < 2 || !known {
                self.problem(
                    attribute,
                    format!(
                        "object {obis}: {} has no attribute {id} to describe",
                        class.name
                    ),
                );
                continue;
            }
            if attributes.last().is_some_and(|last| last.id >= id) {
                self.problem(
                    attribute,
                    format!("object {obis}: attribute {id} is there twice or out of order"),
                );
            }
            attributes.extend(self.attribute(entry, obis, attribute, get, set));
        }
        if matches!(entry.class, 1 | 3 | 4) {
            let needed = class.attributes.len();
            if attributes.len() + 1 < needed {
                self.problem(
                    &entry.obis,
                    format!("object {obis}: {} has attributes 2 to {needed}", class.name),
                );
            }
        }
        let mut methods: Vec<MethodTemplate> = Vec::new();
        for method in &entry.methods {
            let id = method.as_ref().id;
            if class.method_name(id).is_none() || methods.iter().any(|other| other.id == id) {
                self.problem(
                    method,
                    format!(
                        "object {obis}: {} has no method {id}, or it is there twice",
                        class.name
                    ),
                );
            }
            let invoke = self.set_of(method, &method.as_ref().invoke);
            methods.push(MethodTemplate { id, invoke });
        }
        let association = entry.association.as_ref().and_then(|name| {
            let found = self.names.iter().position(|known| known == name);
            if found.is_none() || entry.class != 15 {
                self.problem(
                    &entry.obis,
                    format!("object {obis}: association is for class 15 and names one of the file"),
                );
            }
            u8::try_from(found?).ok().map(AssociationIndex)
        });
        if (entry.class == 7) != entry.profile.is_some() {
            self.problem(
                &entry.obis,
                format!("object {obis}: class 7 has a profile, and no other class has"),
            );
        }
        Some(ObjectTemplate {
            obis,
            class: entry.class,
            version: entry.version,
            name: entry.name.clone(),
            attributes,
            methods,
            profile: None,
            association,
        })
    }

    fn attribute(
        &mut self,
        object: &Object,
        obis: Obis,
        entry: &Spanned<Attribute>,
        get: AssociationSet,
        set: AssociationSet,
    ) -> Option<AttributeTemplate> {
        let attribute = entry.as_ref();
        let id = attribute.id;
        let Some(tag) = tag_named(&attribute.kind) else {
            let kind = &attribute.kind;
            self.problem(
                entry,
                format!("object {obis}: attribute {id}: {kind:?} is no type of the standard"),
            );
            return None;
        };
        let told = usize::from(attribute.from.is_some())
            + usize::from(attribute.value.is_some())
            + usize::from(attribute.unit.is_some());
        let wanted = usize::from(matches!(object.class, 1 | 3 | 4));
        if told != wanted || attribute.unit.is_some() != attribute.scaler.is_some() {
            let problem = if wanted == 1 {
                "needs one of from, value, or scaler and unit"
            } else {
                "is known to its class: no from, value, scaler or unit"
            };
            self.problem(entry, format!("object {obis}: attribute {id} {problem}"));
        }
        let source = self.source(obis, entry, tag);
        let get = match &attribute.get {
            Some(names) => self.set_of(entry, names),
            None => get,
        };
        let set = match &attribute.set {
            Some(names) => self.set_of(entry, names),
            None => set,
        };
        let writable = match &source {
            Some(Source::State(value)) => value.writable(),
            Some(_) => false,
            None => matches!(
                (object.class, id),
                (8, 2 | 3 | 5 | 6 | 8) | (18, 5) | (70, 4)
            ),
        };
        if !set.is_empty() && !writable {
            self.problem(
                entry,
                format!("object {obis}: attribute {id}: nothing behind it can be written"),
            );
        }
        if (object.class, id) == (15, 7) && !get.is_empty() {
            self.problem(
                entry,
                format!("object {obis}: attribute {id}: a secret is never read"),
            );
        }
        Some(AttributeTemplate {
            id,
            tag,
            source,
            get,
            set,
        })
    }

    fn source(&mut self, obis: Obis, entry: &Spanned<Attribute>, tag: Tag) -> Option<Source> {
        let attribute = entry.as_ref();
        let id = attribute.id;
        if let Some(unit) = &attribute.unit {
            let Some(unit) = unit_named(unit) else {
                self.problem(
                    entry,
                    format!("object {obis}: attribute {id}: {unit:?} is no unit of the standard"),
                );
                return None;
            };
            if tag != Tag::Structure {
                self.problem(
                    entry,
                    format!("object {obis}: attribute {id}: scaler and unit are a structure"),
                );
            }
            let scaler = attribute.scaler.unwrap_or(0);
            return Some(Source::Constant(ScalerUnit::new(scaler, unit).to_data()));
        }
        if let Some(value) = &attribute.value {
            let constant = constant(value, tag);
            if constant.is_none() {
                let kind = tag.name();
                self.problem(
                    entry,
                    format!("object {obis}: attribute {id}: {value} is no {kind}"),
                );
            }
            return constant.map(Source::Constant);
        }
        let name = attribute.from.as_ref()?;
        let source = Quantity::from_name(name)
            .map(Source::Measured)
            .or_else(|| Identity::from_name(name).map(Source::Identity))
            .or_else(|| StateValue::from_name(name).map(Source::State));
        let fits = match &source {
            None => {
                self.problem(
                    entry,
                    format!("object {obis}: attribute {id}: there is no source {name:?}"),
                );
                return None;
            }
            Some(Source::Measured(_)) => is_number(tag),
            Some(Source::State(StateValue::Message)) | Some(Source::Identity(_)) => {
                matches!(tag, Tag::OctetString | Tag::VisibleString)
            }
            Some(Source::State(_)) => is_number(tag),
            Some(Source::Constant(_)) => true,
        };
        if !fits {
            let kind = tag.name();
            self.problem(
                entry,
                format!("object {obis}: attribute {id}: {name} does not fit in {kind}"),
            );
        }
        source
    }

    /// Resolves the columns of a profile, once all objects are known.
    fn profile(&mut self, object: &Object, entry: &Spanned<Profile>, template: &mut Template) {
        let Ok(obis) = object.obis.as_ref().parse::<Obis>() else {
            return;
        };
        let profile = entry.as_ref();
        let rows = match profile.rows.as_str() {
            "load" => Some(ProfileRows::Load),
            "log" if obis.0.starts_with(&[0, 0, 99, 98]) => {
                let [_, _, _, _, e, _] = obis.0;
                Some(ProfileRows::Log(e))
            }
            _ => None,
        };
        let Some(rows) = rows else {
            self.problem(
                entry,
                format!("object {obis}: rows is load, or log for 0-0:99.98.e.255"),
            );
            return;
        };
        if !(1..=ENTRIES_MAX).contains(&profile.entries) {
            self.problem(
                entry,
                format!("object {obis}: entries is 1 to {ENTRIES_MAX}"),
            );
            return;
        }
        match rows {
            ProfileRows::Load => {
                let period = profile.period_s;
                let divides = period > 0 && 86_400_u32.is_multiple_of(period);
                let same =
                    matches!(template.capture_period_s, 0) || template.capture_period_s == period;
                if !divides || !same {
                    self.problem(
                        entry,
                        format!(
                            "object {obis}: period_s divides a day and is the same for all load \
                             profiles"
                        ),
                    );
                }
                template.capture_period_s = period;
                let entries = usize::try_from(profile.entries).unwrap_or(usize::MAX);
                template.rows = template.rows.max(entries);
            }
            ProfileRows::Log(_) if profile.period_s != 0 => {
                self.problem(entry, format!("object {obis}: a log has period_s 0"));
            }
            ProfileRows::Log(_) => {}
        }
        let mut columns = Vec::new();
        for written in &profile.capture {
            match column(written, rows, template) {
                Ok(column) => columns.push(column),
                Err(problem) => {
                    self.problem(
                        entry,
                        format!("object {obis}: column {written:?}: {problem}"),
                    );
                }
            }
        }
        if columns
            .first()
            .is_none_or(|column| column.cell != Cell::Time)
        {
            self.problem(
                entry,
                format!("object {obis}: the first column is the clock"),
            );
        }
        if let Some(object) = template.objects.get_mut(&obis) {
            object.profile = Some(ProfileTemplate {
                rows,
                columns,
                entries: profile.entries,
                period_s: profile.period_s,
            });
        }
    }

    /// What no single object shows.
    fn whole(&mut self, file: &File, template: &Template) {
        for (obis, class, name) in [
            (LOGICAL_DEVICE_NAME, 1, "logical device name"),
            (CLOCK, 8, "clock"),
            (SAP_ASSIGNMENT, 17, "SAP assignment"),
            (CURRENT_ASSOCIATION, 15, "current association"),
        ] {
            let there = template
                .objects
                .get(&obis)
                .is_some_and(|object| object.class == class);
            if !there {
                self.nowhere(format!("the {name} {obis}, class {class}, is missing"));
            }
        }
        if template.channels.is_empty() {
            self.nowhere("there is no load profile");
        }
        for (entry, association) in file.association.iter().zip(&template.associations) {
            let name = &association.name;
            let class_of = |obis: &Obis| template.objects.get(obis).map(|object| object.class);
            if let Some(setup) = &association.security_setup
                && class_of(setup) != Some(64)
            {
                self.problem(
                    &entry.name,
                    format!("association {name}: there is no Security setup {setup}"),
                );
            }
            if let Some(counter) = &association.invocation_counter
                && class_of(counter) != Some(1)
            {
                self.problem(
                    &entry.name,
                    format!("association {name}: there is no Data {counter}"),
                );
            }
        }
    }

    fn set_of<T>(&mut self, at: &Spanned<T>, names: &[String]) -> AssociationSet {
        let mut set = AssociationSet::default();
        for name in names {
            let index = self.names.iter().position(|known| known == name);
            match index.and_then(|index| u8::try_from(index).ok()) {
                Some(index) => set = set.with(AssociationIndex(index)),
                None => self.problem(at, format!("there is no association {name:?}")),
            }
        }
        set
    }

    fn problem<T>(&mut self, at: &Spanned<T>, text: impl Into<String>) {
        let line = line_of(self.text, at.span().start);
        self.problems.push(Problem {
            line: Some(line),
            text: text.into(),
        });
    }

    fn nowhere(&mut self, text: impl Into<String>) {
        self.problems.push(Problem {
            line: None,
            text: text.into(),
        });
    }
}

/// Finds where a row holds the value of a column, and makes room for it where none does.
fn column(written: &str, rows: ProfileRows, template: &mut Template) -> Result<Column, String> {
    let (obis, attribute) = written
        .rsplit_once(':')
        .and_then(|(obis, attribute)| {
            Some((obis.parse::<Obis>().ok()?, attribute.parse::<i8>().ok()?))
        })
        .ok_or("write OBIS:ATTRIBUTE, as in 1.0.1.8.0.255:2")?;
    let object = template
        .objects
        .get(&obis)
        .ok_or("there is no such object")?;
    let captured = object
        .attribute(attribute)
        .ok_or("there is no such attribute")?;
    let (class, tag) = (object.class, captured.tag);
    let load = rows == ProfileRows::Load;
    let cell = match (&captured.source, class) {
        (None, 8) if attribute == 2 => Cell::Time,
        (Some(Source::State(StateValue::ProfileStatus)), _) if load => {
            if tag != Tag::Unsigned {
                return Err("the status is unsigned".into());
            }
            Cell::Status
        }
        (Some(Source::State(StateValue::LogCode)), _) if !load => Cell::Code,
        (Some(Source::Measured(quantity)), _) if load && quantity.is_energy() => {
            let known = template
                .channels
                .iter()
                .position(|channel| channel == quantity);
            let index = known.unwrap_or(template.channels.len());
            if index >= CHANNELS_MAX {
                return Err(format!("a row holds at most {CHANNELS_MAX} energies"));
            }
            if known.is_none() {
                template.channels.push(*quantity);
            }
            Cell::Channel(u8::try_from(index).unwrap_or(u8::MAX))
        }
        _ => return Err("a row holds no such value".into()),
    };
    Ok(Column {
        class,
        obis,
        attribute,
        tag,
        cell,
    })
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|octet| **octet == b'\n').count()
}

fn tag_named(name: &str) -> Option<Tag> {
    Tag::ALL.iter().copied().find(|tag| tag.name() == name)
}

fn unit_named(symbol: &str) -> Option<Unit> {
    (0..=u8::MAX)
        .map(Unit)
        .find(|unit| unit.symbol() == Some(symbol))
}

const fn is_number(tag: Tag) -> bool {
    matches!(
        tag,
        Tag::Unsigned | Tag::LongUnsigned | Tag::DoubleLongUnsigned | Tag::Long64Unsigned
    )
}

fn constant(value: &toml::Value, tag: Tag) -> Option<Data> {
    let number = value.as_integer();
    match tag {
        Tag::Boolean => value.as_bool().map(Data::Boolean),
        Tag::Integer => number?.try_into().ok().map(Data::Integer),
        Tag::Long => number?.try_into().ok().map(Data::Long),
        Tag::DoubleLong => number?.try_into().ok().map(Data::DoubleLong),
        Tag::Unsigned => number?.try_into().ok().map(Data::Unsigned),
        Tag::LongUnsigned => number?.try_into().ok().map(Data::LongUnsigned),
        Tag::DoubleLongUnsigned => number?.try_into().ok().map(Data::DoubleLongUnsigned),
        Tag::Enum => number?.try_into().ok().map(Data::Enum),
        Tag::OctetString => value
            .as_str()
            .map(|text| Data::octet_string(text.as_bytes())),
        Tag::VisibleString => value
            .as_str()
            .filter(|text| text.is_ascii())
            .map(Data::visible_string),
        _ => None,
    }
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut octets = [0; N];
    let mut digits = text.chars().filter(|c| *c != ' ');
    for octet in &mut octets {
        for _ in 0..2 {
            let digit = digits.next()?.to_digit(16)?;
            *octet = (*octet << 4) | u8::try_from(digit).ok()?;
        }
    }
    digits.next().is_none().then_some(octets)
}
