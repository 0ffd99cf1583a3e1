import { lazy, Suspense } from "./lib/lazy.tsx";
import { useEffect } from "preact/hooks";
import { StatusShapes } from "./components/icons.tsx";
import { NotFound } from "./components/not-found.tsx";
import { Shell } from "./components/shell.tsx";
import { Failed, Loading } from "./components/states.tsx";
import { Toasts } from "./components/toasts.tsx";
import { api, ApiError, signedOut } from "./lib/api.ts";
import { live } from "./lib/live-client.ts";
import { navigate, place } from "./lib/router.ts";
import { enter, now, session } from "./lib/session.ts";
import { Store, useStore } from "./lib/store.ts";
import { FleetPage } from "./pages/fleet.tsx";
import { SignIn } from "./pages/sign-in.tsx";
import { t } from "./texts/en.ts";
import { network } from "./texts/network.en.ts";
import { orders } from "./texts/orders.en.ts";

const MeterPage = lazy(() => import("./pages/meter.tsx").then((m) => m.MeterPage));
const PathsPage = lazy(() => import("./pages/paths.tsx").then((m) => m.PathsPage));
const DrillPage = lazy(() => import("./pages/paths.tsx").then((m) => m.DrillPage));
const OutletMetersPage = lazy(() => import("./pages/outlets.tsx").then((m) => m.OutletMetersPage));
const OutletMeterPage = lazy(() => import("./pages/outlets.tsx").then((m) => m.OutletMeterPage));
const OutletOrderPage = lazy(() => import("./pages/outlets.tsx").then((m) => m.OutletOrderPage));
const ConcentratorsPage = lazy(() => import("./pages/concentrators.tsx").then((m) => m.ConcentratorsPage));
const ConcentratorPage = lazy(() => import("./pages/concentrators.tsx").then((m) => m.ConcentratorPage));
const SwitchoverPage = lazy(() => import("./pages/concentrators.tsx").then((m) => m.SwitchoverPage));
const CampaignsPage = lazy(() => import("./pages/campaigns.tsx").then((m) => m.CampaignsPage));
const CampaignPage = lazy(() => import("./pages/campaigns.tsx").then((m) => m.CampaignPage));
const NewCampaignPage = lazy(() => import("./pages/campaigns.tsx").then((m) => m.NewCampaignPage));
const ResumePage = lazy(() => import("./pages/campaigns.tsx").then((m) => m.ResumePage));
const OrdersPage = lazy(() => import("./pages/orders.tsx").then((m) => m.OrdersPage));
const OrderPage = lazy(() => import("./pages/orders.tsx").then((m) => m.OrderPage));
const GiveOrderPage = lazy(() => import("./pages/orders.tsx").then((m) => m.GiveOrderPage));
const StatesPage = __STATES__ ? lazy(() => import("./pages/states.tsx").then((m) => m.StatesPage)) : null;

const startFailure = new Store<ApiError | null>(null);
const startedAt = now();

/** Asks once who is signed in. */
function askSession(): void {
  startFailure.set(null);
  api.session().then(enter, (cause: unknown) => {
    const failure = cause instanceof ApiError ? cause : new ApiError("broken", "", "broken", 0, null);
    if (failure.failure === "signed_out") session.set(null);
    else startFailure.set(failure);
  });
}

export function App() {
  const who = useStore(session);
  const { path, query } = useStore(place);
  const ended = useStore(signedOut);
  const failure = useStore(startFailure);

  useEffect(askSession, []);

  useEffect(() => {
    if (ended === 0) return;
    live.stop();
    session.set(null);
  }, [ended]);

  const signedIn = who !== null && who !== undefined;
  useEffect(() => {
    if (!signedIn) return;
    live.start();
    return () => live.stop();
  }, [signedIn]);

  const atSignIn = path === "/sign-in";
  useEffect(() => {
    if (who === null && !atSignIn) {
      const here = location.pathname + location.search;
      navigate(here === "/" ? "/sign-in" : `/sign-in?next=${encodeURIComponent(here)}`, true);
    } else if (signedIn && (atSignIn || path === "/")) {
      navigate("/fleet", true);
    }
  }, [who, path]);

  return (
    <>
      <StatusShapes />
      {who === undefined ? (
        <main class="start">
          <section class="card">
            {failure ? (
              <Failed error={failure} what={t.fleet.what} onRetry={askSession} />
            ) : (
              <Loading what={t.fleet.what} since={startedAt} />
            )}
          </section>
        </main>
      ) : who === null ? (
        atSignIn ? (
          <SignIn query={query} />
        ) : null
      ) : (
        <Page path={path} />
      )}
      <Toasts />
    </>
  );
}

