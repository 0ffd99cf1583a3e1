//! Firmware campaigns: one image for many meters, from the first word to the last activation.
//!
//! [`Planner`] decides; the shell in [`Campaigns`] contacts meters through
//! [`MeterAccess`](crate::collector::MeterAccess), broadcasts, and makes durable what the planner
//! says must be. All that it sends has the class of usage data.

mod bound;
mod images;
mod planner;
mod shell;
pub mod wire;

pub use bound::{BLOCK_LEN, BOUND_FACTOR, Bound, Line, Medium};
pub use images::{IMAGES_MAX, ImageId, Images, Maker, NoImageId, ShelfError, ShelvedImage};
pub use planner::{
    GroupOutline, GroupProgress, MEMBERS_MAX, Member, MemberProgress, Next, Outcome, Planner,
    Progress, Reason, RingProgress, Round, Settings, Step, Stopped, Task,
};
pub use shell::{
    About, CAMPAIGNS_MAX, Campaign, CampaignError, CampaignStore, Campaigns, InStore, Kept, Order,
    Overlap, Parts, Targets,
};
