import { ListPage, useGrowing, useList } from "../components/list-page.tsx";
import { NoValue, Num } from "../components/number.tsx";
import { Notice } from "../components/states.tsx";
import { Status, shapeOf } from "../components/status.tsx";
import { Table } from "../components/table.tsx";
import { Stamp } from "../components/time.tsx";
import { api } from "../lib/api.ts";
import { percent } from "../lib/format.ts";
import { useLiveEvent, useNow, useTopic } from "../lib/hooks.ts";
import { useQuery } from "../lib/router.ts";
import { replaced } from "../lib/rows.ts";
import type { ConcentratorRow } from "../lib/types.ts";
import { concentrators as T } from "../texts/concentrators.en.ts";
import { t } from "../texts/en.ts";

export { ConcentratorPage } from "./concentrators/page.tsx";
export { SwitchoverPage } from "./concentrators/switchover.tsx";

const STEP = 100;
const MOST = 500;

/** All concentrators, those that need a person first. */
export function ConcentratorsPage() {
  const [query, change] = useQuery();
  const q = query.get("q") ?? "";
  const growing = useGrowing(STEP, MOST);
  const loaded = useList(`concentrators/${q}`, growing, (limit, signal) =>
    api.concentrators(q, limit, signal),
  );
  useTopic("concentrators");
  useLiveEvent<ConcentratorRow>("concentrator", (row) => {
    loaded.patch((old) => ({ ...old, rows: replaced(old.rows, row) }));
  });
  return (
    <ListPage
      of={loaded}
      growing={growing}
      texts={T}
      lead={T.lead}
      icon="network"
      testid="conc"
      toolbar={
        <div class="toolbar">
          <input
            class="input filter"
            type="search"
            aria-label={T.filter}
            placeholder={T.filter}
            value={q}
            onInput={(event) => {
              growing.reset();
              change({ q: event.currentTarget.value });
            }}
            data-testid="conc-filter"
          />
        </div>
      }
      noMatch={
        q === "" ? null : (
          <Notice
            kind="nomatch"
            icon="search-x"
            title={t.state.noMatchTitle}
            text={T.noMatch(q)}
            actions={
              <button type="button" class="btn" onClick={() => change({ q: "" })}>
                {t.state.clear}
              </button>
            }
          />
        )
      }
    >
      {(rows) => <List rows={rows} />}
    </ListPage>
  );
}

export function mediaText(media: string[]): string {
  return media.map((one) => T.medium[one] ?? one).join(", ");
}

function There({ row }: { row: ConcentratorRow }) {
  if (row.there === null || row.meters === null) return <NoValue />;
  return (
    <>
      <Num text={String(row.there)} />
      <span class="u">{T.of(String(row.meters))}</span>
    </>
  );
}

function AsOf({ row, now }: { row: ConcentratorRow; now: number }) {
  return <Stamp at={row.as_of} now={now} none={<span class="t3">{T.never}</span>} />;
}

function List({ rows }: { rows: ConcentratorRow[] }) {
  const now = useNow(5_000);
  const c = T.columns;
  return (
    <>
      <Table
        class="conc-tbl only-wide"
        sticky
        testid="conc-table"
        caption={T.caption}
        columns={[
          c.state,
          c.name,
          c.media,
          { text: c.meters, class: "r" },
          { text: c.read, class: "r" },
          { text: c.collected, class: "r hide-m" },
          { text: c.held, class: "r hide-m" },
          { text: c.via, class: "hide-m" },
          { text: c.asOf, class: "r" },
        ]}
      >
        {rows.map((row) => {
          const share = percent(row.read_today.received, row.read_today.expected);
          return (
            <tr key={row.id} data-testid="conc-row" data-id={row.id} data-state={row.state}>
              <td>
                <Status shape={shapeOf(row.state)}>{row.state_text}</Status>
              </td>
              <th scope="row">
                <a href={`/concentrators/${row.id}`}>{row.name}</a>
              </th>
              <td class="t2">{row.media.length === 0 ? <NoValue /> : mediaText(row.media)}</td>
              <td class="r">
                <There row={row} />
              </td>
              <td class="r">{share === null ? <NoValue /> : <Num text={share} unit="%" />}</td>
              <td class="r hide-m">
                {row.collected === null ? <NoValue /> : <Num text={String(row.collected)} />}
              </td>
              <td class="r hide-m">
                {row.held_rows === null ? <NoValue /> : <Num text={String(row.held_rows)} />}
              </td>
              <td class="t2 hide-m">{row.via}</td>
              <td class="r t2">
                <AsOf row={row} now={now} />
              </td>
            </tr>
          );
        })}
      </Table>
      <ul class="cards only-narrow" data-testid="conc-cards">
        {rows.map((row) => (
          <li key={row.id} data-testid="conc-row" data-id={row.id} data-state={row.state}>
            <a class="a" href={`/concentrators/${row.id}`}>
              {row.name}
            </a>
            <span class="e">
              <There row={row} />
            </span>
            <span class="b">
              <Status shape={shapeOf(row.state)}>{row.state_text}</Status>
            </span>
            <span class="b e">
              <AsOf row={row} now={now} />
            </span>
            <span class="b cut-off">{mediaText(row.media)}</span>
          </li>
        ))}
      </ul>
    </>
  );
}
