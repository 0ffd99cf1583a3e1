import { useState } from "preact/hooks";
import { FirstSteps } from "../components/first-steps.tsx";
import { Icon } from "../components/icons.tsx";
import { Num } from "../components/number.tsx";
import { Shell } from "../components/shell.tsx";
import { Load, Skeleton } from "../components/states.tsx";
import { Status, shapeOf } from "../components/status.tsx";
import { Time } from "../components/time.tsx";
import { campaignApi } from "../lib/campaign-api.ts";
import { useLiveEvent, useLoad, useNow, useTopic } from "../lib/hooks.ts";
import { parse } from "../lib/time.ts";
import type { CampaignRow } from "../lib/types.ts";
import { campaigns as T } from "../texts/campaigns.en.ts";
import { Bar } from "./campaigns/parts.tsx";

export { NewCampaignPage } from "./campaigns/new.tsx";
export { CampaignPage } from "./campaigns/page.tsx";
export { ResumePage } from "./campaigns/resume.tsx";

const STEP = 50;
const MOST = 200;

/** All campaigns, the newest first. */
export function CampaignsPage() {
  const [limit, setLimit] = useState(STEP);
  const loaded = useLoad(`campaigns/${limit}`, (signal) => campaignApi.list(limit, signal));
  useTopic("campaigns");
  useLiveEvent<CampaignRow>("campaign", (row) => {
    const known = loaded.data?.rows.some((one) => one.id === row.id) ?? false;
    if (known)
      loaded.patch((old) => ({ ...old, rows: old.rows.map((one) => (one.id === row.id ? row : one)) }));
    // One that is new is the first; an older one that is not shown changes nothing here.
    else if (loaded.data?.rows.every((one) => one.id < row.id)) loaded.reload();
  });
  const list = loaded.data;
  return (
    <Shell title={T.title} crumbs={[{ text: T.title }]}>
      <div class="head">
        <div>
          <h1 tabIndex={-1}>{T.title}</h1>
          <p class="lead">
            {list ? <span>{T.count(list.total)}</span> : <span class="skel w4" />}
            <span class="t3">{T.lead}</span>
          </p>
        </div>
        <div class="actions">
          <a class="btn danger-quiet" href="/campaigns/new" data-testid="campaign-new">
            <Icon name="radio-tower" />
            {T.begin}
          </a>
        </div>
      </div>
      {list !== null && list.total === 0 ? (
        <FirstSteps texts={T}>
          <Icon name="radio-tower" />
        </FirstSteps>
      ) : (
        <section class="card" aria-label={T.title} data-testid="campaign-list">
          <Load
            of={loaded}
            what={T.what}
            shape={
              <div class="pad">
                <Skeleton lines={5} />
              </div>
            }
          >
            {(data) => (
              <>
                <List rows={data.rows} />
                {data.total > data.rows.length && limit < MOST ? (
                  <p class="list-note">
                    <button
                      type="button"
                      class="btn sm"
                      onClick={() => setLimit((old) => Math.min(MOST, old + STEP))}
                      data-testid="campaign-more"
                    >
                      {T.more}
                    </button>
                  </p>
                ) : null}
              </>
            )}
          </Load>
        </section>
      )}
    </Shell>
  );
}

function Failed({ row }: { row: CampaignRow }) {
  return row.counts.failed > 0 ? (
    <Status shape="crit">
      <Num text={String(row.counts.failed)} />
    </Status>
  ) : (
    <Num text="0" />
  );
}

function List({ rows }: { rows: CampaignRow[] }) {
  const now = useNow(10_000);
  const c = T.columns;
  return (
    <>
      <table class="tbl campaign-tbl only-wide" data-testid="campaign-table">
        <caption class="vh">{T.caption}</caption>
        <thead>
          <tr>
            <th scope="col">{c.state}</th>
            <th scope="col">{c.name}</th>
            <th scope="col">{c.image}</th>
            <th scope="col" class="hide-m">
              {c.progress}
            </th>
            <th scope="col" class="r">
              {c.active}
            </th>
            <th scope="col" class="r">
              {c.failed}
            </th>
            <th scope="col" class="r">
              {c.begun}
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.id} data-testid="campaign-row" data-id={row.id} data-state={row.state}>
              <td>
                <Status shape={shapeOf(row.state)}>{row.state_text}</Status>
              </td>
              <th scope="row" class="clip name">
                <a href={`/campaigns/${row.id}`}>{row.name}</a>
              </th>
              <td class="t2 clip">
                {row.image.identifier}, {T.version(row.image.version)}
              </td>
              <td class="hide-m">
                <Bar counts={row.counts} />
              </td>
              <td class="r">
                <Num text={String(row.counts.active)} />
                <span class="u">{T.of(String(row.counts.meters))}</span>
              </td>
              <td class="r">
                <Failed row={row} />
              </td>
              <td class="r t2">
                <Begun row={row} now={now} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <ul class="cards campaign-cards only-narrow" data-testid="campaign-cards">
        {rows.map((row) => (
          <li key={row.id} data-testid="campaign-row" data-id={row.id} data-state={row.state}>
            <a class="a cut-off" href={`/campaigns/${row.id}`}>
              {row.name}
            </a>
            <span class="e">
              <Num text={String(row.counts.active)} />
              <span class="u">{T.of(String(row.counts.meters))}</span>
            </span>
            <span class="b">
              <Status shape={shapeOf(row.state)}>{row.state_text}</Status>
            </span>
            <span class="b e">
              <Begun row={row} now={now} />
            </span>
            <Bar counts={row.counts} />
          </li>
        ))}
      </ul>
    </>
  );
}

function Begun({ row, now }: { row: CampaignRow; now: number }) {
  const at = parse(row.created);
  return at === null ? null : <Time at={at} now={now} />;
}
