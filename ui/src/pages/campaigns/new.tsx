import { useState } from "preact/hooks";
import { Decision } from "../../components/decision.tsx";
import { Page } from "../../components/page.tsx";
import { campaignApi } from "../../lib/campaign-api.ts";
import { NEW_DRAFT, readDraft, type Draft, type DraftField } from "../../lib/campaign-draft.ts";
import { grouped } from "../../lib/format.ts";
import { useAct } from "../../lib/act.ts";
import { useLoad, useNow } from "../../lib/hooks.ts";
import { navigate } from "../../lib/router.ts";
import { MINUTE, parse } from "../../lib/time.ts";
import type { CampaignPlan, NewCampaign } from "../../lib/types.ts";
import { campaigns as C } from "../../texts/campaigns.en.ts";
import { campaignNew as T } from "../../texts/campaign-new.en.ts";
import { MetersCard, RingsCard, type Change } from "./new-form.tsx";
import { ImageCard } from "./new-image.tsx";
import { PlanCard } from "./new-plan.tsx";

/** So long the head end takes what was looked at. */
const LOOK_MS = 5 * MINUTE;

/** What was looked at: for which form, with which body, and what came of it. */
interface Looked {
  form: string;
  body: NewCampaign;
  plan: CampaignPlan;
}

/** A campaign from the image to its beginning, on one page: nothing is sent to a meter before the last step. */
export function NewCampaignPage() {
  const [draft, setDraft] = useState<Draft>(NEW_DRAFT);
  const [shown, setShown] = useState<DraftField[]>([]);
  const [looked, setLooked] = useState<Looked | null>(null);
  const { busy: looking, refused, run } = useAct();
  const now = useNow(5_000);
  const images = useLoad("images", (signal) => campaignApi.images(signal));
  const image = images.data?.rows.find((one) => one.id === draft.image) ?? null;
  const { body, faults } = readDraft(draft);
  const form = JSON.stringify(body);
  const usable = image !== null && image.signature !== "refused";

  const change: Change = (changes) => {
    setDraft((old) => ({ ...old, ...changes }));
    // A fault that was told goes away while it is mended, and comes back where the field is left.
    setShown((old) => old.filter((field) => !(field in changes)));
  };
  const left = (field: DraftField): void =>
    setShown((old) => (faults.includes(field) && !old.includes(field) ? [...old, field] : old));

  const look = async (): Promise<void> => {
    if (looking) return;
    setShown(faults);
    const [first] = faults;
    if (first !== undefined) {
      document.getElementById(`new-${first}`)?.focus();
      return;
    }
    await run(async () => {
      let asked = body;
      let plan = await campaignApi.plan(asked);
      if (plan.line_pace_ms !== null) {
        // As fast as the line takes blocks: what is begun is what was planned, the pace included.
        asked = { ...body, settings: { ...body.settings, pace_ms: plan.line_pace_ms } };
        plan = await campaignApi.plan(asked);
      }
      setLooked({ form, body: asked, plan });
    });
  };

  const plan = looked?.plan ?? null;
  const at = parse(plan?.as_of);
  const changed = looked !== null && looked.form !== form;
  const blocked = ((): string | null => {
    if (!usable) return T.blocked.image;
    if (faults.length > 0) return T.blocked.fields;
    if (looked === null || at === null) return T.blocked.look;
    if (changed) return T.blocked.changed;
    if (now - at > LOOK_MS) return T.blocked.old;
    return looked.plan.meters === 0 ? T.blocked.nobody : null;
  })();
  const identifier = image?.identifier ?? "";
  return (
    <Page title={T.title} crumbs={[{ text: C.title, href: "/campaigns" }, { text: T.title }]} lead={T.lead}>
      <div class="grid">
        <div class="stack c8">
          <ImageCard loaded={images} chosen={draft.image} onChoose={(id) => change({ image: id })} />
          <MetersCard draft={draft} wrong={shown} onChange={change} onLeft={left} />
          <RingsCard draft={draft} wrong={shown} onChange={change} onLeft={left} />
          <PlanCard
            plan={plan}
            changed={changed}
            looking={looking}
            failed={refused}
            rest={usable ? null : T.blocked.image}
            onLook={() => void look()}
          />
        </div>
        <div class="stack c4">
          <Decision
            name="begin"
            title={T.decision}
            reason={{ hint: T.reasonHint }}
            typed={
              image === null
                ? undefined
                : {
                    part: "name",
                    label: T.typeIt,
                    hint: T.typeHint(identifier),
                    wrong: T.typeWrong(identifier),
                    is: identifier,
                  }
            }
            give={T.give}
            giving={T.giving}
            giveTestid="begin-give"
            danger
            blocked={blocked}
            cancel={{ text: T.cancel, href: "/campaigns" }}
            onGive={async (reason, confirm) => {
              if (looked === null) return;
              const { as_of, plan: mark } = looked.plan;
              const { id } = await campaignApi.begin({ ...looked.body, reason, confirm, plan: mark, as_of });
              navigate(`/campaigns/${id}`);
            }}
          >
            {blocked === null && plan !== null ? (
              <p class="t2" data-testid="begin-means">
                {T.means(grouped(String(plan.meters)), grouped(String(plan.rings[0]?.meters ?? 0)))}
              </p>
            ) : null}
          </Decision>
        </div>
      </div>
    </Page>
  );
}
