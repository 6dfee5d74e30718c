/** The operations of the scenario. The compiler checks that the types of each generated client are these. */
export interface Client {
  upload(deals: File): Promise<{ Status: "OK" | "Accepted" } | Failure | undefined>;
  topClients(limit: number): Promise<TopClients | Failure | undefined>;
  /** Read an export as NDJSON. */
  deals(query: { filter: string }): Promise<Blob | undefined>;
}

export interface TopClients {
  response: { username: string; spent_money: number; gems: string[] }[];
}

export interface Failure {
  Status: "Error";
  Desc: string;
  Code: string;
  Errors?: { line: number; column: string | null; reason_code: string }[];
}
