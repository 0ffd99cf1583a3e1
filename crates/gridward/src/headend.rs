//! `gridward headend`: the head end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::headend::{Config, HeadEnd, LinkAccess, Options};
use dlms::security::SystemTitle;
use serde_json::json;

use crate::Outcome;
use crate::cli::HeadendOptions;
use crate::config;
use crate::failure::Failure;
use crate::output::Output;
use crate::process::{
    WallClock, asked_to_end, block_on, make_private_folder, state_folder, surroundings,
};

pub(crate) fn run(options: &HeadendOptions, output: &mut Output<'_, '_>) -> Outcome {
    let mut settings = match &options.config {
        Some(file) => config::load(file)?.headend,
        None => Config::default(),
    };
    if let Some(listen) = options.listen {
        settings.listen = listen;
    }
    let data = match &options.data {
        Some(folder) => folder.clone(),
        None => state_folder("headend")?,
    };
    make_private_folder(&data)?;
    block_on(serve(settings, data, options.until_eof, output))
}

async fn serve(
    settings: Config,
    data: PathBuf,
    until_eof: bool,
    output: &mut Output<'_, '_>,
) -> Outcome {
    let with = surroundings();
    let title = own_title(&data, &*with.entropy)?;
    let timeout = Duration::from_secs(u64::from(settings.collector.timeout_s));
    let clock: Arc<dyn ::headend::Clock> = Arc::new(WallClock(Arc::clone(&with.clock)));
    let for_access = Arc::clone(&clock);
    let options = Options {
        config: settings,
        data: data.clone(),
        clock,
        access: move |store, keys| {
            let access = LinkAccess::new(store, keys, for_access, with, title, timeout);
            Arc::new(access) as Arc<dyn ::headend::collector::MeterAccess>
        },
    };
    let (head_end, token) = HeadEnd::start(options)
        .await
        .map_err(|error| Failure::new(crate::failure::chain(&error)))?;
    let url = format!("http://{}/", head_end.address());
    if output.json() {
        let token = token.as_ref().map(|token| token.as_str());
        output.write_json(&json!({ "url": url, "token": token, "data": data }))?;
    } else {
        output.write(&format!("head end   {url}\n"))?;
        match &token {
            Some(token) => output.write(&format!(
                "sign in    {}\n           This token is shown once: keep it.\n",
                token.as_str()
            ))?,
            None => output.write("sign in    with the token of the first start\n")?,
        }
    }
    output.flush()?;
    drop(token);
    let ended = asked_to_end(until_eof).await;
    head_end.stop().await;
    ended
}

/// Takes the head end's own system title, or draws one: with the keys it makes
/// every nonce, so it stays the same for ever.
fn own_title(data: &Path, entropy: &dyn link::Entropy) -> Result<SystemTitle, Failure> {
    let path = data.join("system_title");
    let broken = |error: std::io::Error| Failure::new(format!("{}: {error}", path.display()));
    if path.exists() {
        let text = std::fs::read_to_string(&path).map_err(broken)?;
        return link::parse_hex(&text)
            .and_then(|octets| SystemTitle::from_slice(&octets))
            .ok_or_else(|| {
                Failure::new(format!("{} holds no system title", path.display()))
                    .hint("it is 16 hexadecimal digits; without the right one no meter answers")
            });
    }
    let mut octets = *b"GWH\0\0\0\0\0";
    if let Some(tail) = octets.last_chunk_mut::<5>() {
        entropy.fill(tail).map_err(broken)?;
    }
    let title = SystemTitle(octets);
    let draft = data.join("system_title.new");
    std::fs::write(&draft, format!("{title}\n"))
        .and_then(|()| std::fs::File::open(&draft)?.sync_all())
        .and_then(|()| std::fs::rename(&draft, &path))
        .map_err(broken)?;
    Ok(title)
}
