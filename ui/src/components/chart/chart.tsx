import type { ComponentChildren } from "preact";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { locate, type At } from "../../lib/gaps.ts";
import { useKey } from "../../lib/hooks.ts";
import { now, siteZone } from "../../lib/session.ts";
import { save, saveCsv } from "../../lib/save.ts";
import { Store, useStore } from "../../lib/store.ts";
import { theme } from "../../lib/theme.ts";
import { exact, longDate } from "../../lib/time.ts";
import { t } from "../../texts/en.ts";
import { Card } from "../card.tsx";
import { Segments } from "../controls.tsx";
import { Icon } from "../icons.tsx";
import { Popover } from "../popover.tsx";
import { Table } from "../table.tsx";
import { toast } from "../toasts.tsx";
import type { PlotHandle, PlotSpec } from "./spec.ts";

/** Counts presses of the key that changes charts to tables and back. */
const twin = new Store(0);

/** The key for the table twin, for all charts of a page. */
export function useTwinKey(): void {
  useKey("t", () => twin.set(twin.value + 1));
}

/** Whether the chart or its table is shown. */
export function useTwin(): [string, (view: string) => void] {
  const [view, setView] = useState("chart");
  const turn = useStore(twin);
  const seen = useRef(turn);
  useEffect(() => {
    if (turn !== seen.current) setView((old) => (old === "chart" ? "table" : "chart"));
    seen.current = turn;
  }, [turn]);
  return [view, setView];
}

export interface TwinTable {
  caption: string;
  /** A column that is not `narrow` is left out where there is no room for it. */
  head: { text: string; right?: boolean; narrow?: boolean }[];
  rows: () => ComponentChildren[][];
}

export interface ChartProps {
  testid: string;
  spec: PlotSpec;
  height: number;
  /** One sentence that says what one sees. */
  summary: string;
  /** The line under the chart for a place on the time axis, or for none. */
  readout: (at: At | null) => ComponentChildren;
  /** The same as text, for a reader that moved by key. */
  spoken: (at: At) => string;
  /** Lets somebody ask for a picture. */
  handle?: { current: PlotHandle | null };
}

/** A plot with a fixed read-out line and keys. */
export function Chart({ testid, spec, height, summary, readout, spoken, handle }: ChartProps) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<PlotHandle | null>(null);
  const latest = useRef(spec);
  latest.current = spec;
  const dark = useStore(theme);
  const [at, setAt] = useState<number | null>(null);
  const [said, setSaid] = useState("");
  const [failed, setFailed] = useState(false);
  const zoom = useRef<{ from: number; to: number } | null>(null);

  useEffect(() => {
    let gone = false;
    let resize: ResizeObserver | null = null;
    import("./plot.ts").then(
      ({ makePlot }) => {
        if (gone || !host.current) return;
        const made = makePlot(host.current, latest.current, height, setAt);
        plot.current = made;
        if (handle) handle.current = made;
        resize = new ResizeObserver((entries) => {
          const width = entries[0]?.contentRect.width;
          if (width) made.resize(width);
        });
        resize.observe(host.current);
        // The first drawing may come before the font; canvas text is then drawn again.
        void document.fonts.ready.then(() => {
          if (!gone) made.update(latest.current);
        });
      },
      () => {
        if (!gone) setFailed(true);
      },
    );
    return () => {
      gone = true;
      resize?.disconnect();
      plot.current?.destroy();
      plot.current = null;
      if (handle) handle.current = null;
    };
  }, [dark, height, spec.kind, spec.series.length]);

  useEffect(() => {
    if (!plot.current) return;
    plot.current.update(spec);
    if (zoom.current === null) plot.current.range(spec.from, spec.to);
  }, [spec]);

  // Another range is seen whole.
  useEffect(() => {
    if (spec.kind === "bars") {
      zoom.current = null;
      plot.current?.range(spec.from, spec.to);
    }
  }, [spec.kind === "bars" ? `${spec.from}/${spec.to}` : ""]);

  const find = useCallback((time: number): At => {
    const s = latest.current;
    const values = s.series[0]?.values ?? [];
    if (s.kind === "bars") return locate(time, s.times, values, s.stepMs, s.gaps);
    const shifted = s.times.map((x) => x - s.stepMs / 2);
    return locate(time, shifted, values, s.stepMs, s.gaps);
  }, []);

  const keydown = (event: KeyboardEvent): void => {
    const s = latest.current;
    const view = zoom.current ?? { from: s.from, to: s.to };
    const half = s.kind === "bars" ? s.stepMs / 2 : 0;
    const first = s.times[0];
    const last = s.times.at(-1);
    if (first === undefined || last === undefined) return;
    const step = s.stepMs * (event.shiftKey ? 10 : 1);
    const here = at ?? last + half;
    let next: number | null = null;
    if (event.key === "ArrowLeft") next = here - step;
    else if (event.key === "ArrowRight") next = here + step;
    else if (event.key === "Home") next = first + half;
    else if (event.key === "End") next = last + half;
    else if ((event.key === "+" || event.key === "-" || event.key === "\u2212") && s.kind === "bars") {
      event.preventDefault();
      const wide = (view.to - view.from) * (event.key === "+" ? 0.5 : 2);
      if (wide < 8 * s.stepMs) return;
      if (wide >= s.to - s.from) zoom.current = null;
      else {
        const from = Math.min(s.to - wide, Math.max(s.from, here - wide / 2));
        zoom.current = { from, to: from + wide };
      }
      const range = zoom.current ?? { from: s.from, to: s.to };
      plot.current?.range(range.from, range.to);
      plot.current?.cursor(here);
      return;
    } else if (event.key === "Escape") {
      setAt(null);
      plot.current?.cursor(null);
      return;
    }
    if (next === null) return;
    event.preventDefault();
    next = Math.min(last + half, Math.max(first + half, next));
    if (zoom.current && (next < zoom.current.from || next > zoom.current.to)) {
      const wide = zoom.current.to - zoom.current.from;
      const from = Math.min(s.to - wide, Math.max(s.from, next - wide / 2));
      zoom.current = { from, to: from + wide };
      plot.current?.range(from, from + wide);
    }
    setAt(next);
    plot.current?.cursor(next);
    setSaid(spoken(find(next)));
  };

  const place = at === null ? null : find(at);
  return (
    <div class="chart-box">
      {failed ? <p class="t3">{t.state.errorTitle(t.chart.chart)}</p> : null}
      <div
        class={`plot plot-${height}`}
        ref={host}
        role="img"
        aria-label={summary}
        aria-describedby={`${testid}-hint`}
        tabIndex={0}
        onKeyDown={keydown}
        onBlur={() => {
          setAt(null);
          plot.current?.cursor(null);
        }}
        data-testid={`${testid}-plot`}
      />
      <span class="vh" id={`${testid}-hint`}>
        {t.chart.hint}
      </span>
      <div class="readout" data-testid={`${testid}-readout`} data-state={place?.kind ?? "rest"}>
        {readout(place)}
      </div>
      <span class="vh" role="status">
        {said}
      </span>
    </div>
  );
}

