import type { Client } from "./client.js";
import { client } from "./generated/hey-api/client.gen.js";
import { dealsNdjson, topClientsRetrieve, uploadCreate } from "./generated/hey-api/sdk.gen.js";

export default function connect(baseUrl: string): Client {
  client.setConfig({ baseUrl });
  return {
    async upload(deals) {
      const { data, error } = await uploadCreate({ body: { deals } });
      return data ?? error;
    },
    async topClients(limit) {
      const { data, error } = await topClientsRetrieve({ query: { limit } });
      return data ?? error;
    },
    async deals(query) {
      const { data } = await dealsNdjson({ query });
      return data;
    },
  };
}
