import { failureOf, get, post, query, send, signedOut } from "./api.ts";
import { session } from "./session.ts";
import type {
  Campaign,
  CampaignList,
  CampaignMeters,
  CampaignPlan,
  FirmwareImage,
  FirmwareImages,
  NewCampaign,
} from "./types.ts";

/** Which meters of a campaign. */
export interface CampaignMeterQuery {
  q: string;
  step: string;
  ring: string;
  offset: number;
  limit: number;
}

/** Sends something that is no JSON, or takes something away; an answer that is an error is thrown. */
async function order(path: string, init: RequestInit): Promise<Response> {
  const who = session.value;
  const response = await send(path, init);
  if (response.ok) return response;
  const failure = await failureOf(response);
  if (failure.failure === "signed_out" && session.value === who) signedOut.set(signedOut.value + 1);
  throw failure;
}

/** The head end's API of campaigns; apart, so that no other page carries it. */
export const campaignApi = {
  list: (limit: number, signal?: AbortSignal) => get<CampaignList>(`/campaigns${query({ limit })}`, signal),
  one: (id: number, signal?: AbortSignal) => get<Campaign>(`/campaigns/${id}`, signal),
  meters: (id: number, q: CampaignMeterQuery, signal?: AbortSignal) =>
    get<CampaignMeters>(`/campaigns/${id}/meters${query({ ...q })}`, signal),
  images: (signal?: AbortSignal) => get<FirmwareImages>("/images", signal),
  async upload(file: Blob): Promise<FirmwareImage> {
    const headers = { accept: "application/json", "content-type": "application/octet-stream" };
    const response = await order("/images", { method: "POST", headers, body: file });
    return (await response.json()) as FirmwareImage;
  },
  async forget(id: string): Promise<void> {
    await order(`/images/${encodeURIComponent(id)}`, { method: "DELETE" });
  },
  plan: (body: NewCampaign) => post<CampaignPlan>("/campaigns/plan", body),
  begin: (body: NewCampaign) => post<{ id: number }>("/campaigns", body),
  stop: (id: number) => post<Campaign>(`/campaigns/${id}/stop`, {}),
  resume: (id: number) => post<Campaign>(`/campaigns/${id}/resume`, {}),
};
