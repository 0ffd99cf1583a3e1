import { useState } from "preact/hooks";
import { Decided, Decision, Meaning, NoDecision } from "../../components/decision.tsx";
import { Num } from "../../components/number.tsx";
import { ObjectPage } from "../../components/page.tsx";
import { Load } from "../../components/states.tsx";
import { Status, type Shape } from "../../components/status.tsx";
import { Table } from "../../components/table.tsx";
import { campaignApi } from "../../lib/campaign-api.ts";
import { useLoad } from "../../lib/hooks.ts";
import type { Campaign } from "../../lib/types.ts";
import { campaigns as T } from "../../texts/campaigns.en.ts";
import { canGoOn } from "./page.tsx";

/** A campaign that goes on activates firmware: a page of its own that says with how many meters. */
export function ResumePage({ id }: { id: number }) {
  const loaded = useLoad(`campaign-resume/${id}`, (signal) => campaignApi.one(id, signal));
  const [done, setDone] = useState(false);
  const one = loaded.data;
  const title = one === null ? T.one : T.resumeTitle(one.name);
  const crumbs = [
    { text: T.title, href: "/campaigns" },
    { text: T.number(id), href: `/campaigns/${id}` },
    { text: T.decision },
  ];
  return (
    <ObjectPage of={loaded} title={title} what={T.whatOne} texts={T} crumbs={crumbs}>
      <Load of={loaded} what={T.whatOne} card>
        {(campaign) => (
          <div class="grid">
            <div class="stack c8">
              <Means one={campaign} at={loaded.at} />
            </div>
            <div class="stack c4">
              {done ? (
                <Decided
                  title={T.decision}
                  testid="resume-done"
                  shape="run"
                  text={T.done}
                  on={{ text: T.toCampaign, href: `/campaigns/${id}` }}
                />
              ) : canGoOn(campaign) ? (
                <Give one={campaign} onDone={() => setDone(true)} />
              ) : (
                <NoDecision
                  title={T.decision}
                  cannot={T.runs}
                  why={T.runsText}
                  icon="radio-tower"
                  action={{ text: T.toCampaign, href: `/campaigns/${id}` }}
                />
              )}
            </div>
          </div>
        )}
      </Load>
    </ObjectPage>
  );
}

/** How many meters it comes to, by what would be done with them. */
function Means({ one, at }: { one: Campaign; at: number | null }) {
  const { progress } = one;
  const missed = one.reasons.find((it) => it.reason === "unreachable")?.meters ?? 0;
  const rows: [Shape, string, number][] = [
    ["warn", T.resumeActivate, progress.verified],
    ["run", T.resumeTransfer, progress.waiting + progress.receiving + progress.asked],
    ["run", T.resumeTry, missed],
    ["ok", T.resumeNothing, progress.active],
    ["off", T.resumeOut, progress.failed - missed],
  ];
  return (
    <Meaning
      title={T.resumeMeans}
      testid="resume-means"
      at={at}
      checked={T.checked}
      footer={<span>{T.resumeSupply}</span>}
      flush
    >
      <Table
        class="campaign-tbl"
        caption={T.resumeCaption}
        columns={[{ text: T.resumeMeters, class: "r" }, T.resumeResult]}
      >
        {rows
          .filter(([, , meters]) => meters > 0)
          .map(([shape, text, meters]) => (
            <tr key={text}>
              <td class="r">
                <Num text={String(meters)} />
              </td>
              <td class="wr">
                <Status shape={shape}>{text}</Status>
              </td>
            </tr>
          ))}
      </Table>
    </Meaning>
  );
}

function Give({ one, onDone }: { one: Campaign; onDone: () => void }) {
  const name = one.image.identifier;
  return (
    <Decision
      name="resume"
      title={T.decision}
      typed={{ part: "name", label: T.typeIt, hint: T.typeHint(name), wrong: T.typeWrong(name), is: name }}
      give={T.give}
      giving={T.giving}
      giveTestid="resume-give"
      danger
      cancel={{ text: T.cancel, href: `/campaigns/${one.id}` }}
      onGive={async () => {
        await campaignApi.resume(one.id);
        onDone();
      }}
    />
  );
}
