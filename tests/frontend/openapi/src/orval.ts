import type { Client } from "./client.js";
import { dealsNdjson, topClientsRetrieve, uploadCreate } from "./generated/orval.js";

export default function connect(): Client {
  return {
    async upload(deals) {
      return (await uploadCreate({ deals })).data;
    },
    async topClients(limit) {
      return (await topClientsRetrieve({ limit })).data ?? undefined;
    },
    async deals(query) {
      const result = await dealsNdjson(query);
      return result.status === 200 ? result.stream.blob() : undefined;
    },
  };
}
