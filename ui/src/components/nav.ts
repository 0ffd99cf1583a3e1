import { t } from "../texts/en.ts";
import { network } from "../texts/network.en.ts";
import { orders } from "../texts/orders.en.ts";
import type { IconName } from "./icons.tsx";

/** A place in the navigation. */
export interface NavItem {
  href: string;
  /** The pages at which this item is the current one. */
  at: RegExp;
  icon: IconName;
  text: string;
  /** A shorter name for the tab bar of narrow screens. */
  short: string;
  testid: string;
  /** The key sequence that leads there. */
  keys: string;
}

/** Items under a heading of the side bar, which is empty for the first. */
export interface NavGroup {
  title: string;
  items: NavItem[];
}

/** What the side bar shows, and the tab bar of narrow screens in the same order. */
export const NAV: NavGroup[] = [
  {
    title: "",
    items: [
      {
        href: "/fleet",
        at: /^\/(?:fleet|meters|outlet-meters)(?:\/|$)/,
        icon: "gauge",
        text: t.nav.fleet,
        short: t.nav.fleet,
        testid: "nav-fleet",
        keys: "g f",
      },
    ],
  },
  {
    title: network.title,
    items: [
      {
        href: "/concentrators",
        at: /^\/concentrators(?:\/|$)/,
        icon: "network",
        text: network.concentrators,
        short: network.title,
        testid: "nav-concentrators",
        keys: "g c",
      },
    ],
  },
  {
    title: network.act,
    items: [
      {
        href: "/orders",
        at: /^\/orders(?:\/|$)/,
        icon: "scroll-text",
        text: orders.title,
        short: orders.title,
        testid: "nav-orders",
        keys: "g o",
      },
      {
        href: "/campaigns",
        at: /^\/campaigns(?:\/|$)/,
        icon: "radio-tower",
        text: network.campaigns,
        short: network.campaigns,
        testid: "nav-campaigns",
        keys: "g u",
      },
    ],
  },
];
