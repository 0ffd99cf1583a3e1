import { Component } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { ChipSelect, Segments } from "../../components/controls.tsx";
import { Heartbeat } from "../../components/heartbeat.tsx";
import { Icon } from "../../components/icons.tsx";
import { Num, Share } from "../../components/number.tsx";
import { Failed, Notice } from "../../components/states.tsx";
import { shapeOf, Status } from "../../components/status.tsx";
import { Time } from "../../components/time.tsx";
import { toast } from "../../components/toasts.tsx";
import { rem, useVirtual } from "../../components/virtual.ts";
import { api, ApiError, type MeterQuery } from "../../lib/api.ts";
import { csv, grouped, kilo } from "../../lib/format.ts";
import { useKey, useLiveEvent, useMedia, useNow } from "../../lib/hooks.ts";
import { navigate, useQuery } from "../../lib/router.ts";
import { useRows } from "../../lib/rows.ts";
import { saveCsv } from "../../lib/save.ts";
import { siteZone } from "../../lib/session.ts";
import { age, exact, MINUTE, parse } from "../../lib/time.ts";
import type { MeterRow } from "../../lib/types.ts";
import { t } from "../../texts/en.ts";

const STATES = ["all", "late", "alarms", "silent", "gap", "new"] as const;
const SORTS = ["state", "meter", "place", "feeder", "power", "last_read", "read"] as const;
type Sort = (typeof SORTS)[number];
/** Figures are seen largest first, words from A. */
const DOWN_FIRST: Sort[] = ["power", "last_read", "read"];
const SPARE = 5;
const HEAD_REM = 2;
const CARD_REM = 4.75;
/** A power value of a list is read every quarter of an hour; older than two of them is marked as old. */
const POWER_OLD_MS = 30 * MINUTE;

function queryOf(
  search: URLSearchParams,
): MeterQuery & { state: string; sort: Sort; dir: string; q: string; feeder: string } {
  const state = search.get("state") ?? "all";
  const sort = search.get("sort") as Sort | null;
  const dir = search.get("dir");
  return {
    q: search.get("q") ?? "",
    state: (STATES as readonly string[]).includes(state) ? state : "all",
    feeder: search.get("feeder") ?? "",
    sort: sort !== null && SORTS.includes(sort) ? sort : "state",
    dir: dir === "desc" ? "desc" : "asc",
  };
}

/** The filters in words, for the sentence that says nothing matches. */
function wordsOf(query: { q: string; state: string; feeder: string }): string {
  const words: string[] = [];
  const state = t.fleet.viewWords[query.state];
  if (state) words.push(state);
  if (query.feeder !== "") words.push(t.fleet.onFeeder(query.feeder));
  if (query.q !== "") words.push(t.fleet.named(query.q));
  const last = words.pop() ?? "";
  return words.length > 0 ? words.join(", ") + t.fleet.and + last : last;
}

