import { useEffect, useRef, useState } from "preact/hooks";
import { api, ApiError } from "../lib/api.ts";
import { useKey } from "../lib/hooks.ts";
import { navigate } from "../lib/router.ts";
import type { FindGroup } from "../lib/types.ts";
import { t } from "../texts/en.ts";
import { Icon } from "./icons.tsx";

const PAUSE_MS = 120;

/** Fields made, so that each has names of its own for what it opens. */
let fields = 0;

/** The find field: looks up as one types; at most eight hits in groups, Enter opens the first. */
export function Find({
  inDialog = false,
  focused = false,
  onPicked,
}: {
  /** Whether the list stands in the flow, as in a dialog, and not over the page. */
  inDialog?: boolean;
  focused?: boolean;
  onPicked?: () => void;
}) {
  const [q, setQ] = useState("");
  const [groups, setGroups] = useState<FindGroup[] | null>(null);
  const [failed, setFailed] = useState(false);
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(0);
  const [mine] = useState(() => {
    fields += 1;
    return `find-${fields}`;
  });
  const input = useRef<HTMLInputElement>(null);
  const root = useRef<HTMLDivElement>(null);

  useKey("/", () => {
    input.current?.focus();
    input.current?.select();
  });

  useEffect(() => {
    if (focused) input.current?.focus();
  }, [focused]);

  useEffect(() => {
    const text = q.trim();
    setAt(0);
    if (text === "") {
      setGroups(null);
      setFailed(false);
      return;
    }
    const control = new AbortController();
    const timer = setTimeout(() => {
      api.find(text, control.signal).then(
        (found) => {
          if (control.signal.aborted) return;
          setGroups(found.groups);
          setFailed(false);
        },
        (cause: unknown) => {
          if (control.signal.aborted) return;
          if (cause instanceof ApiError && cause.failure === "signed_out") return;
          setGroups(null);
          setFailed(true);
        },
      );
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [q]);

  const hits = (groups ?? []).flatMap((group) => group.hits);
  const pick = (href: string): void => {
    setQ("");
    setOpen(false);
    input.current?.blur();
    onPicked?.();
    navigate(href);
  };
  const keydown = (event: KeyboardEvent): void => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      setOpen(true);
      const step = event.key === "ArrowDown" ? 1 : -1;
      if (hits.length > 0) setAt((at + step + hits.length) % hits.length);
    } else if (event.key === "Enter") {
      const hit = hits[at];
      if (hit) {
        event.preventDefault();
        pick(hit.href);
      }
    } else if (event.key === "Escape" && !inDialog) {
      if (open && q !== "") setQ("");
      else input.current?.blur();
      setOpen(false);
    }
  };
  const shown = (open || inDialog) && q.trim() !== "" && (groups !== null || failed);
  let index = -1;
  return (
    <div
      class={inDialog ? "find in-dialog" : "find"}
      ref={root}
      onFocusOut={(event) => {
        if (!root.current?.contains(event.relatedTarget as Node | null)) setOpen(false);
      }}
    >
      <Icon name="search" />
      <input
        ref={input}
        type="text"
        role="combobox"
        enterkeyhint="go"
        autocomplete="off"
        spellcheck={false}
        aria-label={t.find.label}
        aria-expanded={shown && hits.length > 0}
        aria-controls={`${mine}-hits`}
        aria-autocomplete="list"
        aria-activedescendant={shown && hits.length > 0 ? `${mine}-hit-${at}` : undefined}
        placeholder={t.find.placeholder}
        value={q}
        onInput={(event) => {
          setQ(event.currentTarget.value);
          setOpen(true);
        }}
        onFocus={() => setOpen(true)}
        onKeyDown={keydown}
        data-testid="find-input"
      />
      {inDialog ? null : <kbd aria-hidden="true">/</kbd>}
      <span class="vh" role="status">
        {shown && !failed ? t.find.count(hits.length) : ""}
      </span>
      <div class="find-list" hidden={!shown} data-testid="find-list">
        {failed ? <p class="find-none">{t.find.failed}</p> : null}
        {!failed && hits.length === 0 && q.trim() !== "" ? (
          <p class="find-none">{t.find.nothing(q.trim())}</p>
        ) : null}
        <div role="listbox" id={`${mine}-hits`} aria-label={t.find.results}>
          {(groups ?? []).map((group) => (
            <div role="group" aria-label={group.name} key={group.name}>
              <p class="find-group" aria-hidden="true">
                {group.name}
              </p>
              {group.hits.map((hit) => {
                index += 1;
                const place = index;
                return (
                  <div
                    role="option"
                    id={`${mine}-hit-${place}`}
                    key={hit.href}
                    aria-selected={place === at}
                    class="find-hit"
                    data-testid="find-hit"
                    onPointerDown={(event) => event.preventDefault()}
                    onClick={() => pick(hit.href)}
                  >
                    <span class="med">{hit.title}</span>
                    <span class="t3">{hit.detail}</span>
                  </div>
                );
              })}
            </div>
          ))}
        </div>
      </div>
      {inDialog && !shown ? <p class="t3 find-hint">{t.find.hint}</p> : null}
    </div>
  );
}
