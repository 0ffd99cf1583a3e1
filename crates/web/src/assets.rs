//! The pages, embedded in the binary.

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rust_embed::{EmbeddedFile, RustEmbed};

/// The folder `ui/dist`, or a page that says how to build it.
#[derive(RustEmbed)]
#[folder = "$GRIDWARD_UI_DIST"]
struct HeadEnd;

/// The folder `ui/dist-home`, or a page that says how to build it.
#[derive(RustEmbed)]
#[folder = "$GRIDWARD_HOME_DIST"]
struct Home;

/// Whose pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// The head end's.
    HeadEnd,
    /// The home gateway's.
    Home,
}

impl Pages {
    fn get(self, path: &str) -> Option<EmbeddedFile> {
        match self {
            Self::HeadEnd => HeadEnd::get(path),
            Self::Home => Home::get(path),
        }
    }
}

const INDEX: &str = "index.html";

/// Serves a file; paths without a file extension are the pages' own, and get their index.
#[must_use]
pub fn asset(pages: Pages, method: &Method, path: &str, headers: &HeaderMap) -> Response {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let path = path.trim_start_matches('/');
    let is_page = !path.rsplit('/').next().unwrap_or_default().contains('.');
    let path = if is_page { INDEX } else { path };
    // A compressed twin is for those who accept it, not to be asked for by name.
    let is_twin = path.ends_with(".br") || path.ends_with(".gz");
    let Some(file) = pages.get(path).filter(|_| !is_twin) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let (file, encoding) = compressed(pages, path, headers).unwrap_or((file, None));
    let digest = file.metadata.sha256_hash();
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(digest));
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains(&tag));
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = HeaderValue::from_static(kind(path));
        ([(header::CONTENT_TYPE, kind)], file.data).into_response()
    };
    let out = response.headers_mut();
    // What the build put under a name with a digest never changes under this name.
    let cache = if path.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        out.insert(header::ETAG, tag);
    }
    if let Some(encoding) = encoding {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

fn compressed(
    pages: Pages,
    path: &str,
    headers: &HeaderMap,
) -> Option<(EmbeddedFile, Option<&'static str>)> {
    let accepted = headers.get(header::ACCEPT_ENCODING)?.to_str().ok()?;
    let accepts = |encoding: &str| {
        accepted.split(',').any(|offer| {
            let (name, weight) = offer.split_once(';').unwrap_or((offer, ""));
            name.trim() == encoding && !matches!(weight.trim(), "q=0" | "q=0.0")
        })
    };
    [("br", "br"), ("gzip", "gz")]
        .into_iter()
        .filter(|(encoding, _)| accepts(encoding))
        .find_map(|(encoding, end)| {
            pages
                .get(&format!("{path}.{end}"))
                .map(|file| (file, Some(encoding)))
        })
}

fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
