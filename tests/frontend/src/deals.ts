// The service as a frontend may have it: every answer typed, every refusal a DealsError with a code.
import { Client, fetchExchange, type OperationResult } from "@urql/core";
import {
  ActivateUploadDocument,
  CurrentUploadDocument,
  MoneyByMonthDocument,
  PageOfDealsDocument,
  TopClientsDocument,
  type CurrentUploadQuery,
  type MoneyByMonthQuery,
  type PageOfDealsQuery,
  type TopClientsQuery,
} from "./gql/graphql.js";

export type TopClient = TopClientsQuery["topClients"][number];
export type Deal = PageOfDealsQuery["deals"]["nodes"][number];
export type Month = MoneyByMonthQuery["dealStats"][number];
export type Upload = CurrentUploadQuery["currentUpload"];

/** What the service refuses: `code` is a stable word for programs, `message` a sentence for people. */
export class DealsError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** A client that asks the server each time: a browser's own cache already answers what has not changed. */
export function connect(service: string): Client {
  return new Client({ url: `${service}/graphql`, exchanges: [fetchExchange], preferGetMethod: "within-url-limit" });
}

function dataOf<Data>({ data, error }: OperationResult<Data>): Data {
  const [refusal] = error?.graphQLErrors ?? [];
  if (refusal) throw new DealsError(String(refusal.extensions["code"]), refusal.message);
  if (error || data === undefined) throw new DealsError("no_answer", error?.message ?? "There is no answer.");
  return data;
}

export async function topClients(client: Client, limit: number): Promise<TopClient[]> {
  return dataOf(await client.query(TopClientsDocument, { limit })).topClients;
}

export async function moneyByMonth(client: Client): Promise<Month[]> {
  return dataOf(await client.query(MoneyByMonthDocument, {})).dealStats;
}

export async function currentUpload(client: Client): Promise<Upload> {
  return dataOf(await client.query(CurrentUploadDocument, {})).currentUpload;
}

/**
 * Every deal, newest first, page by page. A cursor belongs to the upload that it was made for; where another
 * file has come meanwhile, reading starts again, so the deals are always those of one file.
 */
export async function allDeals(client: Client, onPage: (deals: Deal[]) => unknown = () => {}): Promise<Deal[]> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await readToTheEnd(client, onPage);
    } catch (error) {
      const outdated = error instanceof DealsError && error.code === "cursor_outdated";
      if (!outdated || attempt === 5) throw error;
    }
  }
}

async function readToTheEnd(client: Client, onPage: (deals: Deal[]) => unknown): Promise<Deal[]> {
  const deals: Deal[] = [];
  for (let after: string | null = null; ; ) {
    const page: PageOfDealsQuery["deals"] = dataOf(await client.query(PageOfDealsDocument, { after })).deals;
    deals.push(...page.nodes);
    await onPage(page.nodes);
    if (!page.pageInfo.hasNextPage) return deals;
    after = page.pageInfo.endCursor;
  }
}

/** Makes a retained upload current again; what may come of it is a union, and the compiler knows all of it. */
export async function activateUpload(client: Client, id: string): Promise<string> {
  const { activateUpload: result } = dataOf(await client.mutation(ActivateUploadDocument, { id }));
  switch (result.__typename) {
    case "UploadActivated":
      return result.upload.id;
    case "UploadNotRetained":
      throw new DealsError(result.code, result.message);
  }
}

type UploadAnswer = { Status: "OK" } | { Status: "Error"; Desc: string; Code: string };

/** Files go in over REST. */
export async function upload(service: string, file: Blob, name: string): Promise<void> {
  const form = new FormData();
  form.append("deals", file, name);
  const response = await fetch(`${service}/api/upload/`, { method: "POST", body: form });
  const answer = (await response.json()) as UploadAnswer;
  if (answer.Status === "Error") throw new DealsError(answer.Code, answer.Desc);
}

/** Money comes as digits, so that none are lost; as hundredths it can be added up exactly. */
export function hundredths(money: string): bigint {
  const [whole = "", cents = ""] = money.split(".");
  return BigInt(whole + cents.padEnd(2, "0"));
}
