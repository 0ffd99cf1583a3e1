import { Shell } from "../components/shell.tsx";
import { t } from "../texts/en.ts";
export function FleetPage() {
  return <Shell title={t.fleet.title} crumbs={[{ text: t.fleet.title }]}><h1 tabIndex={-1}>{t.fleet.title}</h1></Shell>;
}
