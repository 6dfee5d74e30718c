// An example client: every result is typed, and every error is a DealsError with a code.
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

type Page = NonNullable<PageOfDealsQuery["deals"]>;
export type TopClient = NonNullable<TopClientsQuery["topClients"]>[number];
export type Deal = Page["nodes"][number];
export type Month = NonNullable<MoneyByMonthQuery["dealStats"]>["nodes"][number];
export type Upload = CurrentUploadQuery["currentUpload"];

/** An error of the service: `code` is stable and meant for programs, `message` is a sentence for people. */
export class DealsError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** Create a client without a cache, because the browser's HTTP cache revalidates responses. */
export function connect(service: string): Client {
  return new Client({ url: `${service}/graphql`, exchanges: [fetchExchange], preferGetMethod: "within-url-limit" });
}

function readData<Data>({ data, error }: OperationResult<Data>): Data {
  const [graphQLError] = error?.graphQLErrors ?? [];
  if (graphQLError) throw new DealsError(String(graphQLError.extensions["code"]), graphQLError.message);
  if (error || data === undefined) throw new DealsError("no_response", error?.message ?? "The service does not respond.");
  return data;
}

/** Return a root field; it is null only in a response with errors, which `readData` throws. */
function rootField<Field>(field: Field | null | undefined): Field {
  if (field == null) throw new DealsError("no_response", "The response is incomplete.");
  return field;
}

export async function topClients(client: Client, limit: number): Promise<TopClient[]> {
  return rootField(readData(await client.query(TopClientsDocument, { limit })).topClients);
}

export async function moneyByMonth(client: Client): Promise<Month[]> {
  return rootField(readData(await client.query(MoneyByMonthDocument, {})).dealStats).nodes;
}

export async function currentUpload(client: Client): Promise<Upload> {
  return readData(await client.query(CurrentUploadDocument, {})).currentUpload;
}

/**
 * Read all deals, newest first, page by page. A cursor is valid for one upload: if another file becomes current
 * during the read, the read restarts, so all deals belong to the same file.
 * `onPage` is called with the deals of each page, including those of abandoned attempts.
 */
export async function allDeals(client: Client, onPage: (deals: Deal[]) => unknown = () => {}): Promise<Deal[]> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await readAllPages(client, onPage);
    } catch (error) {
      const outdated = error instanceof DealsError && error.code === "cursor_outdated";
      if (!outdated || attempt === 5) throw error;
    }
  }
}

async function readAllPages(client: Client, onPage: (deals: Deal[]) => unknown): Promise<Deal[]> {
  const deals: Deal[] = [];
  for (let after: string | null = null; ; ) {
    const page: Page = rootField(readData(await client.query(PageOfDealsDocument, { after })).deals);
    deals.push(...page.nodes);
    await onPage(page.nodes);
    if (!page.pageInfo.hasNextPage) return deals;
    after = page.pageInfo.endCursor;
  }
}

/** Make a retained upload current. The result is a union, and the compiler checks that every type is handled. */
export async function activateUpload(client: Client, id: string): Promise<string> {
  const result = rootField(readData(await client.mutation(ActivateUploadDocument, { id })).activateUpload);
  switch (result.__typename) {
    case "UploadActivated":
      return result.upload.id;
    case "UploadNotRetained":
      throw new DealsError(result.code, result.message);
  }
}

type UploadResult = { Status: "OK" } | { Status: "Error"; Desc: string; Code: string };

/** Upload a file over REST. */
export async function upload(service: string, file: Blob, name: string): Promise<void> {
  const form = new FormData();
  form.append("deals", file, name);
  const response = await fetch(`${service}/api/upload/`, { method: "POST", body: form });
  const result = (await response.json()) as UploadResult;
  if (result.Status === "Error") throw new DealsError(result.Code, result.Desc);
}

/** Convert an amount such as "100.5" to hundredths, which can be added exactly. */
export function hundredths(money: string): bigint {
  const [whole = "", cents = ""] = money.split(".");
  return BigInt(whole + cents.padEnd(2, "0"));
}
