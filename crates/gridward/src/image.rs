//! `gridward image`: a maker's keys, signing firmware images and checking them.

use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use clap::{Args, Subcommand, ValueEnum};
use dlms::security::{AwsLc, PublicKey};
use headend::campaigns::{BOUND_FACTOR, Bound, Line, Medium, Settings};
use link::MakerKeyError;
use meter::firmware::BLOCK_LEN;
use model::{IMAGE_LEN_MAX, Image, ImageHeader};
use serde_json::json;

use crate::Outcome;
use crate::failure::Failure;
use crate::output::{Ink, Output};
use crate::text::pad_left;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gridward image keys maker.pem
  gridward image sign firmware.bin --key maker.pem --model smr5 \\
      --identifier \"Gridward 2.0\" --version-number 2 --out firmware.img
  gridward image check firmware.img --key maker.pem.pub --model smr5 --running 1
  gridward meter --listen tcp://127.0.0.1:4059 --maker-key maker.pem.pub
  gridward image plan --meters 1200 --segment s-fsk firmware.img

An image says its model, identifier, version and digest; the maker's signature
is over all of that. docs/firmware.md tells how head end and meters use it.")]
pub(crate) struct ImageOptions {
    #[command(subcommand)]
    command: ImageCommand,
}

/// What can be done with images.
#[derive(Debug, Subcommand)]
enum ImageCommand {
    /// Make a maker's keys: FILE for its owner alone, FILE.pub for meters
    #[command(after_help = "\
Example:
  gridward image keys maker.pem")]
    Keys {
        /// The file to make; one that is there already is left alone
        file: PathBuf,
    },
    /// Sign a firmware: what a meter takes is made of it
    #[command(
        override_usage = "gridward image sign [OPTIONS] --key <FILE> --model <NAME> \\
         --identifier <TEXT> --version-number <N> --out <FILE> <CONTENT>",
        after_help = "\
Example:
  gridward image sign firmware.bin --key maker.pem --model smr5 \\
      --identifier \"Gridward 2.0\" --version-number 2 --out firmware.img"
    )]
    Sign {
        /// The firmware
        content: PathBuf,
        /// The maker's private key
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The model whose meters it is for
        #[arg(long, value_name = "NAME")]
        model: String,
        /// What a meter calls itself with it
        #[arg(long, value_name = "TEXT")]
        identifier: String,
        /// Its version: a meter takes none that is not above what it runs
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        version_number: u32,
        /// Where the image goes
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Check an image as a meter does
    #[command(after_help = "\
Example:
  gridward image check firmware.img --key maker.pem.pub --model smr5 --running 1")]
    Check {
        /// The image
        image: PathBuf,
        /// The maker's public key
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The meter's model [default: the image's]
        #[arg(long, value_name = "NAME")]
        model: Option<String>,
        /// The version that the meter runs
        #[arg(long, value_name = "N", default_value_t = 0)]
        running: u32,
    },
    /// Tell how long a campaign may take on a segment: the bound it is held to
    Plan(PlanOptions),
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gridward image plan firmware.img --meters 1200
  gridward image plan --size 262252 --segment s-fsk --credit 2 --json

Nothing is asked or sent: all of it follows from what a message takes on the
medium. With --json, `settings` is what a campaign over the API is given.")]
struct PlanOptions {
    /// The image
    #[arg(required_unless_present = "size", conflicts_with = "size")]
    image: Option<PathBuf>,
    /// The image's octets, instead of the image
    #[arg(long, value_name = "OCTETS",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(IMAGE_LEN_MAX)))]
    size: Option<u32>,
    /// The medium: S-FSK at 2,400 bit/s, PRIME 1.3.6, G3 in CENELEC A
    #[arg(long, value_enum, default_value_t = Segment::SFsk)]
    segment: Segment,
    /// How often S-FSK frames are repeated
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u8).range(0..=7))]
    credit: u8,
    /// Meters that pass on what goes to the farthest, with PRIME and G3
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u8).range(0..=15))]
    hops: u8,
    /// Meters that share the segment and a broadcast key
    #[arg(long, value_name = "N", default_value_t = 1_200,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    meters: u32,
    /// Thousandths of the blocks of a pass that a meter does not hear
    #[arg(long, value_name = "PERMILLE", default_value_t = 50,
          value_parser = clap::value_parser!(u16).range(0..=500))]
    loss: u16,
    /// How often all blocks are broadcast before any meter is asked
    #[arg(long, value_name = "N", default_value_t = 2,
          value_parser = clap::value_parser!(u8).range(1..=4))]
    passes: u8,
}