export function MetersCard({ feeders }: { feeders: string[] }) {
  const [search, change] = useQuery();
  const query = queryOf(search);
  const rows = useRows(query);
  const narrow = useMedia("(max-width: 899px)");
  useLiveEvent<MeterRow>("row", rows.patch);

  const card = useRef<HTMLElement>(null);
  const filterBy = (changes: Record<string, string>): void => {
    change(changes);
    // A list that became short must not leave the page below its end.
    const top = card.current?.getBoundingClientRect().top ?? 0;
    if (top < 0) card.current?.scrollIntoView();
  };
  const sortBy = (sort: Sort): void => {
    const first = DOWN_FIRST.includes(sort) ? "desc" : "asc";
    const dir = sort === query.sort ? (query.dir === "asc" ? "desc" : "asc") : first;
    filterBy({ sort: sort === "state" && dir === "asc" ? "" : sort, dir: dir === "asc" ? "" : dir });
  };
  const sortSelect = useRef<HTMLDivElement>(null);
  useKey("s", () => {
    const select = sortSelect.current?.querySelector("select");
    select?.focus();
    try {
      select?.showPicker();
    } catch {
      // Without a picker of its own the focused field is enough.
    }
  });

  const filtered = query.q !== "" || query.state !== "all" || query.feeder !== "";
  const total = rows.total;
  const stateOptions = STATES.map((value) => ({ value, text: t.fleet.view[value] ?? value }));
  return (
    <section class="card meters" aria-labelledby="h-m" ref={card} data-testid="fleet-meters">
      <h2 id="h-m" class="vh">
        {t.fleet.list}
      </h2>
      <div class="toolbar">
        {narrow ? (
          <ChipSelect
            label={t.fleet.views}
            value={query.state === "all" ? "" : query.state}
            options={stateOptions.map((one) => (one.value === "all" ? { ...one, value: "" } : one))}
            onChange={(state) => filterBy({ state })}
            testid="fleet-view"
          />
        ) : (
          <Segments
            label={t.fleet.views}
            value={query.state}
            options={stateOptions}
            onChange={(state) => filterBy({ state: state === "all" ? "" : state })}
            testid="fleet-view"
          />
        )}
        <ChipSelect
          label={t.fleet.feeder}
          value={query.feeder}
          options={[
            { value: "", text: t.fleet.any },
            ...(feeders.includes(query.feeder) || query.feeder === ""
              ? feeders
              : [query.feeder, ...feeders]
            ).map((value) => ({ value, text: value })),
          ]}
          onChange={(feeder) => filterBy({ feeder })}
          testid="fleet-feeder"
        />
        <div ref={sortSelect} class="contents">
          <ChipSelect
            label={t.fleet.sortBy}
            value={query.sort}
            options={SORTS.map((value) => ({ value, text: t.fleet.columns[value] }))}
            onChange={(sort) => sortBy(sort as Sort)}
            plain
            testid="fleet-sort"
          />
        </div>
        <TextFilter value={query.q} onChange={(q) => filterBy({ q })} />
        <div class="end">
          {total === null ? null : (
            <span class="t3 hide-n" data-testid="fleet-rows">
              <Num text={String(total)} /> {t.fleet.rows(total)}
            </span>
          )}
          <ExportButton query={query} total={total} />
        </div>
      </div>
      {rows.error && total !== null && !rows.old ? (
        <p class="line-error err" role="alert">
          {rows.error.failure === "offline" ? t.state.offlineTitle : t.state.errorTitle(t.fleet.whatMeters)}
          <button type="button" class="btn sm" onClick={rows.reload}>
            {t.state.tryAgain}
          </button>
        </p>
      ) : null}
      {rows.error && (total === null || rows.old) ? (
        <Failed error={rows.error} what={t.fleet.whatMeters} onRetry={rows.reload} />
      ) : total === 0 ? (
        filtered ? (
          <Notice
            kind="nomatch"
            icon="list-filter"
            title={t.state.noMatchTitle}
            text={t.fleet.noMatch(wordsOf(query))}
            actions={
              <button
                type="button"
                class="btn"
                onClick={() => filterBy({ q: "", state: "", feeder: "" })}
                data-testid="fleet-clear"
              >
                {t.state.clear}
              </button>
            }
          />
        ) : (
          <Notice kind="empty" icon="inbox" title={t.fleet.empty} text={t.fleet.emptyText} />
        )
      ) : (
        <List
          key={narrow ? "cards" : "table"}
          rows={rows}
          total={total}
          narrow={narrow}
          query={query}
          onSort={sortBy}
        />
      )}
    </section>
  );
}

