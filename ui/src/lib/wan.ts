import type { Wan, WanWay } from "./types.ts";

/** What people call a way; where it is, if it has no name. */
export const wayName = (way: WanWay): string => (way.name === "" ? way.place : way.name);

/** Whether a way should be in use and is not: it is down, or nobody comes over it and it stands before the one in use. */
export const isMissed = (wan: Wan, at: number): boolean => {
  const way = wan.ways[at];
  if (way === undefined) return false;
  if (way.state === "up") return false;
  return way.state === "down" || (way.class === "" && at < (wan.current ?? 0));
};

/** The way in use, where it can be told apart from others. */
export function runsOver(wan: Wan): WanWay | null {
  const way = wan.current === null ? undefined : wan.ways[wan.current];
  if (way === undefined || way.state !== "up") return null;
  const others = wan.ways.filter((one) => one.class === "");
  return way.name !== "" || others.length > 1 ? way : null;
}
