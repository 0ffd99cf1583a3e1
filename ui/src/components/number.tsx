import { groups, percentOfPermille } from "../lib/format.ts";
import { t } from "../texts/en.ts";

/** A number with groups that are only seen, so that what is copied and read is the plain number, and its unit. */
export function Num({ text, unit }: { text: string; unit?: string }) {
  const { sign, parts, rest } = groups(text);
  return (
    <span class="n">
      {sign}
      {parts.map((part, i) => (i === 0 ? part : <span class="g">{part}</span>))}
      {rest}
      {unit ? <span class="u">{unit}</span> : null}
    </span>
  );
}

/** What stands where there is no value: never a blank and never a zero. */
export function NoValue() {
  return (
    <span class="t3">
      <span aria-hidden="true">{t.status.dash}</span>
      <span class="vh">{t.status.noValue}</span>
    </span>
  );
}

/** Thousandths as per cent, cut and not rounded. */
export function Share({ permille }: { permille: number | null }) {
  return permille === null ? <NoValue /> : <Num text={percentOfPermille(permille)} unit="%" />;
}
