import { useEffect, useState } from "preact/hooks";
import { Card } from "../../components/card.tsx";
import { Load, Notice } from "../../components/states.tsx";
import { StatusShape } from "../../components/status.tsx";
import { When } from "../../components/time.tsx";
import { api, type ApiError } from "../../lib/api.ts";
import { grouped } from "../../lib/format.ts";
import { useLoad, useNow } from "../../lib/hooks.ts";
import { siteZone } from "../../lib/session.ts";
import { longDate, clockSeconds, parse } from "../../lib/time.ts";
import type { MeterEvent } from "../../lib/types.ts";
import { t } from "../../texts/en.ts";
import type { OnChange } from "../meter.tsx";

const FEW = 4;
const PAGE = 50;

function EventLine({ event, now, long }: { event: MeterEvent; now: number; long: boolean }) {
  const at = parse(event.at);
  const zone = siteZone();
  return (
    <li data-testid="event-row" data-state={event.state}>
      <span class={`st st-${event.state}`}>
        <StatusShape shape={event.state} />
      </span>
      <div class="t">
        {event.title}
        <span>
          {event.detail}
          {long ? (
            <span class="t3">
              {event.detail === "" ? "" : " · "}
              {t.meter.source[event.source]}
              {event.code === null || event.detail.includes(`code ${event.code}`)
                ? ""
                : `, ${t.meter.code(event.code)}`}
            </span>
          ) : null}
        </span>
      </div>
      <When at={event.at} now={now} text={long && at !== null ? clockSeconds(at, zone) : undefined} />
    </li>
  );
}

function Empty() {
  return <Notice kind="empty" icon="inbox" title={t.meter.noEvents} text={t.meter.noEventsText} />;
}

/** The newest few. */
export function EventsCard({ id, onChange }: { id: string; onChange: OnChange }) {
  const loaded = useLoad(`events/${id}/${FEW}`, (signal) => api.events(id, FEW, null, signal));
  useEffect(() => onChange(loaded.reload), []);
  const now = useNow(10_000);
  const total = loaded.data?.total ?? 0;
  return (
    <Card
      id="ev"
      title={t.meter.events}
      testid="meter-events"
      flush
      end={
        total > FEW ? <a href={`/meters/${id}/events`}>{t.meter.allEvents(grouped(String(total)))}</a> : null
      }
    >
      <Load of={loaded} what={t.meter.whatEvents}>
        {(data) =>
          data.rows.length === 0 ? (
            <Empty />
          ) : (
            <ul class="list ruled">
              {data.rows.slice(0, FEW).map((event, i) => (
                <EventLine key={`${event.at}-${i}`} event={event} now={now} long={false} />
              ))}
            </ul>
          )
        }
      </Load>
    </Card>
  );
}

/** All events, by day, read page by page. */
export function EventsPage({ id, onChange }: { id: string; onChange: OnChange }) {
  const loaded = useLoad(`events/${id}/${PAGE}`, (signal) => api.events(id, PAGE, null, signal));
  useEffect(() => onChange(loaded.reload), []);
  const now = useNow(10_000);
  const [older, setOlder] = useState<MeterEvent[]>([]);
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState<ApiError | null>(null);
  const [end, setEnd] = useState(false);
  const first = loaded.data?.rows ?? [];
  const known = new Set(first.map((event) => `${event.at}|${event.title}|${event.detail}`));
  const rows = [
    ...first,
    ...older.filter((event) => !known.has(`${event.at}|${event.title}|${event.detail}`)),
  ];
  const total = loaded.data?.total ?? 0;

  const more = (): void => {
    const last = rows.at(-1);
    if (!last || busy) return;
    setBusy(true);
    setFailed(null);
    api.events(id, PAGE, last.at).then(
      (page) => {
        setBusy(false);
        if (page.rows.length < PAGE) setEnd(true);
        setOlder((old) => [...old, ...page.rows]);
      },
      (cause: unknown) => {
        setBusy(false);
        setFailed(cause as ApiError);
      },
    );
  };

  const zone = siteZone();
  const days: { day: number; rows: MeterEvent[] }[] = [];
  for (const event of rows) {
    const day = zone.startOfDay(parse(event.at) ?? 0);
    const last = days.at(-1);
    if (last?.day === day) last.rows.push(event);
    else days.push({ day, rows: [event] });
  }
  return (
    <Card
      id="ev"
      title={t.meter.events}
      testid="meter-events"
      flush
      end={total > 0 ? <span class="t3">{grouped(String(total))}</span> : null}
      footer={
        rows.length < total && !end && rows.length > 0 ? (
          <>
            <button type="button" class="btn sm" onClick={more} disabled={busy} data-testid="events-older">
              {t.meter.older}
            </button>
            {failed ? (
              <span class="err" role="alert">
                {t.state.errorTitle(t.meter.whatEvents)}
              </span>
            ) : null}
          </>
        ) : undefined
      }
    >
      <Load of={loaded} what={t.meter.whatEvents}>
        {() =>
          rows.length === 0 ? (
            <Empty />
          ) : (
            days.map(({ day, rows: list }) => (
              <div key={day}>
                <h3 class="list-day">{longDate(day, zone)}</h3>
                <ul class="list ruled">
                  {list.map((event, i) => (
                    <EventLine key={`${event.at}-${i}`} event={event} now={now} long />
                  ))}
                </ul>
              </div>
            ))
          )
        }
      </Load>
    </Card>
  );
}