function Page({ path }: { path: string }) {
  if (path === "/" || path === "/sign-in") return null;
  if (path === "/fleet") return <FleetPage />;
  const meter = /^\/meters\/([A-Za-z0-9_]{1,80})(?:\/(profile|registers|events|orders))?\/?$/.exec(path);
  if (meter?.[1]) {
    return (
      <Suspense what={t.meter.what}>
        <MeterPage key={meter[1]} id={meter[1]} tab={meter[2] ?? "overview"} />
      </Suspense>
    );
  }
  const paths = /^\/meters\/([A-Za-z0-9_]{1,80})\/paths(?:\/(drill))?\/?$/.exec(path);
  if (paths?.[1]) {
    return (
      <Suspense what={network.path.what}>
        {paths[2] === undefined ? (
          <PathsPage key={paths[1]} id={paths[1]} />
        ) : (
          <DrillPage key={paths[1]} id={paths[1]} />
        )}
      </Suspense>
    );
  }
  const give = /^\/meters\/([A-Za-z0-9_]{1,80})\/order\/?$/.exec(path);
  if (give?.[1]) {
    return (
      <Suspense what={orders.what}>
        <GiveOrderPage key={give[1]} id={give[1]} />
      </Suspense>
    );
  }
  const order = /^\/orders(?:\/(\d{1,9}))?\/?$/.exec(path);
  if (order) {
    return (
      <Suspense what={orders.what}>
        {order[1] === undefined ? <OrdersPage /> : <OrderPage key={order[1]} number={Number(order[1])} />}
      </Suspense>
    );
  }
  const outlets = /^\/outlet-meters(?:\/(\d{1,9})(?:\/(order))?)?\/?$/.exec(path);
  if (outlets) {
    const id = outlets[1] === undefined ? null : Number(outlets[1]);
    return (
      <Suspense what={id === null ? t.outlets.what : t.outlets.whatOne}>
        {id === null ? (
          <OutletMetersPage />
        ) : outlets[2] === undefined ? (
          <OutletMeterPage key={id} id={id} />
        ) : (
          <OutletOrderPage key={id} id={id} />
        )}
      </Suspense>
    );
  }
  if (/^\/concentrators\/?$/.test(path)) {
    return (
      <Suspense what={network.concentrators}>
        <ConcentratorsPage />
      </Suspense>
    );
  }
  const concentrator = /^\/concentrators\/([A-Za-z0-9_]{1,80})(\/switchover)?\/?$/.exec(path);
  if (concentrator?.[1]) {
    const One = concentrator[2] === undefined ? ConcentratorPage : SwitchoverPage;
    return (
      <Suspense what={network.concentrators}>
        <One key={concentrator[1]} id={concentrator[1]} />
      </Suspense>
    );
  }
  if (/^\/campaigns\/new\/?$/.test(path)) {
    return (
      <Suspense what={network.campaigns}>
        <NewCampaignPage />
      </Suspense>
    );
  }
  const campaigns = /^\/campaigns(?:\/(\d{1,9})(?:\/(resume))?)?\/?$/.exec(path);
  if (campaigns) {
    const id = campaigns[1] === undefined ? null : Number(campaigns[1]);
    return (
      <Suspense what={network.campaigns}>
        {id === null ? (
          <CampaignsPage />
        ) : campaigns[2] === undefined ? (
          <CampaignPage key={id} id={id} />
        ) : (
          <ResumePage key={id} id={id} />
        )}
      </Suspense>
    );
  }
  if (StatesPage && path === "/states") {
    return (
      <Suspense what="the states">
        <StatesPage />
      </Suspense>
    );
  }
  return (
    <Shell
      ownFind
      title={t.notFound.title}
      crumbs={[{ text: t.nav.fleet, href: "/fleet" }, { text: t.notFound.title }]}
    >
      <NotFound />
    </Shell>
  );
}
