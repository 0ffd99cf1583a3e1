import { useRef, useState } from "preact/hooks";
import { Card } from "../../components/card.tsx";
import { Icon } from "../../components/icons.tsx";
import { Load, Refused, Skeleton } from "../../components/states.tsx";
import { Status, type Shape } from "../../components/status.tsx";
import { Time } from "../../components/time.tsx";
import { toast } from "../../components/toasts.tsx";
import { campaignApi } from "../../lib/campaign-api.ts";
import { grouped } from "../../lib/format.ts";
import { reasonOf } from "../../lib/act.ts";
import { useNow, type Loaded } from "../../lib/hooks.ts";
import { live } from "../../lib/live-client.ts";
import { siteZone } from "../../lib/session.ts";
import { useStore } from "../../lib/store.ts";
import { parse, when } from "../../lib/time.ts";
import type { FirmwareImage, FirmwareImages } from "../../lib/types.ts";
import { campaignNew as T } from "../../texts/campaign-new.en.ts";

/** Octets of the longest image. */
const IMAGE_LEN_MAX = 4 * 1024 * 1024;

const SHAPES: Record<FirmwareImage["signature"], Shape> = {
  verified: "ok",
  unchecked: "info",
  refused: "crit",
};

/** Which image: one that the head end keeps, or one that is brought now. */
export function ImageCard({
  loaded,
  chosen,
  onChoose,
}: {
  loaded: Loaded<FirmwareImages>;
  chosen: string;
  onChoose: (id: string) => void;
}) {
  const [sending, setSending] = useState<string | null>(null);
  const [failed, setFailed] = useState<string | null>(null);
  const fail = (cause: unknown): void => setFailed(reasonOf(cause, T.notSent));
  const send = async (file: File | undefined): Promise<void> => {
    if (file === undefined || sending !== null) return;
    setFailed(null);
    if (file.size > IMAGE_LEN_MAX) {
      setFailed(T.tooLong(file.name));
      return;
    }
    setSending(file.name);
    try {
      const image = await campaignApi.upload(file);
      loaded.patch((old) => ({
        ...old,
        rows: [image, ...old.rows.filter((one) => one.id !== image.id)],
      }));
      onChoose(image.id);
    } catch (cause) {
      fail(cause);
    }
    setSending(null);
  };
  const forget = async (image: FirmwareImage): Promise<void> => {
    setFailed(null);
    try {
      await campaignApi.forget(image.id);
      loaded.patch((old) => ({ ...old, rows: old.rows.filter((one) => one.id !== image.id) }));
      if (chosen === image.id) onChoose("");
      toast(T.removed);
    } catch (cause) {
      fail(cause);
    }
  };
  const count = loaded.data?.rows.length ?? 0;
  return (
    <Card
      id="image"
      title={T.image}
      testid="new-image"
      flush
      aside={loaded.data === null ? null : <span class="t3 hide-n">{T.kept(count, loaded.data.most)}</span>}
    >
      <Load
        of={loaded}
        what={T.whatImages}
        shape={
          <div class="pad">
            <Skeleton lines={3} />
          </div>
        }
      >
        {(data) => (
          <>
            {data.rows.length === 0 ? (
              <p class="pad t2" data-testid="new-image-none">
                {T.noImages}
              </p>
            ) : (
              <fieldset class="images">
                <legend class="vh">{T.imagesCaption}</legend>
                {data.rows.map((image) => (
                  <Row
                    key={image.id}
                    image={image}
                    on={image.id === chosen}
                    onChoose={() => onChoose(image.id)}
                    onForget={() => void forget(image)}
                  />
                ))}
              </fieldset>
            )}
            <Drop again={data.rows.length > 0} sending={sending} onFile={(file) => void send(file)} />
          </>
        )}
      </Load>
      <Refused text={failed} testid="new-image-failed" class="pad" />
    </Card>
  );
}

function Row({
  image,
  on,
  onChoose,
  onForget,
}: {
  image: FirmwareImage;
  on: boolean;
  onChoose: () => void;
  onForget: () => void;
}) {
  const now = useNow(10_000);
  const at = parse(image.uploaded);
  const name = T.version(image.identifier, image.version);
  return (
    <div
      class={on ? "image on" : "image"}
      data-testid="new-image-row"
      data-id={image.id}
      data-state={on ? "on" : "off"}
    >
      <label class="check">
        <input
          type="radio"
          name="image"
          checked={on}
          disabled={image.signature === "refused"}
          onChange={onChoose}
          data-testid="new-image-pick"
        />
        <span class="t">
          <b class="strong">{name}</b>
          <span>{T.forModel(image.model, grouped(String(image.length)))}</span>
          <span>
            {at === null ? null : <Time at={at} now={now} text={T.uploaded(when(at, now, siteZone()))} />}
            {image.campaigns.length > 0 ? ` · ${T.usedBy(image.campaigns.join(", "))}` : null}
          </span>
          <span class="hash">
            {T.hash} <span class="mono">{image.id}</span>
          </span>
        </span>
      </label>
      <span class="said">
        <Status shape={SHAPES[image.signature]}>{T.signature[image.signature]}</Status>
        <button
          type="button"
          class="btn sm"
          onClick={onForget}
          aria-label={T.removeOf(name)}
          data-testid="new-image-remove"
        >
          {T.remove}
        </button>
      </span>
      {image.signature === "verified" ? null : (
        <p class="t3 note">{image.signature === "refused" ? T.refusedText : T.uncheckedText}</p>
      )}
    </div>
  );
}

function Drop({
  again,
  sending,
  onFile,
}: {
  again: boolean;
  sending: string | null;
  onFile: (file: File | undefined) => void;
}) {
  const [over, setOver] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const offline = useStore(live.view).state === "offline";
  return (
    <div
      class={over ? "drop over" : "drop"}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        onFile(event.dataTransfer?.files[0]);
      }}
      data-testid="new-image-drop"
    >
      {sending === null ? (
        <>
          <span class="t2">{again ? T.dropAgain : T.drop}</span>
          <button
            type="button"
            class="btn"
            disabled={offline}
            onClick={() => input.current?.click()}
            data-testid="new-image-choose"
          >
            <Icon name="image" />
            {T.choose}
          </button>
        </>
      ) : (
        <span role="status">
          <Status shape="run">{T.sending(sending)}</Status>
        </span>
      )}
      <input
        type="file"
        hidden
        ref={input}
        aria-label={T.file}
        onChange={(event) => {
          const { files } = event.currentTarget;
          onFile(files?.[0]);
          // The same file may be brought again.
          event.currentTarget.value = "";
        }}
        data-testid="new-image-file"
      />
    </div>
  );
}
