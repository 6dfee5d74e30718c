// Exercise the client against a real server and return a report, which tests/test_frontend.py checks.
import * as deals from "./deals.js";

const UNKNOWN_UPLOAD = btoa(`Upload:${"0".repeat(32)}`);

/** Return the code of the DealsError with which a promise is rejected. */
async function errorCode(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof deals.DealsError) return error.code;
    throw error;
  }
  return "none";
}

export async function explore(service: string, nextFile: Blob) {
  const client = deals.connect(service);
  const topClients = await deals.topClients(client, 5);
  const first = await deals.currentUpload(client);
  const allDeals = await deals.allDeals(client);
  const months = await deals.moneyByMonth(client);
  const tooMany = await errorCode(deals.topClients(client, 1000));

  let pageCount = 0;
  const afterUpload = await deals.allDeals(client, async () => {
    pageCount += 1;
    if (pageCount === 2) await deals.upload(service, nextFile, "next.csv");
  });

  const second = await deals.currentUpload(client);
  const activated = first && (await deals.activateUpload(client, first.id));
  return {
    topClients,
    upload: first,
    rows: allDeals.length,
    ids: new Set(allDeals.map(({ id }) => id)).size,
    dates: allDeals.map(({ date }) => date),
    total: String(allDeals.reduce((sum, { total }) => sum + deals.hundredths(total), 0n)),
    totalOfMonths: String(months.reduce((sum, { total }) => sum + deals.hundredths(total), 0n)),
    dealsOfMonths: months.reduce((sum, { dealCount }) => sum + dealCount, 0),
    tooMany,
    pageCount,
    afterUpload: afterUpload.map(({ customer, gem, total }) => [customer.username, gem.name, total]),
    second: second?.fileName,
    rolledBack: activated === first?.id && (await deals.currentUpload(client))?.id === first?.id,
    notRetained: await errorCode(deals.activateUpload(client, UNKNOWN_UPLOAD)),
    badFile: await errorCode(deals.upload(service, new Blob(["nothing"]), "bad.csv")),
    unreachable: await errorCode(deals.topClients(deals.connect("http://127.0.0.1:1"), 5)),
  };
}

// Type errors that the compiler must report
export function typeErrors(client: Parameters<typeof deals.topClients>[0], deal: deals.Deal): unknown[] {
  return [
    // @ts-expect-error money is a string
    deal.total * 2,
    // @ts-expect-error the field does not exist
    deal.price,
    // @ts-expect-error null before the first upload
    deals.currentUpload(client).then((upload) => upload.id),
  ];
}
