import createClient from "openapi-fetch";
import type { Client } from "./client.js";
import type { paths } from "./generated/openapi-typescript.js";

export default function connect(baseUrl: string): Client {
  const client = createClient<paths>({ baseUrl });
  return {
    async upload(deals) {
      const { data, error } = await client.POST("/api/upload/", {
        body: { deals },
        bodySerializer() {
          const form = new FormData();
          form.append("deals", deals);
          return form;
        },
      });
      return data ?? error;
    },
    async topClients(limit) {
      const { data, error } = await client.GET("/api/top-clients/", { params: { query: { limit } } });
      return data ?? error;
    },
    async deals(query) {
      const { data } = await client.GET("/api/exports/deals.ndjson", { params: { query }, parseAs: "blob" });
      return data;
    },
  };
}
