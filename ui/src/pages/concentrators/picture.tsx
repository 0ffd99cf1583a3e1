import type { Tree } from "../../lib/branches.ts";
import { levelsOf, linkOf, shortName, type Link, type Node, type Picture } from "../../lib/segment.ts";
import type { BehindMeter } from "../../lib/types.ts";
import { concentrators as T } from "../../texts/concentrators.en.ts";

/** The mark of a link, by its shape first: disc, triangle, square, ring. */
function Mark({ link, x, y, size }: { link: Link; x: number; y: number; size: number }) {
  if (link === "fair") {
    return (
      <path class="m-fair" d={`M${x} ${y - size * 1.15}l${size * 1.15} ${size * 2.1}h${-size * 2.3}Z`} />
    );
  }
  if (link === "poor") {
    return (
      <rect class="m-poor" x={x - size} y={y - size} width={2 * size} height={2 * size} rx={size * 0.3} />
    );
  }
  return <circle class={`m-${link}`} cx={x} cy={y} r={link === "silent" ? size * 0.9 : size} />;
}

function curve(x1: number, y1: number, x2: number, y2: number): string {
  const middle = (x1 + x2) / 2;
  return `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
}

/**
 * The segment as a picture: a column for each number of hops, the worst meters named, and lines between repeaters
 * and those behind them where that is told. The tree below is the same truth, so that the picture is one image to a reader; keys move the choice in both.
 */
export function SegmentPicture({
  name,
  meters,
  tree,
  picture,
  chosen,
  onChoose,
  onOpen,
}: {
  name: string;
  meters: BehindMeter[];
  tree: Tree | null;
  picture: Picture;
  chosen: number | null;
  onChoose: (sap: number) => void;
  onOpen: (meter: BehindMeter) => void;
}) {
  const levels = levelsOf(meters);
  const nodes = picture.columns.flatMap((column) => column.nodes);
  const at = nodes.findIndex((node) => node.meter.sap === chosen);
  const bad = meters.filter((meter) => ["poor", "silent"].includes(linkOf(meter)));
  const repeaters = (tree?.branches ?? []).filter((branch) => branch.behind > 0);
  const told = repeaters.slice(0, 8);
  const summary = T.pictureSummary({
    name,
    branches: told.map(({ meter, behind }) => `${meter.name} ${T.link[linkOf(meter)]}, ${T.behind(behind)}`),
    more: repeaters.length - told.length,
    levels: levels.map((level) => `${T.level(level.hops)}, ${T.meters(level.meters.length)}`),
    bad: bad.slice(0, 12).map((meter) => `${meter.name} ${T.link[linkOf(meter)]}`),
  });

  const move = (event: KeyboardEvent): void => {
    const current = nodes[at];
    const go = (node: Node | undefined): void => {
      if (node) onChoose(node.meter.sap);
    };
    const beside = (step: 1 | -1): Node | undefined => {
      const columns = picture.columns;
      const kin = (node: Node): boolean =>
        step > 0 ? node.meter.behind === chosen : node.meter.sap === nodes[at]?.meter.behind;
      if (tree) return nodes.find(kin);
      const column = columns.findIndex((one) => one.nodes.some((node) => node.meter.sap === chosen));
      const row = columns[column]?.nodes.findIndex((node) => node.meter.sap === chosen) ?? 0;
      const next = columns[column + step]?.nodes ?? [];
      return next[Math.min(row, next.length - 1)];
    };
    if (event.key === "ArrowDown") go(nodes[at + 1] ?? (at < 0 ? nodes[0] : undefined));
    else if (event.key === "ArrowUp") go(nodes[at - 1]);
    else if (event.key === "ArrowRight") go(current ? beside(1) : nodes[0]);
    else if (event.key === "ArrowLeft") go(beside(-1));
    else if (event.key === "Home") go(nodes[0]);
    else if (event.key === "End") go(nodes.at(-1));
    else if (event.key === "Enter" && current) onOpen(current.meter);
    else return;
    event.preventDefault();
  };

  const wordsOf = ({ meter, link, behind }: Node): string =>
    `${meter.name}, ${T.link[link]}${behind ? `, ${T.behind(behind)}` : ""}`;
  const { root } = picture;
  const out = root.x + root.width;
  const mid = root.y + root.height / 2;
  return (
    <>
      <svg
        class="topo"
        viewBox={`0 0 ${picture.width} ${picture.height}`}
        role="img"
        aria-label={summary}
        aria-describedby="conc-picture-hint"
        tabindex={0}
        onKeyDown={move}
        data-testid="conc-picture"
        data-chosen={chosen ?? ""}
      >
        {picture.lines?.map((line) => (
          <path
            key={`${line.x2} ${line.y2}`}
            class={`lk lk-${line.link}`}
            d={curve(line.x1, line.y1, line.x2, line.y2)}
            data-testid="conc-line"
          />
        ))}
        {picture.columns.map((column, index) => {
          const before = picture.columns[index - 1];
          const bus = before?.bus ?? null;
          return (
            <g key={column.level.hops}>
              <text class="sm" x={column.x - 6} y={14}>
                <tspan class="sm">
                  {T.level(column.level.hops)}
                  {index === picture.columns.length - 1 && levels.length > picture.columns.length ? "+" : ""}
                </tspan>
                <tspan class="sm" dx={6}>
                  {column.level.meters.length}
                </tspan>
              </text>
              {column.bus ? (
                <rect
                  class="bus"
                  x={column.bus.x - 2}
                  y={column.bus.top}
                  width={4}
                  height={column.bus.bottom - column.bus.top}
                  rx={2}
                />
              ) : null}
              {(picture.lines ? [] : column.nodes).map((node) => (
                <path
                  key={`l${node.meter.name}`}
                  class={`lk lk-${node.link}`}
                  d={bus ? `M${bus.x + 2} ${node.y}H${node.x - 6}` : curve(out, mid, node.x - 6, node.y)}
                />
              ))}
              {column.nodes.map((node) => {
                const short = shortName(node.meter.name);
                return (
                  <g
                    key={node.meter.name}
                    class="node"
                    onClick={() => onChoose(node.meter.sap)}
                    data-testid="conc-node"
                    data-id={node.meter.sap}
                    data-state={node.link}
                    data-behind={node.behind}
                  >
                    <title>{wordsOf(node)}</title>
                    <rect
                      class="cap"
                      x={node.x + 10}
                      y={node.y - 11}
                      width={node.cap ?? 88}
                      height={22}
                      rx={5}
                    />
                    <Mark link={node.link} x={node.x} y={node.y} size={5} />
                    <text x={node.x + 17} y={node.y + 4}>
                      {short}{" "}
                      <tspan class="sm" dx={2}>
                        {!node.behind
                          ? T.link[node.link]
                          : (node.cap ?? 88) > 88
                            ? T.behind(node.behind)
                            : T.behindShort(node.behind)}
                      </tspan>
                    </text>
                    {node.meter.sap === chosen ? (
                      <circle class="sel" cx={node.x} cy={node.y} r={9.5} />
                    ) : null}
                  </g>
                );
              })}
              {column.rest ? (
                <g>
                  <text class="sm" x={column.rest.x - 6} y={column.rest.y - 12}>
                    {T.restTitle(column.rest.count)}
                  </text>
                  {column.rest.more > 0 ? (
                    <text class="sm" x={column.rest.x + 90} y={column.rest.y - 12}>
                      {T.notDrawn(column.rest.more)}
                    </text>
                  ) : null}
                  {column.rest.marks.map((mark, i) => (
                    <Mark key={i} link={mark.link} x={mark.x} y={mark.y} size={3.5} />
                  ))}
                </g>
              ) : null}
            </g>
          );
        })}
        <rect class="root" x={root.x} y={root.y} width={root.width} height={root.height} rx={8} />
        <text class="t-on" x={root.x + root.width / 2} y={mid - 3} text-anchor="middle">
          {name.length > 14 ? `…${name.slice(-12)}` : name}
        </text>
        <text class="t-on sm" x={root.x + root.width / 2} y={mid + 12} text-anchor="middle">
          {T.meters(meters.length)}
        </text>
      </svg>
      <span class="vh" id="conc-picture-hint">
        {T.pictureHint}
      </span>
      <span class="vh" role="status">
        {nodes[at] ? wordsOf(nodes[at]) : ""}
      </span>
    </>
  );
}