/// A medium.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Segment {
    // Without a comment each, which would make the help of this command alone a long one.
    SFsk,
    Prime,
    G3,
}

pub(crate) fn run(options: &ImageOptions, output: &mut Output<'_, '_>) -> Outcome {
    match &options.command {
        ImageCommand::Keys { file } => keys(file, output),
        ImageCommand::Sign {
            content,
            key,
            model,
            identifier,
            version_number,
            out,
        } => {
            let content = read(content)?;
            let header = ImageHeader::new(model, identifier, *version_number, &content)
                .map_err(|error| Failure::new(error.to_string()))?;
            sign(&header, &content, key, out, output)
        }
        ImageCommand::Check {
            image,
            key,
            model,
            running,
        } => check(image, key, model.as_deref(), *running, output),
        ImageCommand::Plan(options) => plan(options, output),
    }
}

fn keys(path: &Path, output: &mut Output<'_, '_>) -> Outcome {
    let beside = make_keys(path)?;
    let (key, public) = (path.display().to_string(), beside.display().to_string());
    if output.json() {
        return output.write_json(&json!({ "key": key, "public_key": public }));
    }
    output.write(&format!(
        "{key}: signs images; keep it where nothing else runs\n{public}: for meters and head ends\n"
    ))
}

/// Makes a maker's keys; tells where the public one is.
pub(crate) fn make_keys(path: &Path) -> Result<PathBuf, Failure> {
    let made = Failure::new("the system gives no random octets");
    let pkcs8 =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| made)?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref())
        .map_err(|_| Failure::new("the key just made is none"))?;
    let public = PublicKey::from_octets(pair.public_key().as_ref())
        .map_err(|error| Failure::new(error.to_string()))?;
    link::save_maker_keys(path, pkcs8.as_ref(), &public).map_err(|error| failure(&error))
}

/// Signs a firmware with the private key in a file.
pub(crate) fn seal(header: &ImageHeader, content: &[u8], key: &Path) -> Result<Vec<u8>, Failure> {
    let pkcs8 = link::load_maker_private_key(key).map_err(|error| failure(&error))?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8)
        .map_err(|_| Failure::new(format!("{} holds no key on P-256", key.display())))?;
    let signature = pair
        .sign(&SystemRandom::new(), &header.to_octets())
        .ok()
        .and_then(|signature| <[u8; 64]>::try_from(signature.as_ref()).ok())
        .ok_or_else(|| Failure::new("the image could not be signed"))?;
    Ok(header.seal(&signature, content))
}

fn sign(
    header: &ImageHeader,
    content: &[u8],
    key: &Path,
    out: &Path,
    output: &mut Output<'_, '_>,
) -> Outcome {
    let image = seal(header, content, key)?;
    std::fs::write(out, &image)
        .map_err(|error| Failure::new(format!("{}: {error}", out.display())))?;
    if output.json() {
        let mut line = described(header);
        if let Some(line) = line.as_object_mut() {
            line.insert("image".to_owned(), json!(out.display().to_string()));
            line.insert("octets".to_owned(), json!(image.len()));
        }
        return output.write_json(&line);
    }
    output.write(&format!(
        "{}: {} octets, {} version {} for {}\n",
        out.display(),
        image.len(),
        header.identifier(),
        header.version(),
        header.model()
    ))
}

fn check(
    path: &Path,
    key: &Path,
    model: Option<&str>,
    running: u32,
    output: &mut Output<'_, '_>,
) -> Outcome {
    let maker = link::load_maker_key(key).map_err(|error| failure(&error))?;
    let octets = read(path)?;
    let at = |error: model::ImageError| Failure::new(format!("{}: {error}", path.display()));
    let image = Image::parse(&octets).map_err(at)?;
    let header = image.header();
    let _signed = image
        .admit(
            &AwsLc,
            &maker,
            model.unwrap_or_else(|| header.model()),
            running,
        )
        .map_err(at)?;
    if output.json() {
        return output.write_json(&described(header));
    }
    let style = output.style();
    output.write(&format!(
        "{}: the maker signed it\n  {} version {} for {}, {} octets\n",
        style.paint(Ink::Value, &path.display().to_string()),
        header.identifier(),
        header.version(),
        header.model(),
        header.length()
    ))
}