function classOf(column: TwinTable["head"][number] | undefined): string | undefined {
  const classes = [column?.right ? "r" : "", column?.narrow === false ? "hide-n" : ""].filter(Boolean);
  return classes.length > 0 ? classes.join(" ") : undefined;
}

/** The table with the same values as a chart. */
export function Twin({ table, testid }: { table: TwinTable; testid: string }) {
  const rows = table.rows();
  return (
    <div class="twin" role="region" aria-label={table.caption} tabIndex={0} data-testid={`${testid}-table`}>
      <Table
        caption={table.caption}
        columns={table.head.map((column) => ({ text: column.text, class: classOf(column) }))}
      >
        {rows.map((row, r) => (
          <tr key={r}>
            {row.map((cell, i) =>
              i === 0 ? <th scope="row">{cell}</th> : <td class={classOf(table.head[i])}>{cell}</td>,
            )}
          </tr>
        ))}
      </Table>
    </div>
  );
}

export interface ChartCardProps extends ChartProps {
  id: string;
  title: string;
  aside?: ComponentChildren;
  end?: ComponentChildren;
  footer?: ComponentChildren;
  class?: string;
  /** Stands above the chart and its table. */
  lead?: ComponentChildren;
  /** Says which colour is what, where the chart is shown. */
  legend?: ComponentChildren;
  table: TwinTable;
  /** What the chart is about, for the picture: the name of a meter. */
  subject?: string;
  /** Name of a file without its ending. */
  file: string;
  /** The address of a file with all points, or its text. */
  csv: { href: string } | { text: () => string };
}

/** A card with a chart, its table twin and its downloads. */
export function ChartCard(props: ChartCardProps) {
  const [view, setView] = useTwin();
  const handle = useRef<PlotHandle | null>(null);

  const zone = siteZone();
  const subtitle = (): string => {
    const { from, to } = props.spec;
    const range =
      to - from < 36 * 3_600_000
        ? `${exact(from, zone)} – ${exact(to, zone)}`
        : `${longDate(from, zone)} – ${longDate(to - 1, zone)}`;
    return `${range}, ${zone.name}; ${t.chart.made(exact(now(), zone))}`;
  };
  const png = (close: () => void): void => {
    close();
    void handle.current
      ?.png(props.subject ? `${props.subject} · ${props.title}` : props.title, subtitle())
      .then((blob) => {
        save(`${props.file}.png`, blob);
        toast(t.chart.saved(`${props.file}.png`));
      });
  };
  const csv = props.csv;
  return (
    <Card
      id={props.id}
      title={props.title}
      aside={props.aside}
      testid={props.testid}
      {...(props.class ? { class: props.class } : {})}
      footer={props.footer}
      end={
        <>
          {props.end}
          <Segments
            label={t.chart.showAs}
            value={view}
            options={[
              { value: "chart", text: t.chart.chart },
              { value: "table", text: t.chart.table },
            ]}
            onChange={setView}
            testid={`${props.testid}-view`}
          />
          <Popover
            class="btn sm icon"
            label={t.chart.download}
            button={<Icon name="download" />}
            testid={`${props.testid}-download`}
          >
            {(close) => (
              <div class="menu-actions">
                {"href" in csv ? (
                  <a class="btn ghost" href={csv.href} download={`${props.file}.csv`} onClick={close}>
                    <Icon name="file-text" />
                    {t.chart.csv}
                  </a>
                ) : (
                  <button
                    type="button"
                    class="btn ghost"
                    onClick={() => {
                      close();
                      saveCsv(`${props.file}.csv`, csv.text());
                      toast(t.chart.saved(`${props.file}.csv`));
                    }}
                  >
                    <Icon name="file-text" />
                    {t.chart.csv}
                  </button>
                )}
                {view === "chart" ? (
                  <button type="button" class="btn ghost" onClick={() => png(close)}>
                    <Icon name="image" />
                    {t.chart.png}
                  </button>
                ) : null}
              </div>
            )}
          </Popover>
        </>
      }
    >
      {props.lead}
      {view === "chart" ? props.legend : null}
      {view === "chart" ? (
        <Chart
          testid={props.testid}
          spec={props.spec}
          height={props.height}
          summary={props.summary}
          readout={props.readout}
          spoken={props.spoken}
          handle={handle}
        />
      ) : (
        <Twin table={props.table} testid={props.testid} />
      )}
    </Card>
  );
}
