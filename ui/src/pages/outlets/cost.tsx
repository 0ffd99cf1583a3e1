import { useState } from "preact/hooks";
import { Card } from "../../components/card.tsx";
import { Field } from "../../components/controls.tsx";
import { Num } from "../../components/number.tsx";
import { Refused } from "../../components/states.tsx";
import { Time } from "../../components/time.tsx";
import { toast } from "../../components/toasts.tsx";
import { useAct } from "../../lib/act.ts";
import { api } from "../../lib/api.ts";
import { useNow } from "../../lib/hooks.ts";
import { parse } from "../../lib/time.ts";
import type { OutletMeter } from "../../lib/types.ts";
import { t } from "../../texts/en.ts";

/** The last cost that was told, and a form for the next. */
export function CostCard({ meter, onDone }: { meter: OutletMeter; onDone: () => void }) {
  const now = useNow(10_000);
  const [month, setMonth] = useState(String(Number(meter.today.slice(5, 7))));
  const [from, setFrom] = useState("1");
  const [to, setTo] = useState(String(Number(meter.today.slice(8, 10))));
  const [total, setTotal] = useState("");
  const { busy, refused, refuse, run } = useAct();
  const { cost } = meter;
  const told = parse(cost?.t);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const numbers = [month, from, to, total].map((text) =>
      /^\d{1,12}$/.test(text.trim()) ? Number(text) : NaN,
    );
    const [m = NaN, a = NaN, b = NaN, sum = NaN] = numbers;
    if (numbers.some(Number.isNaN) || a < 1 || b > 31 || a > b) {
      refuse(t.outlets.costWrong);
      return;
    }
    await run(async () => {
      const answer = await api.tellCost(meter.id, m, a, b, sum);
      toast(answer.outcome === "waits" ? t.outlets.waits : t.outlets.sent);
      setTotal("");
      onDone();
    });
  };
  const number = (id: string, label: string, value: string, set: (text: string) => void) => (
    <Field id={id} label={label}>
      <input
        class="input"
        id={id}
        inputMode="numeric"
        autocomplete="off"
        value={value}
        onInput={(event) => set(event.currentTarget.value)}
        data-testid={id}
      />
    </Field>
  );
  return (
    <Card id="cost" title={t.outlets.cost} testid="outlet-cost">
      <div class="col">
        {cost === null ? (
          <p class="t3">{t.outlets.costNone}</p>
        ) : (
          <p>
            <span class="cost-total">
              <Num text={String(cost.total_cost)} />
            </span>{" "}
            <span class="t2">
              {t.outlets.costLast(
                t.outlets.costDays(cost.day_start, cost.day_end, t.outlets.months[cost.month - 1] ?? ""),
              )}
            </span>
            {told === null ? null : (
              <span class="t3 block">
                {t.outlets.costTold("")}
                <Time at={told} now={now} />
              </span>
            )}
          </p>
        )}
        <form
          class="col form"
          onSubmit={(event) => void submit(event)}
          aria-label={t.outlets.costForm}
          noValidate
        >
          <Field id="cost-month" label={t.outlets.month}>
            <select
              class="select"
              id="cost-month"
              value={month}
              onChange={(event) => setMonth(event.currentTarget.value)}
            >
              {t.outlets.months.map((name, i) => (
                <option key={name} value={String(i + 1)}>
                  {name}
                </option>
              ))}
            </select>
          </Field>
          <div class="cost-fields">
            {number("cost-from", t.outlets.dayFrom, from, setFrom)}
            {number("cost-to", t.outlets.dayTo, to, setTo)}
            {number("cost-total", t.outlets.total, total, setTotal)}
          </div>
          <Refused text={refused} testid="cost-error" />
          <button type="submit" class="btn" disabled={busy} data-testid="cost-tell">
            {t.outlets.tell}
          </button>
        </form>
      </div>
    </Card>
  );
}