function TextFilter({ value, onChange }: { value: string; onChange: (q: string) => void }) {
  const [text, setText] = useState(value);
  const sent = useRef(value);
  useEffect(() => {
    if (value !== sent.current) {
      sent.current = value;
      setText(value);
    }
  }, [value]);
  useEffect(() => {
    const trimmed = text.trim();
    if (trimmed === sent.current) return;
    const timer = setTimeout(() => {
      sent.current = trimmed;
      onChange(trimmed);
    }, 200);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <span class="filter">
      <Icon name="list-filter" />
      <input
        type="search"
        class="input"
        aria-label={t.fleet.filter}
        placeholder={t.fleet.filter}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        data-testid="fleet-filter"
      />
    </span>
  );
}

type Rows = ReturnType<typeof useRows>;

function List({
  rows,
  total,
  narrow,
  query,
  onSort,
}: {
  rows: Rows;
  total: number | null;
  narrow: boolean;
  query: { sort: Sort; dir: string };
  onSort: (sort: Sort) => void;
}) {
  const coarse = useMedia("(pointer: coarse)");
  const now = useNow(5_000);
  const [rowPx] = useState(() => (narrow ? CARD_REM : coarse ? 2.75 : 2.125) * rem());
  const headPx = narrow ? 0 : HEAD_REM * rem();
  const count = total ?? 12;
  const { ref, view } = useVirtual(count, rowPx, SPARE, headPx);
  const [active, setActive] = useState(-1);
  const table = useRef<HTMLTableElement>(null);

  useEffect(() => rows.ensure(view.start, view.end), [view.start, view.end, total, rows.ensure]);
  useEffect(() => setActive((old) => Math.min(old, count - 1)), [count]);

  const spacer = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (spacer.current) spacer.current.style.height = `${view.height + headPx}px`;
  }, [view.height, headPx]);
  const body = useRef<HTMLElement | null>(null);
  // The pool of rows is moved as one. The table is moved by its margin, since its head sticks to the top bar only
  // while the table itself, as laid out, is under it.
  useLayoutEffect(() => {
    const offset = `${view.start * rowPx}px`;
    if (table.current) table.current.style.marginTop = offset;
    else if (body.current) body.current.style.transform = `translateY(${offset})`;
  });

  const move = (to: number): void => {
    const next = Math.max(0, Math.min(view.total - 1, to));
    setActive(next);
    const top = (ref.current?.getBoundingClientRect().top ?? 0) + headPx + next * rowPx;
    const upper = 3 * rem() + headPx;
    if (top < upper) scrollBy(0, top - upper);
    else if (top + rowPx > innerHeight - 8) scrollBy(0, top + rowPx - innerHeight + 8);
  };
  const step = (by: number): void => {
    if (table.current && document.activeElement !== table.current)
      table.current.focus({ preventScroll: true });
    move(active < 0 ? Math.min(view.start + (view.start === 0 ? 0 : SPARE), count - 1) : active + by);
  };
  useKey("j", () => step(1));
  useKey("k", () => step(-1));

  const keydown = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor((innerHeight - 3 * rem() - headPx) / rowPx) - 1);
    const keys: Record<string, () => void> = {
      ArrowDown: () => move(active + 1),
      ArrowUp: () => move(active - 1),
      PageDown: () => move(active + page),
      PageUp: () => move(active - page),
      Home: () => move(0),
      End: () => move(count - 1),
      Enter: () => {
        const row = rows.row(active);
        if (row) navigate(`/meters/${row.id}`);
      },
    };
    const action = keys[event.key];
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  };

  const indexes = Array.from({ length: Math.max(0, view.end - view.start) }, (_, i) => view.start + i);
  const quiet = useQuiet(total === null ? rows.waitingSince : null);
  const capped = view.total < count;
  const note = capped ? <p class="list-note t3">{t.fleet.tooMany(grouped(String(view.total)))}</p> : null;

  if (narrow) {
    return (
      <>
        <div class="spacer" ref={ref}>
          <div ref={spacer} class="spacer-in">
            <ul
              class="cards"
              ref={(element) => {
                body.current = element;
              }}
              data-testid="fleet-cards"
              aria-busy={rows.old || total === null}
            >
              {indexes.map((index) => (
                <MeterCard
                  key={index}
                  row={rows.row(index)}
                  now={now}
                  quiet={quiet}
                  index={index}
                  total={count}
                />
              ))}
            </ul>
          </div>
        </div>
        {note}
      </>
    );
  }
  const head = (sort: Sort | null, text: string, extra = ""): preact.JSX.Element => {
    if (sort === null) {
      return (
        <th scope="col" class={extra}>
          {text}
        </th>
      );
    }
    const on = query.sort === sort;
    return (
      <th
        scope="col"
        class={extra}
        {...(on
          ? { "aria-sort": query.dir === "desc" ? ("descending" as const) : ("ascending" as const) }
          : {})}
      >
        <button type="button" class="sort" tabIndex={-1} onClick={() => onSort(sort)}>
          {text}
          {on ? <Icon name={query.dir === "desc" ? "chevron-up" : "chevron-down"} /> : null}
        </button>
      </th>
    );
  };
  const caption =
    query.sort === "state"
      ? t.fleet.caption
      : t.fleet.captionSorted(t.fleet.columns[query.sort], query.dir === "desc");
  const rendered = active >= view.start && active < view.end;
  return (
    <>
      <div class="spacer" ref={ref}>
        <div ref={spacer} class="spacer-in">
          <table
            class="tbl fleet-tbl"
            role="grid"
            ref={table}
            tabIndex={0}
            aria-rowcount={count + 1}
            aria-activedescendant={rendered ? `row-${active}` : undefined}
            aria-busy={rows.old || total === null}
            data-testid="fleet-table"
            onKeyDown={keydown}
            onFocus={() => {
              if (active < 0 && table.current?.matches(":focus-visible")) step(0);
            }}
          >
            <caption class="vh">{caption}</caption>
            <thead>
              <tr aria-rowindex={1}>
                {head("state", t.fleet.columns.state, "col-state")}
                {head("meter", t.fleet.columns.meter, "col-meter")}
                {head("place", t.fleet.columns.place, "col-place")}
                {head("feeder", t.fleet.columns.feeder, "col-feeder hide-m")}
                {head(null, t.fleet.columns.via, "col-via")}
                {head("power", t.fleet.columns.power, "col-power r")}
                {head("last_read", t.fleet.columns.last_read, "col-last r")}
                {head(null, t.fleet.columns.days, "col-days hide-m")}
                {head("read", t.fleet.columns.read, "col-read r")}
              </tr>
            </thead>
            <tbody>
              {indexes.map((index) => {
                const row = rows.row(index);
                return (
                  <TableRow
                    key={index}
                    index={index}
                    row={row}
                    now={now}
                    quiet={quiet}
                    active={index === active}
                  />
                );
              })}
            </tbody>
          </table>
        </div>
      </div>
      {note}
    </>
  );
}

