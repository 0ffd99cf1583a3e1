import "./styles/tokens.css";
import "./styles/fonts.css";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/controls.css";
import "./styles/status.css";
import "./styles/cards.css";
import "./styles/tables.css";
import "./styles/charts.css";
import "./styles/segment.css";
import "./styles/states.css";
import "./styles/gate.css";
import "./styles/outlets.css";
import "./styles/campaigns.css";
import "./styles/paths.css";
import "./styles/narrow.css";
import { render } from "preact";
import { App } from "./app.tsx";
import { listen } from "./lib/keys.ts";
import { followLinks } from "./lib/router.ts";

const root = document.getElementById("app");
if (root) {
  followLinks();
  listen();
  render(<App />, root);
}
