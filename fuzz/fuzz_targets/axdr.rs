//! Values: the cursor, the borrowed octets and the tree agree on what is one.
#![no_main]

use dlms::axdr::{Data, RawData};
use dlms::codec::Wire;
use dlms::cosem::{ObjectListElement, ProfileSelection, ScalerUnit, SelectiveAccessDescriptor};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let tree = Data::from_octets(octets);
    let walked = RawData::new(octets).walk().all(|event| event.is_ok());
    let mut stepped = RawData::new(octets).walk();
    RawData::new(octets).walk().for_each(|event| {
        assert_eq!(
            format!("{:?}", stepped.next()),
            format!("{:?}", Some(event)),
        );
    });
    assert!(stepped.next().is_none());
    for leaf in RawData::new(octets).walk().leaves().flatten() {
        let _ = (leaf.as_i64(), leaf.as_u64(), leaf.as_str(), leaf.to_data());
        if let Some(time) = leaf.as_date_time() {
            let _ = time.to_unix_seconds();
        }
    }
    if let Ok(tree) = tree {
        assert!(walked);
        let encoded = tree.to_octets();
        let again = Data::from_octets(&encoded).expect("what we encode decodes");
        assert_eq!(again.to_octets(), encoded);
        if let Ok(unit) = ScalerUnit::from_data(&tree) {
            assert_eq!(ScalerUnit::from_data(&unit.to_data()), Ok(unit));
        }
        for version in 0..=3 {
            if let Ok(element) = ObjectListElement::from_data(&tree) {
                let again = ObjectListElement::from_data(&element.to_data(version));
                assert!(again.is_ok(), "what we encode decodes");
            }
        }
    }
    if let Some((selector, parameters)) = octets.split_first() {
        let _ = ProfileSelection::from_descriptor(&SelectiveAccessDescriptor {
            access_selector: *selector,
            access_parameters: RawData::new(parameters),
        });
    }
});