/** True for the first 200 ms of waiting, in which nothing is drawn. */
function useQuiet(since: number | null): boolean {
  const [quiet, setQuiet] = useState(true);
  useEffect(() => {
    setQuiet(true);
    const timer = setTimeout(() => setQuiet(false), 200);
    return () => clearTimeout(timer);
  }, [since]);
  return quiet;
}

function Via({ text }: { text: string }) {
  const space = text.indexOf(" ");
  if (space < 0) return <>{text}</>;
  return (
    <>
      {text.slice(0, space)} <span class="sub">{text.slice(space + 1)}</span>
    </>
  );
}

function Power({ row, now }: { row: MeterRow; now: number }) {
  if (row.power_w === null) return <span class="t3">{t.status.noReading}</span>;
  const at = parse(row.power_at);
  const old = at !== null && now - at > POWER_OLD_MS;
  return (
    <span class={old ? "t3" : undefined} title={at === null ? undefined : exact(at, siteZone())}>
      <Num text={kilo(row.power_w)} unit="kW" />
      {old && at !== null ? <span class="vh"> {t.meter.readAgo(age(now - at))}</span> : null}
    </span>
  );
}

function LastRead({ row, now }: { row: MeterRow; now: number }) {
  const at = parse(row.last_read);
  if (at === null) return <span class="t3">{t.fleet.never}</span>;
  return <Time at={at} now={now} text={age(now - at)} />;
}

interface RowProps {
  index: number;
  row: MeterRow | undefined;
  now: number;
  quiet: boolean;
  active: boolean;
}

/** Drawn again only when what it shows has changed: a scrolled table then makes a few rows and moves the rest. */
class TableRow extends Component<RowProps> {
  override shouldComponentUpdate(next: RowProps): boolean {
    const old = this.props;
    return (
      old.row !== next.row ||
      old.index !== next.index ||
      old.now !== next.now ||
      old.quiet !== next.quiet ||
      old.active !== next.active
    );
  }

  override render(props: RowProps) {
    return drawRow(props);
  }
}

