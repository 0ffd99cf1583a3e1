//! An AS that is known by its daemon or its endhost API, and the paths that it
//! tells.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use scion::address::IsdAs;
use scion::choice::MAX_PATHS;
use scion::daemon::{self, Route};
use scion::session::{Role, Session};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::ScionError;
use super::drkey::{DrkeySource, Drkeys};
use super::endhost;
use super::grpc::call;
use crate::SystemClock;

/// How long a daemon may take: it asks other ASes itself. Less than the ten
/// seconds that a client waits for a connection, so that an error names the
/// daemon.
const CALL_LIMIT: Duration = Duration::from_secs(8);

/// How often paths are asked for anew: segments live for hours, new ones come
/// within minutes.
const REFRESH: Duration = Duration::from_secs(60);

/// How long it is waited after a question that failed or found nothing, and at
/// least between two questions.
const AGAIN: Duration = Duration::from_secs(2);

/// How long a path is kept that the daemon no longer tells: as long as segments
/// live as a rule. It leaves out what somebody reported as down, for a while, and
/// tells none at all some minutes after its AS's control service has stopped,
/// which keeps no packet from crossing; what is down is found out by trying, and
/// a path that has ended is never taken.
const KEPT: Duration = Duration::from_secs(6 * 3_600);

/// ASes whose paths are known at once; more are refused.
const DESTINATIONS_MAX: usize = 256;

/// Questions to a daemon at once.
const CALLS_MAX: usize = 8;

/// What is known of the paths to an AS.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// Nothing yet.
    Asked,
    /// These.
    Paths(Arc<Vec<Route>>),
    /// Nothing, and why.
    Failed(Arc<str>),
}

/// The paths to one AS, as they become known.
pub(super) struct Feed {
    known: watch::Receiver<Known>,
    keeper: Arc<Keeper>,
}

impl Feed {
    /// Waits until something is known.
    pub(super) async fn first(&mut self) -> Known {
        let known = self
            .known
            .wait_for(|known| !matches!(known, Known::Asked))
            .await;
        known.map_or(Known::Asked, |known| known.clone())
    }

    /// Gives the paths where they were told anew since the last call.
    pub(super) fn news(&mut self) -> Option<Arc<Vec<Route>>> {
        if !self.known.has_changed().unwrap_or(false) {
            return None;
        }
        match &*self.known.borrow_and_update() {
            Known::Paths(routes) => Some(Arc::clone(routes)),
            Known::Asked | Known::Failed(_) => None,
        }
    }

    /// Gives the paths that are known.
    pub(super) fn paths(&mut self) -> Option<Arc<Vec<Route>>> {
        match &*self.known.borrow_and_update() {
            Known::Paths(routes) => Some(Arc::clone(routes)),
            Known::Asked | Known::Failed(_) => None,
        }
    }

    /// Has the paths asked for anew soon: those that are known fail.
    pub(super) fn hurry(&self) {
        self.keeper.wish.notify_one();
    }
}

/// Keeps the task that asks for the paths to an AS.
struct Keeper {
    wish: Arc<Notify>,
    task: Option<AbortHandle>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Who keeps the paths to an AS fresh, and what is known of them.
#[derive(Debug)]
struct Kept {
    keeper: Weak<Keeper>,
    known: watch::Receiver<Known>,
    told: Arc<Mutex<Told>>,
}

/// An AS that is known by its daemon.
#[derive(Debug)]
pub(super) struct Attachment {
    daemon: Arc<str>,
    isd_as: IsdAs,
    calls: Arc<Semaphore>,
    destinations: Mutex<BTreeMap<IsdAs, Kept>>,
    keys: Arc<Drkeys>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

impl Attachment {
    /// Asks a daemon, or an endhost API, which AS it is of.
    pub(super) async fn open(daemon: &str, keys: Arc<Drkeys>) -> Result<Arc<Self>, ScionError> {
        let error = |why: String| ScionError::Daemon {
            at: daemon.into(),
            why: why.into(),
        };
        let isd_as = if endhost::is_api(daemon) {
            let routers = in_time(endhost::routers(daemon)).await;
            routers.map_err(error)?.0
        } else {
            let answer = ask(daemon, "AS", &daemon::as_request()).await;
            let answer = answer.map_err(error)?;
            daemon::as_answer(&answer).map_err(|why| error(why.to_string()))?
        };
        Ok(Arc::new(Self {
            daemon: daemon.into(),
            isd_as,
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            destinations: Mutex::new(BTreeMap::new()),
            keys,
        }))
    }

