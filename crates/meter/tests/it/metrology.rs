//! Evidence: self-agreement: determinism and monotone registers.

use meter::metrology::{Energy, Household, Source};
use model::Timestamp;

#[test]
fn registers_never_fall_and_depend_on_seed_and_time_alone() {
    for seed in 0..20 {
        let household = Household::from_seed(seed, true);
        let again = Household::from_seed(seed, true);
        let mut before = Energy::default();
        for quarter in 0..5_000 {
            let at = Timestamp::from_secs(1_795_000_000 + quarter * 900);
            let energy = household.energy(at);
            assert_eq!(energy, again.energy(at));
            assert!(energy.import[0] >= before.import[0]);
            assert!(energy.import[1] >= before.import[1]);
            assert!(energy.export[0] >= before.export[0]);
            assert!(energy.export[1] >= before.export[1]);
            before = energy;
        }
    }
}