function drawRow({ index, row, now, quiet, active }: RowProps) {
  const state = active ? "active" : undefined;
  if (!row) {
    return (
      <tr id={`row-${index}`} aria-rowindex={index + 2} class={state} data-testid="meter-row-loading">
        {["w1", "w3", "w2", "w2 hide-m", "w2", "w2", "w2", "w1 hide-m", "w2"].map((name, i) => (
          <td key={i} class={name.includes("hide-m") ? "hide-m" : undefined}>
            {quiet ? null : <span class={`skel ${name.slice(0, 2)}`} />}
            {i === 0 ? <span class="vh">{t.fleet.loadingRow}</span> : null}
          </td>
        ))}
      </tr>
    );
  }
  return (
    <tr
      id={`row-${index}`}
      aria-rowindex={index + 2}
      class={state}
      data-testid="meter-row"
      data-id={row.id}
      data-state={row.state}
    >
      <td>
        <Status shape={shapeOf(row.state)}>{row.state_text}</Status>
      </td>
      <th scope="row">
        <a href={`/meters/${row.id}`} tabIndex={-1}>
          {row.name}
        </a>
      </th>
      <td class="clip" title={row.place}>
        {row.place}
      </td>
      <td class="t2 hide-m">
        {row.feeder} · {row.phase}
      </td>
      <td class="clip">
        <Via text={row.via} />
      </td>
      <td class="r">
        <Power row={row} now={now} />
      </td>
      <td class="r t2">
        <LastRead row={row} now={now} />
      </td>
      <td class="hide-m">
        <Heartbeat days={row.days} />
      </td>
      <td class="r">
        <Share permille={row.read_permille} />
      </td>
    </tr>
  );
}

function MeterCard({
  row,
  now,
  quiet,
  index,
  total,
}: {
  row: MeterRow | undefined;
  now: number;
  quiet: boolean;
  index: number;
  total: number;
}) {
  const place = { "aria-posinset": index + 1, "aria-setsize": total };
  if (!row) {
    return (
      <li {...place} data-testid="meter-row-loading">
        {quiet ? null : (
          <>
            <span class="skel w2" />
            <span class="skel w1" />
            <span class="skel w3" />
          </>
        )}
        <span class="vh">{t.fleet.loadingRow}</span>
      </li>
    );
  }
  return (
    <li {...place} data-testid="meter-row" data-id={row.id} data-state={row.state}>
      <a class="a" href={`/meters/${row.id}`}>
        {row.name}
      </a>
      <span class="e">
        <Power row={row} now={now} />
      </span>
      <span class="b">
        <Status shape={shapeOf(row.state)}>{row.state_text}</Status>
      </span>
      <span class="e b">
        <LastRead row={row} now={now} />
      </span>
      <span class="b cut-off">{row.place}</span>
      <span class="e b">{row.via}</span>
    </li>
  );
}

const EXPORT_WINDOW = 500;

/** Writes the filtered list to a file; rows are read in windows, so that a large fleet does not come at once. */
function ExportButton({ query, total }: { query: MeterQuery; total: number | null }) {
  const [done, setDone] = useState<number | null>(null);
  const [failed, setFailed] = useState(false);
  const control = useRef<AbortController | null>(null);
  useEffect(() => () => control.current?.abort(), []);
  const run = async (): Promise<void> => {
    control.current?.abort();
    const abort = new AbortController();
    control.current = abort;
    setFailed(false);
    setDone(0);
    const out: (string | number | null)[][] = [
      [
        "id",
        "name",
        "place",
        "feeder",
        "phase",
        "via",
        "state",
        "state_text",
        "power_w",
        "power_at",
        "last_read",
        "read_permille",
      ],
    ];
    try {
      for (let offset = 0; ; offset += EXPORT_WINDOW) {
        const list = await api.meters({ ...query, offset, limit: EXPORT_WINDOW }, abort.signal);
        for (const row of list.rows) {
          out.push([
            row.id,
            row.name,
            row.place,
            row.feeder,
            row.phase,
            row.via,
            row.state,
            row.state_text,
            row.power_w,
            row.power_at,
            row.last_read,
            row.read_permille,
          ]);
        }
        setDone(out.length - 1);
        if (list.rows.length < EXPORT_WINDOW || offset + EXPORT_WINDOW >= list.total) break;
      }
      saveCsv("gridward-meters.csv", csv(out));
      toast(t.fleet.exported(grouped(String(out.length - 1))));
    } catch (cause) {
      if (abort.signal.aborted) return;
      if (!(cause instanceof ApiError && cause.failure === "signed_out")) setFailed(true);
    }
    setDone(null);
  };
  return (
    <>
      {failed ? (
        <span class="err" role="alert">
          {t.fleet.exportFailed}
        </span>
      ) : null}
      <button
        type="button"
        class="btn sm"
        onClick={() => void run()}
        disabled={done !== null || total === null || total === 0}
        data-testid="fleet-export"
      >
        <Icon name="download" />
        {done === null
          ? t.fleet.export
          : t.fleet.exporting(grouped(String(done)), grouped(String(total ?? 0)))}
      </button>
    </>
  );
}
