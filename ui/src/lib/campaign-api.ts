import { get, post, query } from "./api.ts";
import type { Campaign, CampaignList, CampaignMeters } from "./types.ts";

/** Which meters of a campaign. */
export interface CampaignMeterQuery {
  q: string;
  step: string;
  ring: string;
  offset: number;
  limit: number;
}

/** The head end's API of campaigns; apart, so that no other page carries it. */
export const campaignApi = {
  list: (limit: number, signal?: AbortSignal) => get<CampaignList>(`/campaigns${query({ limit })}`, signal),
  one: (id: number, signal?: AbortSignal) => get<Campaign>(`/campaigns/${id}`, signal),
  meters: (id: number, q: CampaignMeterQuery, signal?: AbortSignal) =>
    get<CampaignMeters>(`/campaigns/${id}/meters${query({ ...q })}`, signal),
  stop: (id: number) => post<Campaign>(`/campaigns/${id}/stop`, {}),
  resume: (id: number) => post<Campaign>(`/campaigns/${id}/resume`, {}),
};
