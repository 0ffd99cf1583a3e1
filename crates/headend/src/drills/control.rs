//! The control of a simulated network, as `gridward sim scion --control` serves it over HTTP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Method, Request, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an order to the control may take.
const ANSWER: Duration = Duration::from_secs(5);

/// Octets of an answer.
const ANSWER_MAX: usize = 256 * 1_024;

/// Links that are looked at.
const LINKS_MAX: usize = 1_024;

/// Cuts and mends links.
#[derive(Clone, Copy, Debug)]
pub(super) struct Control(pub(super) SocketAddr);

/// A link as the control tells it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SimulatedLink {
    /// Names it by one of its ends: `1-ff00:0:110#1`.
    pub link: String,
    /// Names its other end.
    pub to: String,
    /// Holds the time one way that daemons tell of it, in milliseconds.
    pub latency_ms: u64,
    /// Says `up` or `down`.
    pub state: String,
}

impl SimulatedLink {
    /// Says whether it is cut.
    pub fn is_down(&self) -> bool {
        self.state != "up"
    }

    /// Says whether one of its ends has this name.
    pub fn ends_at(&self, end: &str) -> bool {
        self.link == end || self.to == end
    }
}

/// Why the control did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// It cannot be reached, or does not answer in time.
    #[error("the control does not answer")]
    Io(#[from] io::Error),
    /// Its answer is cut off, or none of HTTP.
    #[error("what answers there speaks no HTTP")]
    Ask(#[from] link::AskError),
    /// It refuses, with this status.
    #[error("the control refuses with status {0}")]
    Refused(u16),
    /// Its answer is none of a simulated network.
    #[error("what answers there is no control of a simulated network")]
    Strange,
}

#[derive(Deserialize)]
struct Told {
    links: Vec<SimulatedLink>,
}

impl Control {
    /// Tells the links as they are.
    pub(super) async fn links(self) -> Result<Vec<SimulatedLink>, ControlError> {
        self.ask(Method::GET, "/", None).await
    }

    /// Cuts a link; after `seconds` it mends by itself, whatever becomes of us.
    pub(super) async fn cut(
        self,
        link: &str,
        silent: bool,
        seconds: u16,
    ) -> Result<(), ControlError> {
        let how = if silent { "silent" } else { "loud" };
        let order = json!({ "link": link, "how": how, "mend_after_s": seconds });
        let told = self.ask(Method::POST, "/down", Some(&order)).await?;
        let is_cut = told.iter().any(|it| it.ends_at(link) && it.is_down());
        is_cut.then_some(()).ok_or(ControlError::Strange)
    }

    /// Mends a link.
    pub(super) async fn mend(self, link: &str) -> Result<(), ControlError> {
        let order = json!({ "link": link });
        self.ask(Method::POST, "/up", Some(&order))
            .await
            .map(|_| ())
    }

    async fn ask(
        self,
        method: Method,
        path: &str,
        order: Option<&Value>,
    ) -> Result<Vec<SimulatedLink>, ControlError> {
        let body = order.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.0.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Bytes::from(body))
            .map_err(|_| ControlError::Strange)?;
        let exchange = async {
            let stream = TcpStream::connect(self.0).await?;
            Ok::<_, ControlError>(link::ask(stream, None, request, ANSWER_MAX).await?)
        };
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        let answer = timeout(ANSWER, exchange).await.map_err(late)??;
        read(answer.status(), answer.body())
    }
}

/// Takes an answer apart.
fn read(status: StatusCode, body: &[u8]) -> Result<Vec<SimulatedLink>, ControlError> {
    if status != StatusCode::OK {
        return Err(ControlError::Refused(status.as_u16()));
    }
    let told: Told = serde_json::from_slice(body).map_err(|_| ControlError::Strange)?;
    if told.links.len() > LINKS_MAX {
        return Err(ControlError::Strange);
    }
    Ok(told.links)
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use super::*;

    #[test]
    fn only_an_answer_of_a_simulated_network_is_one() {
        let link = r#"{"link": "1-ff00:0:110#1", "to": "2-ff00:0:210#1", "latency_ms": 5,
                       "state": "up", "packets": 3}"#;
        let whole = format!("{{\"links\": [{link}], \"astray\": 0}}");
        let links = read(StatusCode::OK, whole.as_bytes()).unwrap();
        assert_eq!(links.len(), 1);
        assert!(links[0].ends_at("2-ff00:0:210#1") && !links[0].is_down());
        for strange in ["", "{}", "{\"links\": [{\"link\": 1}]}"] {
            let refused = read(StatusCode::OK, strange.as_bytes());
            assert!(matches!(refused, Err(ControlError::Strange)), "{strange:?}");
        }
        let refused = read(StatusCode::NOT_FOUND, b"{\"error\": \"no\"}");
        assert!(matches!(refused, Err(ControlError::Refused(404))));
    }
}
