import { Shell } from "../components/shell.tsx";
export function MeterPage({ id }: { id: string; tab: string }) {
  return <Shell title={id} crumbs={[{ text: id }]}><h1 tabIndex={-1}>{id}</h1></Shell>;
}
