import { Shell } from "../components/shell.tsx";
export function StatesPage() {
  return <Shell title="States" crumbs={[{ text: "States" }]}><h1 tabIndex={-1}>States</h1></Shell>;
}
