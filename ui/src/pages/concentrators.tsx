import { useState } from "preact/hooks";
import { FirstSteps } from "../components/first-steps.tsx";
import { Icon } from "../components/icons.tsx";
import { NoValue, Num } from "../components/number.tsx";
import { Shell } from "../components/shell.tsx";
import { Load, Notice, Skeleton } from "../components/states.tsx";
import { Status, shapeOf } from "../components/status.tsx";
import { Time } from "../components/time.tsx";
import { api } from "../lib/api.ts";
import { percent } from "../lib/format.ts";
import { useLiveEvent, useLoad, useNow, useTopic } from "../lib/hooks.ts";
import { useQuery } from "../lib/router.ts";
import { parse } from "../lib/time.ts";
import type { ConcentratorRow } from "../lib/types.ts";
import { concentrators as T } from "../texts/concentrators.en.ts";
import { t } from "../texts/en.ts";

export { ConcentratorPage } from "./concentrators/page.tsx";

const STEP = 100;
const MOST = 500;

/** All concentrators, those that need a person first. */
export function ConcentratorsPage() {
  const [query, change] = useQuery();
  const q = query.get("q") ?? "";
  const [limit, setLimit] = useState(STEP);
  const loaded = useLoad(`concentrators/${q}/${limit}`, (signal) => api.concentrators(q, limit, signal));
  useTopic("concentrators");
  useLiveEvent<ConcentratorRow>("concentrator", (row) => {
    loaded.patch((old) => ({
      ...old,
      rows: old.rows.map((one) => (one.id === row.id ? row : one)),
    }));
  });
  const list = loaded.data;
  const none = list !== null && list.total === 0 && q === "";
  return (
    <Shell title={T.title} crumbs={[{ text: T.title }]}>
      <div class="head">
        <div>
          <h1 tabIndex={-1}>{T.title}</h1>
          <p class="lead">
            {list ? <span>{T.count(list.total)}</span> : <span class="skel w4" />}
            <span class="t3">{T.word}</span>
          </p>
        </div>
      </div>
      {none ? (
        <FirstSteps texts={T}>
          <Icon name="network" />
        </FirstSteps>
      ) : (
        <section class="card" aria-label={T.title} data-testid="conc-list">
          <div class="toolbar">
            <input
              class="input filter"
              type="search"
              aria-label={T.filter}
              placeholder={T.filter}
              value={q}
              onInput={(event) => {
                setLimit(STEP);
                change({ q: event.currentTarget.value });
              }}
              data-testid="conc-filter"
            />
          </div>
          <Load
            of={loaded}
            what={T.what}
            shape={
              <div class="pad">
                <Skeleton lines={5} />
              </div>
            }
          >
            {(data) =>
              data.total === 0 ? (
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
              ) : (
                <>
                  <List rows={data.rows} />
                  {data.total > data.rows.length && limit < MOST ? (
                    <p class="list-note">
                      <button
                        type="button"
                        class="btn sm"
                        onClick={() => setLimit((old) => Math.min(MOST, old + STEP))}
                      >
                        {T.more}
                      </button>
                    </p>
                  ) : null}
                </>
              )
            }
          </Load>
        </section>
      )}
    </Shell>
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
  const at = parse(row.as_of);
  return at === null ? <span class="t3">{T.never}</span> : <Time at={at} now={now} />;
}

function List({ rows }: { rows: ConcentratorRow[] }) {
  const now = useNow(5_000);
  const c = T.columns;
  return (
    <>
      <table class="tbl conc-tbl only-wide" data-testid="conc-table">
        <caption class="vh">{T.caption}</caption>
        <thead>
          <tr>
            <th scope="col">{c.state}</th>
            <th scope="col">{c.name}</th>
            <th scope="col">{c.media}</th>
            <th scope="col" class="r">
              {c.meters}
            </th>
            <th scope="col" class="r">
              {c.read}
            </th>
            <th scope="col" class="r hide-m">
              {c.collected}
            </th>
            <th scope="col" class="r hide-m">
              {c.held}
            </th>
            <th scope="col" class="hide-m">
              {c.via}
            </th>
            <th scope="col" class="r">
              {c.asOf}
            </th>
          </tr>
        </thead>
        <tbody>
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
        </tbody>
      </table>
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
