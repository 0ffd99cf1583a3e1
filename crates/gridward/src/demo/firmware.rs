//! The demo's maker of firmware: a key whose images all meters of the demo take, and one such image
//! for each of their models, which waits beside the head end's store for a campaign.

use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

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
///
/// The public key comes last: where it is, all else is. Where it is not, nobody knows a key yet, and
/// what a start left that was cut off goes.
pub(super) fn make(places: &Places) -> Result<PathBuf, Failure> {
    let public = places.maker.with_extension("pem.pub");
    if public.exists() {
        return Ok(public);
    }
    let private = places.maker.with_extension("new");
    for left in [&private, &private.with_extension("new.pub")] {
        match std::fs::remove_file(left) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(at(left)(error)),
            _ => {}
        }
    }
    let made = image::make_keys(&private)?;
    fill_shelf(places, &private)?;
    for (from, to) in [(&private, &places.maker), (&made, &public)] {
        std::fs::rename(from, to).map_err(at(to))?;
    }
    Ok(public)
}

/// Puts an image for each model on the shelf, in the place of those that bear its name.
fn fill_shelf(places: &Places, private: &Path) -> Result<(), Failure> {
    let shelf = places.headend.join("images");
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&places.headend)
        .map_err(at(&places.headend))?;
    let images = Images::open(&shelf, None).map_err(at(&shelf))?;
    let now = Timestamp::from_secs(SystemClock::new().unix_seconds());
    for model in [DIRECT_MODEL, MODEL] {
        let line = format!("firmware of the demo for {model}\n");
        let content: Vec<u8> = line.bytes().cycle().take(CONTENT).collect();
        // By model: who calls itself so is taken to run it, also where the model is another one.
        let identifier = format!("Gridward 2.0 {model}");
        for left in images.list() {
            if left.identifier == identifier {
                images.forget(&left.id).map_err(at(&shelf))?;
            }
        }
        let header = ImageHeader::new(model, &identifier, VERSION, &content)
            .map_err(|error| Failure::new(error.to_string()))?;
        let image = image::seal(&header, &content, private)?;
        images
            .keep(&image, now)
            .map_err(|error| Failure::new(format!("{}: {error}", shelf.display())))?;
    }
    Ok(())
}

fn at(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    move |error| Failure::new(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement: what a start leaves that is cut off, and what the next one makes of
    //! it.
    use headend::campaigns::Maker;

    use super::*;

    /// The images that wait, each signed by the key in `public`.
    fn waiting(places: &Places, public: &Path) -> usize {
        let key = link::load_maker_key(public).unwrap();
        let images = Images::open(&places.headend.join("images"), Some(key)).unwrap();
        let all = images.list();
        assert!(all.iter().all(|image| image.maker == Maker::Verified));
        all.len()
    }

    #[test]
    fn a_start_that_was_cut_off_is_made_good_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::new(folder.path()).unwrap();
        // With the private key alone, whole or not.
        std::fs::write(&places.maker, "cut off").unwrap();
        std::fs::write(places.maker.with_extension("new"), "cut off").unwrap();
        // With keys and no images yet.
        std::fs::create_dir(&places.headend).unwrap();
        let shelf = places.headend.join("images");
        std::fs::write(&shelf, "no folder").unwrap();
        make(&places).unwrap_err();
        std::fs::remove_file(&shelf).unwrap();
        let public = make(&places).unwrap();
        assert_eq!(waiting(&places, &public), 2);
        // With everything but the public key.
        std::fs::remove_file(&public).unwrap();
        assert_eq!(make(&places).unwrap(), public);
        assert_eq!(waiting(&places, &public), 2);
        // What is whole is left alone.
        let images = Images::open(&shelf, None).unwrap();
        let id = images.list()[0].id;
        images.forget(&id).unwrap();
        let key = std::fs::read(&places.maker).unwrap();
        make(&places).unwrap();
        assert_eq!(std::fs::read(&places.maker).unwrap(), key);
        assert_eq!(waiting(&places, &public), 1);
    }
}
