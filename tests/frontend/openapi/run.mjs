// Run the scenario with a compiled client: `node openapi/run.mjs SERVICE NAME`.
import { readFileSync } from "node:fs";
import { check, service } from "../scenario.mjs";

const { default: connect } = await import(`./build/${process.argv[3]}.js`);
const client = connect(service);
const OK = { Status: "OK" };

/** Return a deals file of one deal for each total. */
function file(...totals) {
  const lines = totals.map((total) => `ann,ruby,${total},1,2020-01-02 03:04:05\n`);
  return new File(["customer,item,total,quantity,date\n", ...lines], "deals.csv");
}

check("upload", await client.upload(new File([readFileSync("../data/deals.csv")], "deals.csv")), OK);
const gems = ["Рубин", "Сапфир", "Танзанит"];
check("typed response", (await client.topClients(5)).response[0], { username: "resplendent", spent_money: 451731, gems });
const selected = await client.deals({ filter: '{"customer": {"eq": "resplendent"}}' });
check("NDJSON is binary", selected instanceof Blob, true);
const deals = (await selected.text()).trim().split("\n").map(JSON.parse);
check("selected deals", deals.reduce((sum, { total }) => sum + total, 0), 451731);

check("upload of exact money", await client.upload(file("0.1", "0.2")), OK);
check("money is exact", await client.topClients(1), { response: [{ username: "ann", spent_money: 0.3, gems: [] }] });

const { Code, Errors } = await client.upload(file("1", "12x"));
const [{ line, column, reason_code }] = Errors;
check("error of a rejected file", [Code, line, column, reason_code], ["bad_cells", 3, "total", "not_an_amount"]);
check("error of a parameter", (await client.topClients(0)).Code, "invalid");
