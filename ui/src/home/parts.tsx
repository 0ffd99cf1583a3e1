import { useMedia } from "../lib/hooks.ts";
import { t } from "../texts/home.en.ts";

/** Changes a chart to its table and back. */
export function TwinButton({
  shown,
  setShown,
  what,
  testid,
}: {
  shown: string;
  setShown: (view: string) => void;
  what: string;
  testid: string;
}) {
  const table = shown === "table";
  return (
    <button
      type="button"
      class="btn ghost sm twin-button"
      onClick={() => setShown(table ? "chart" : "table")}
      data-testid={testid}
    >
      {table ? t.chart.chart : t.chart.table}
      <span class="vh">: {what}</span>
    </button>
  );
}

/** Heights of the two charts: a phone has little room, a wall tablet shows all without scrolling. */
export function useHeights(): { now: number; today: number } {
  const phone = useMedia("(max-width: 599px)");
  const wide = useMedia("(min-width: 900px)");
  const tall = useMedia("(min-height: 860px)");
  if (phone) return { now: 150, today: 150 };
  return { now: wide && tall ? 320 : 240, today: tall ? 240 : 150 };
}
