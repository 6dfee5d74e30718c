// What tests/test_frontend.py has the client do against a real server; the report goes back as JSON.
import * as deals from "./deals.js";

const NO_UPLOAD = btoa(`Upload:${"0".repeat(32)}`);

/** The code of the refusal that a promise ends in. */
async function refusalOf(promise: Promise<unknown>): Promise<string> {
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
  const all = await deals.allDeals(client);
  const months = await deals.moneyByMonth(client);
  const tooMany = await refusalOf(deals.topClients(client, 1000));

  let pages = 0;
  const afterUpload = await deals.allDeals(client, async () => {
    pages += 1;
    if (pages === 2) await deals.upload(service, nextFile, "next.csv");
  });

  const second = await deals.currentUpload(client);
  const activated = first && (await deals.activateUpload(client, first.id));
  return {
    topClients,
    upload: first,
    rows: all.length,
    ids: new Set(all.map(({ id }) => id)).size,
    dates: all.map(({ date }) => date),
    total: String(all.reduce((sum, { total }) => sum + deals.hundredths(total), 0n)),
    totalOfMonths: String(months.reduce((sum, { total }) => sum + deals.hundredths(total), 0n)),
    dealsOfMonths: months.reduce((sum, { dealCount }) => sum + dealCount, 0),
    tooMany,
    pages,
    afterUpload: afterUpload.map(({ customer, gem, total }) => [customer.username, gem.name, total]),
    second: second?.fileName,
    wentBack: activated === first?.id && (await deals.currentUpload(client))?.id === first?.id,
    notRetained: await refusalOf(deals.activateUpload(client, NO_UPLOAD)),
    badFile: await refusalOf(deals.upload(service, new Blob(["nothing"]), "bad.csv")),
    nobody: await refusalOf(deals.topClients(deals.connect("http://127.0.0.1:1"), 5)),
  };
}

// What must not compile
export function wrong(client: Parameters<typeof deals.topClients>[0], deal: deals.Deal): unknown[] {
  return [
    // @ts-expect-error money is no number
    deal.total * 2,
    // @ts-expect-error there is no such field
    deal.price,
    // @ts-expect-error before the first upload there is none
    deals.currentUpload(client).then((upload) => upload.id),
  ];
}
