import { Icon } from "../components/icons.tsx";
import { ListPage, useGrowing, useList } from "../components/list-page.tsx";
import { Num } from "../components/number.tsx";
import { Status, shapeOf } from "../components/status.tsx";
import { Table } from "../components/table.tsx";
import { Stamp } from "../components/time.tsx";
import { campaignApi } from "../lib/campaign-api.ts";
import { useLiveEvent, useNow, useTopic } from "../lib/hooks.ts";
import { replaced } from "../lib/rows.ts";
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
  const growing = useGrowing(STEP, MOST);
  const loaded = useList("campaigns", growing, campaignApi.list);
  useTopic("campaigns");
  useLiveEvent<CampaignRow>("campaign", (row) => {
    const known = loaded.data?.rows.some((one) => one.id === row.id) ?? false;
    if (known) loaded.patch((old) => ({ ...old, rows: replaced(old.rows, row) }));
    // One that is new is the first; an older one that is not shown changes nothing here.
    else if (loaded.data?.rows.every((one) => one.id < row.id)) loaded.reload();
  });
  return (
    <ListPage
      of={loaded}
      growing={growing}
      texts={T}
      lead={T.lead}
      icon="radio-tower"
      testid="campaign"
      actions={
        <a class="btn danger-quiet" href="/campaigns/new" data-testid="campaign-new">
          <Icon name="radio-tower" />
          {T.begin}
        </a>
      }
    >
      {(rows) => <List rows={rows} />}
    </ListPage>
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
      <Table
        class="campaign-tbl only-wide"
        sticky
        testid="campaign-table"
        caption={T.caption}
        columns={[
          c.state,
          c.name,
          c.image,
          { text: c.progress, class: "hide-m" },
          { text: c.active, class: "r" },
          { text: c.failed, class: "r" },
          { text: c.begun, class: "r" },
        ]}
      >
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
              <Stamp at={row.created} now={now} />
            </td>
          </tr>
        ))}
      </Table>
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
              <Stamp at={row.created} now={now} />
            </span>
            <Bar counts={row.counts} />
          </li>
        ))}
      </ul>
    </>
  );
}
