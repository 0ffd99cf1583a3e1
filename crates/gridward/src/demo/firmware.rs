//! The demo's maker of firmware: a key whose images all meters of the demo take, and one such image
//! for each of their models, which waits beside the head end's store for a campaign.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use headend::campaigns::Images;
use link::{Clock as _, SystemClock};
use model::{ImageHeader, Timestamp};

use super::Places;
use super::behind::MODEL;
use crate::failure::Failure;
use crate::image;

/// The model of the meters that are reached directly: that of `gridward meter` by itself.
const DIRECT_MODEL: &str = "smr5";
/// The version of the images.
const VERSION: u32 = 2;
/// Octets of the content: 103 blocks, which two passes over IP take ten seconds for.
const CONTENT: usize = 8 * 1_024;

/// Makes the maker's keys and the images where there are no keys yet; tells where the key that
/// meters know is. An image that somebody has taken off the shelf stays off.
pub(super) fn make(places: &Places) -> Result<PathBuf, Failure> {
    let public = places.maker.with_extension("pem.pub");
    if public.exists() {
        return Ok(public);
    }
    let public = image::make_keys(&places.maker)?;
    let shelf = places.headend.join("images");
    let at = |error| Failure::new(format!("{}: {error}", shelf.display()));
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&places.headend)
        .map_err(at)?;
    let images = Images::open(&shelf, None).map_err(at)?;
    let now = Timestamp::from_secs(SystemClock::new().unix_seconds());
    for model in [DIRECT_MODEL, MODEL] {
        let line = format!("firmware of the demo for {model}\n");
        let content: Vec<u8> = line.bytes().cycle().take(CONTENT).collect();
        // By model: who calls itself so is taken to run it, also where the model is another one.
        let identifier = format!("Gridward 2.0 {model}");
        let header = ImageHeader::new(model, &identifier, VERSION, &content)
            .map_err(|error| Failure::new(error.to_string()))?;
        let image = image::seal(&header, &content, &places.maker)?;
        images
            .keep(&image, now)
            .map_err(|error| Failure::new(format!("{}: {error}", shelf.display())))?;
    }
    Ok(public)
}
