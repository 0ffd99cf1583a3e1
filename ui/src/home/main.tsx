import "../styles/tokens.css";
import "../styles/fonts.css";
import "../styles/base.css";
import "../styles/controls.css";
import "../styles/status.css";
import "../styles/cards.css";
import "../styles/tables.css";
import "../styles/charts.css";
import "../styles/states.css";
import "../styles/gate.css";
import "../styles/home.css";
import { render } from "preact";
import { listen } from "../lib/keys.ts";
import { App } from "./app.tsx";

const root = document.getElementById("app");
if (root) {
  listen();
  render(<App />, root);
}

// Keeps the page itself for the time when the gateway does not answer. Browsers allow that only where they trust
// the certificate; without it an open page goes on all the same.
if (import.meta.env.PROD) navigator.serviceWorker?.register("/sw.js").catch(() => undefined);
