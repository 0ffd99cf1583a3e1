import { useEffect, useRef, useState } from "preact/hooks";
import { rowsInView, type WindowOfRows } from "../lib/virtual.ts";

/** Pixels of one rem now. */
export function rem(): number {
  return Number.parseFloat(getComputedStyle(document.documentElement).fontSize) || 16;
}

/**
 * The rows of a long list that are in view, with some to spare. The page itself scrolls; `head` is the height
 * above the first row inside the element.
 */
export function useVirtual(total: number, rowPx: number, spare: number, head: number) {
  const ref = useRef<HTMLDivElement>(null);
  const [view, setView] = useState<WindowOfRows>(() => rowsInView(total, rowPx, 0, innerHeight, spare));
  const input = useRef({ total, rowPx });
  input.current = { total, rowPx };
  useEffect(() => {
    let frame = 0;
    const measure = (): void => {
      frame = 0;
      const top = ref.current?.getBoundingClientRect().top ?? 0;
      const next = rowsInView(input.current.total, input.current.rowPx, -top - head, innerHeight, spare);
      setView((old) =>
        old.start === next.start && old.end === next.end && old.height === next.height ? old : next,
      );
    };
    const later = (): void => {
      if (frame === 0) frame = requestAnimationFrame(measure);
    };
    measure();
    addEventListener("scroll", later, { passive: true });
    addEventListener("resize", later);
    return () => {
      cancelAnimationFrame(frame);
      removeEventListener("scroll", later);
      removeEventListener("resize", later);
    };
  }, [total, rowPx, spare, head]);
  return { ref, view };
}
