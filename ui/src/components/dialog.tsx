import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { t } from "../texts/en.ts";
import { Icon } from "./icons.tsx";

/** A modal dialog; the browser keeps the focus inside and gives it back. */
export function Dialog({
  title,
  onClose,
  testid,
  class: extra,
  children,
}: {
  title: string;
  onClose: () => void;
  testid?: string;
  class?: string;
  children: ComponentChildren;
}) {
  const ref = useRef<HTMLDialogElement>(null);
  const close = useRef(onClose);
  close.current = onClose;
  useEffect(() => {
    const dialog = ref.current;
    if (!dialog) return;
    const opener = document.activeElement instanceof HTMLElement ? document.activeElement : null;
    dialog.showModal();
    const closed = (): void => close.current();
    dialog.addEventListener("close", closed);
    return () => {
      dialog.removeEventListener("close", closed);
      if (dialog.open) dialog.close();
      opener?.focus();
    };
  }, []);
  return (
    <dialog
      ref={ref}
      class={extra ? `dialog ${extra}` : "dialog"}
      aria-label={title}
      data-testid={testid}
      onClick={(event) => {
        if (event.target === ref.current) ref.current?.close();
      }}
    >
      <div class="dialog-in">
        <header>
          <h2>{title}</h2>
          <button
            type="button"
            class="btn ghost icon sm"
            aria-label={t.keyboard.close}
            onClick={() => ref.current?.close()}
          >
            <Icon name="x" />
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}