    /// Tells where keys with a peer come from.
    pub(super) fn drkeys(&self, session: &Session) -> DrkeySource {
        DrkeySource {
            keys: Arc::clone(&self.keys),
            daemon: Arc::clone(&self.daemon),
            local: session.local(),
            remote: session.remote(),
            issues: session.role() == Role::Asks,
        }
    }

    pub(super) const fn isd_as(&self) -> IsdAs {
        self.isd_as
    }

    pub(super) fn daemon(&self) -> &str {
        &self.daemon
    }

    pub(super) fn error(&self, why: &str) -> ScionError {
        ScionError::Daemon {
            at: self.daemon().into(),
            why: why.into(),
        }
    }

    /// Gives the paths to an AS; they are asked for as long as somebody keeps
    /// what this gives. Those that were told to somebody before are known where
    /// the daemon tells no more.
    pub(super) fn paths(&self, to: IsdAs) -> Result<Feed, ScionError> {
        let mut all = self
            .destinations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = all.get(&to)
            && let Some(keeper) = kept.keeper.upgrade()
        {
            return Ok(Feed {
                known: kept.known.clone(),
                keeper,
            });
        }
        let told = all.remove(&to).map(|kept| kept.told).unwrap_or_default();
        if all.len() >= DESTINATIONS_MAX {
            all.retain(|_, kept| kept.keeper.strong_count() > 0);
        }
        if all.len() >= DESTINATIONS_MAX {
            return Err(ScionError::Busy);
        }
        let wish = Arc::new(Notify::new());
        let (keeper, known) = if to == self.isd_as {
            let within = Known::Paths(Arc::new(vec![Route::within(to)]));
            (Keeper { wish, task: None }, watch::channel(within).1)
        } else {
            let (tell, known) = watch::channel(Known::Asked);
            let asking = Asking {
                daemon: Arc::clone(&self.daemon),
                from: self.isd_as,
                to,
                calls: Arc::clone(&self.calls),
                wish: Arc::clone(&wish),
                told: Arc::clone(&told),
                tell,
            };
            let task = tokio::spawn(asking.run()).abort_handle();
            let task = Some(task);
            (Keeper { wish, task }, known)
        };
        let keeper = Arc::new(keeper);
        let kept = Kept {
            keeper: Arc::downgrade(&keeper),
            known: known.clone(),
            told,
        };
        all.insert(to, kept);
        Ok(Feed { known, keeper })
    }
}

/// Asks for the paths to an AS again and again.
struct Asking {
    daemon: Arc<str>,
    from: IsdAs,
    to: IsdAs,
    calls: Arc<Semaphore>,
    wish: Arc<Notify>,
    told: Arc<Mutex<Told>>,
    tell: watch::Sender<Known>,
}

impl Asking {
    /// Adds an answer to what was told before; gives all that has not ended.
    fn with(&self, routes: Vec<Route>) -> Vec<Route> {
        let now = super::unix(&SystemClock::new());
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.with(routes, now)
    }

