import { Card } from "../../components/card.tsx";
import { isLink } from "../../lib/drill.ts";
import type { FenceView } from "../../lib/fence-api.ts";
import { picture, type Edge, type Node, type Picture } from "../../lib/fence.ts";
import { paths as T } from "../../texts/paths.en.ts";

const BOX = { width: 112, height: 38 };
const BEND = 34;

interface Point {
  x: number;
  y: number;
}

/** The ASes and links of all paths; beside each other where there is room, below each other where there is none. */
export function NetworkCard({
  view,
  unsaved,
  marked = null,
}: {
  view: FenceView;
  unsaved: boolean;
  /** The ends of a link that is pointed out. */
  marked?: [string, string] | null;
}) {
  const drawn = picture(view.paths);
  const label = T.picture(view.known, view.allowed);
  const wide = { width: Math.max(720, drawn.columns * 150), height: Math.max(200, drawn.rows * 90) };
  const narrow = { width: Math.max(344, drawn.rows * 122), height: drawn.columns * 80 };
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
              {T.legend.mark}
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
  at,
}: {
  class: string;
  drawn: Picture;
  marked: [string, string] | null;
  label: string;
  size: { width: number; height: number };
  at: (node: Node) => Point;
}) {
  const places = new Map(drawn.nodes.map((node) => [node.as, at(node)]));
  return (
    <svg class={name} viewBox={`0 0 ${size.width} ${size.height}`} role="img" aria-label={label}>
      {drawn.edges.map((edge) => (
        <path key={edge.id} class={`lk-${edge.state}`} d={line(edge, places)} data-link={edge.id} />
      ))}
      {drawn.edges
        .filter((edge) => marked !== null && isLink(edge.id, marked))
        .map((edge) => (
          <path key={`${edge.id} marked`} class="lk-mark" d={line(edge, places)} data-testid="paths-marked" />
        ))}
      {drawn.nodes.map((node) => {
        const { x, y } = places.get(node.as) ?? { x: 0, y: 0 };
        return (
          <g key={node.as}>
            <rect
              class={node.end ? "root" : node.out ? "as-out" : "as-box"}
              x={x - BOX.width / 2}
              y={y - BOX.height / 2}
              width={BOX.width}
              height={BOX.height}
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