fn plan(options: &PlanOptions, output: &mut Output<'_, '_>) -> Outcome {
    let size = match (&options.image, options.size) {
        (Some(path), _) => {
            let octets = read(path)?;
            let at =
                |error: model::ImageError| Failure::new(format!("{}: {error}", path.display()));
            Image::parse(&octets).map_err(at)?;
            u32::try_from(octets.len()).unwrap_or(IMAGE_LEN_MAX)
        }
        (None, size) => size.unwrap_or(IMAGE_LEN_MAX),
    };
    let (medium, name) = match options.segment {
        Segment::SFsk => (Medium::SFsk, "S-FSK"),
        Segment::Prime => (Medium::Prime, "PRIME"),
        Segment::G3 => (Medium::G3, "G3"),
    };
    let line = Line {
        medium,
        credit: options.credit,
        hops: options.hops,
        loss_permille: options.loss,
    };
    let bound = Bound::of(&line, options.meters, size, BLOCK_LEN, options.passes);
    let pace_ms = line.pace_ms(BLOCK_LEN);
    if output.json() {
        let settings = Settings {
            passes: options.passes,
            pace_ms,
            line: Some(line),
            ..Settings::default()
        };
        return output.write_json(&json!({
            "meters": options.meters,
            "image_octets": size,
            "block_octets": BLOCK_LEN,
            "blocks": bound.blocks,
            "pass_s": bound.pass_s,
            "passes_s": bound.passes_s,
            "association_s": bound.association_s,
            "bitmap_s": bound.bitmap_s,
            "round_s": bound.round_s,
            "rounds_s": bound.rounds_s,
            "repair_s": bound.repair_s,
            "alone_s": bound.alone_s,
            "bound_s": bound.all_s,
            "factor": BOUND_FACTOR,
            "allowed_s": bound.all_s * BOUND_FACTOR,
            "unicast_s": bound.unicast_s,
            "settings": settings,
        }));
    }
    let way = match options.segment {
        Segment::SFsk => format!("credit {}", options.credit),
        Segment::Prime | Segment::G3 => format!("{} hops", options.hops),
    };
    let mut text = format!(
        "{name}, {way}, {} meters; {size} octets in {} blocks of {BLOCK_LEN}\n\
         each meter does not hear {:.1} % of the blocks of a pass\n\n",
        options.meters,
        bound.blocks,
        f64::from(options.loss) / 10.0,
    );
    let passes = format!(
        "{} passes of all blocks, before any meter is asked",
        options.passes
    );
    let allowed = format!("what a campaign may take, {BOUND_FACTOR} of it");
    let rows = [
        (passes.as_str(), bound.passes_s),
        ("two rounds of reading every meter's bitmap", bound.rounds_s),
        ("what anybody lacks, broadcast once more", bound.repair_s),
        ("what is lacking then, to each meter alone", bound.alone_s),
        ("bound", bound.all_s),
        (allowed.as_str(), bound.all_s * BOUND_FACTOR),
        ("all blocks to each meter alone, instead", bound.unicast_s),
    ];
    for (what, seconds) in rows {
        let seconds_text = pad_left(&format!("{seconds:.0} s"), 14);
        text += &format!("{what:<52}{seconds_text}{}\n", pad_left(&span(seconds), 14));
    }
    text += &format!(
        "\nReading a bitmap takes {:.2} s, the association around it {:.2} s.\n\
         For the campaign: \"pace_ms\": {pace_ms}\n",
        bound.bitmap_s, bound.association_s
    );
    output.write(&text)
}

/// A time in the unit that people would choose.
fn span(seconds: f64) -> String {
    if seconds < 7_200.0 {
        format!("{:.1} min", seconds / 60.0)
    } else if seconds < 172_800.0 {
        format!("{:.2} h", seconds / 3_600.0)
    } else {
        format!("{:.1} days", seconds / 86_400.0)
    }
}

fn described(header: &ImageHeader) -> serde_json::Value {
    json!({
        "model": header.model(),
        "identifier": header.identifier(),
        "version": header.version(),
        "content_octets": header.length(),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let at = |error| Failure::new(format!("{}: {error}", path.display()));
    let length = std::fs::metadata(path).map_err(at)?.len();
    if length > u64::from(IMAGE_LEN_MAX) {
        return Err(Failure::new(format!(
            "{}: an image has at most {IMAGE_LEN_MAX} octets",
            path.display()
        )));
    }
    std::fs::read(path).map_err(at)
}

fn failure(error: &MakerKeyError) -> Failure {
    Failure::new(error.to_string())
}