    async fn run(self) {
        let (mut refresh, mut failing) = (false, false);
        loop {
            let asked = self.once(refresh).await;
            let pause = match asked {
                Ok(routes) => {
                    failing = false;
                    let pause = if routes.is_empty() { AGAIN } else { REFRESH };
                    let routes = self.with(routes);
                    self.tell.send_replace(Known::Paths(Arc::new(routes)));
                    pause
                }
                Err(why) => {
                    let (to, at) = (self.to, &self.daemon);
                    if !failing {
                        tracing::warn!(%to, %at, why, "the daemon tells no paths");
                    }
                    failing = true;
                    // Those that were told stay until they end; telling them
                    // again has their ends looked at.
                    let kept = self.with(Vec::new());
                    self.tell.send_replace(match kept.is_empty() {
                        true => Known::Failed(why.into()),
                        false => Known::Paths(Arc::new(kept)),
                    });
                    AGAIN
                }
            };
            tokio::time::sleep(AGAIN).await;
            refresh = tokio::time::timeout(pause.saturating_sub(AGAIN), self.wish.notified())
                .await
                .is_ok();
        }
    }

    async fn once(&self, refresh: bool) -> Result<Vec<Route>, String> {
        let _permit = self.calls.acquire().await.map_err(|why| why.to_string())?;
        if endhost::is_api(&self.daemon) {
            let routes = endhost::routes(&self.daemon, self.from, self.to);
            return in_time(routes).await;
        }
        let request = daemon::paths_request(self.from, self.to, refresh);
        let answer = ask(&self.daemon, "Paths", &request).await?;
        let (routes, left_out) =
            daemon::paths_answer(&answer, self.from, self.to).map_err(|why| why.to_string())?;
        if left_out > 0 {
            tracing::info!(left_out, to = %self.to, "the daemon told paths that cannot be used");
        }
        tracing::debug!(paths = routes.len(), to = %self.to, "the daemon told paths");
        Ok(routes)
    }
}

/// What the daemon told, and when it did so last.
#[derive(Debug, Default)]
struct Told(Vec<(Route, Instant)>);

impl Told {
    /// Adds an answer; gives its paths, then those that are kept: none that has ended by `unix`,
    /// in seconds since 1970.
    #[expect(
        clippy::disallowed_methods,
        reason = "how long ago something was told is held against tokio's clock, as its timers are"
    )]
    fn with(&mut self, routes: Vec<Route>, unix: u64) -> Vec<Route> {
        let now = Instant::now();
        self.0.retain(|(old, at)| {
            let known = old.path.fingerprint();
            now.duration_since(*at) < KEPT
                && !old.path.has_ended(unix)
                && routes.iter().all(|new| new.path.fingerprint() != known)
        });
        let told = routes.into_iter().map(|route| (route, now));
        self.0.splice(0..0, told);
        self.0.truncate(MAX_PATHS);
        self.0.iter().map(|(route, _)| route.clone()).collect()
    }
}

pub(super) async fn ask(at: &str, method: &str, request: &[u8]) -> Result<Vec<u8>, String> {
    if endhost::is_api(at) {
        return Err("an endhost API has no keys: name the AS's daemon".to_owned());
    }
    let call = call(at, daemon::SERVICE, method, request, daemon::MAX_ANSWER);
    in_time(async { call.await.map_err(|why| why.to_string()) }).await
}

async fn in_time<T>(call: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let answer = tokio::time::timeout(CALL_LIMIT, call).await;
    answer.unwrap_or_else(|_| Err(format!("no answer within {} s", CALL_LIMIT.as_secs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_path_that_is_no_longer_told_is_kept_for_a_while() {
        let route = |number: u64| Route::within(IsdAs::from_u64(number));
        let mut told = Told::default();
        // Ways within an AS have one fingerprint: the newer takes the place.
        assert_eq!(told.with(vec![route(1)], 7), [route(1)]);
        assert_eq!(told.with(vec![route(2)], 7), [route(2)]);
        tokio::time::advance(KEPT / 2).await;
        assert_eq!(told.with(Vec::new(), 7), [route(2)]);
        tokio::time::advance(KEPT / 2).await;
        assert!(told.with(Vec::new(), 7).is_empty());
        // And none that has ended.
        let mut ends = route(3);
        ends.path.expiry = Some(100);
        assert_eq!(told.with(vec![ends.clone()], 98), [ends.clone()]);
        assert_eq!(told.with(Vec::new(), 99), [ends]);
        assert!(told.with(Vec::new(), 100).is_empty());
    }
}
