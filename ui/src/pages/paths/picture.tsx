import { Card } from "../../components/card.tsx";
import { isLink } from "../../lib/drill.ts";
import type { FenceView } from "../../lib/fence-api.ts";
import { picture, type Edge, type Node, type Picture } from "../../lib/fence.ts";
import { paths as T } from "../../texts/paths.en.ts";

/** Boxes of ASes, and how far apart they are at least: as wide as the narrowest cards that they are drawn in. */
const WIDE = { box: 104, step: 120, least: 600 };
const NARROW = { box: 80, step: 85, least: 256 };
const HEIGHT = 38;
const BEND = 34;

interface Point {
  x: number;
  y: number;
}

/** A link that is pointed out: its two ends, and what it is. */
export interface Marked {
  ends: [string, string];
  text: string;
}

/** The ASes and links of all paths; beside each other where there is room, below each other where there is none. */
export function NetworkCard({
  view,
  unsaved,
  marked = null,
}: {
  view: FenceView;
  unsaved: boolean;
  marked?: Marked | null;
}) {
  const drawn = picture(view.paths);
  const label = T.picture(view.known, view.allowed);
  const wide = {
    width: Math.max(WIDE.least, drawn.columns * WIDE.step),
    height: Math.max(200, drawn.rows * 90),
  };
  const narrow = { width: Math.max(NARROW.least, drawn.rows * NARROW.step), height: drawn.columns * 80 };
  return (
    <Card
      id="network"
      title={T.network}
      testid="paths-network"
      aside={unsaved ? <span class="t3">{T.unsaved}</span> : null}
      footer={
        <ul class="legend">
          {(["on", "in", "out"] as const).map((state) => (
            <li key={state}>
              <svg viewBox="0 0 16 10" class="topo" aria-hidden="true" focusable="false">
                <path class={`lk-${state}`} d="M0 5H16" />
              </svg>
              {T.legend[state]}
            </li>
          ))}
          {marked === null ? null : (
            <li>
              <svg viewBox="0 0 16 10" class="topo" aria-hidden="true" focusable="false">
                <path class="lk-mark" d="M0 5H16" />
              </svg>
              {marked.text}
            </li>
          )}
        </ul>
      }
    >
      <Drawing
        class="topo only-wide"
        drawn={drawn}
        marked={marked}
        label={label}
        size={wide}
        box={WIDE.box}
        at={(node) => ({
          x: (wide.width * (2 * node.column + 1)) / (2 * drawn.columns),
          y: (wide.height * (2 * node.row + 1)) / (2 * node.of),
        })}
      />
      <Drawing
        class="topo only-narrow"
        drawn={drawn}
        marked={marked}
        label={label}
        size={narrow}
        box={NARROW.box}
        at={(node) => ({
          x: (narrow.width * (2 * node.row + 1)) / (2 * node.of),
          y: (narrow.height * (2 * node.column + 1)) / (2 * drawn.columns),
        })}
      />
    </Card>
  );
}

function Drawing({
  class: name,
  drawn,
  marked,
  label,
  size,
  box,
  at,
}: {
  class: string;
  drawn: Picture;
  marked: Marked | null;
  label: string;
  size: { width: number; height: number };
  /** How wide the box of an AS is. */
  box: number;
  at: (node: Node) => Point;
}) {
  const places = new Map(drawn.nodes.map((node) => [node.as, at(node)]));
  return (
    <svg class={name} viewBox={`0 0 ${size.width} ${size.height}`} role="img" aria-label={label}>
      {drawn.edges.map((edge) => (
        <path key={edge.id} class={`lk-${edge.state}`} d={line(edge, places)} data-link={edge.id} />
      ))}
      {drawn.edges
        .filter((edge) => marked !== null && isLink(edge.id, marked.ends))
        .map((edge) => (
          <path
            key={`${edge.id} marked`}
            class="lk-mark"
            d={line(edge, places)}
            data-testid="paths-marked"
            data-link={edge.id}
          />
        ))}
      {drawn.nodes.map((node) => {
        const { x, y } = places.get(node.as) ?? { x: 0, y: 0 };
        return (
          <g key={node.as}>
            <rect
              class={node.end ? "root" : node.out ? "as-out" : "as-box"}
              x={x - box / 2}
              y={y - HEIGHT / 2}
              width={box}
              height={HEIGHT}
              rx="9"
            />
            {node.end ? (
              <text class="t-on" x={x} y={y - 3} text-anchor="middle">
                {node.column === 0 ? T.headEnd : T.meter}
              </text>
            ) : null}
            <text class={node.end ? "sm t-on" : ""} x={x} y={node.end ? y + 12 : y + 4} text-anchor="middle">
              {node.as}
            </text>
          </g>
        );
      })}
    </svg>
  );
}

/** From the middle of one AS to that of the other; links beside each other are bent apart. */
function line(edge: Edge, places: Map<string, Point>): string {
  const a = places.get(edge.from);
  const b = places.get(edge.to);
  if (a === undefined || b === undefined) return "";
  const length = Math.hypot(b.x - a.x, b.y - a.y) || 1;
  const aside = edge.bend * BEND;
  const x = (a.x + b.x) / 2 - ((b.y - a.y) / length) * aside;
  const y = (a.y + b.y) / 2 + ((b.x - a.x) / length) * aside;
  return `M${a.x} ${a.y}Q${x.toFixed(1)} ${y.toFixed(1)} ${b.x} ${b.y}`;
}
