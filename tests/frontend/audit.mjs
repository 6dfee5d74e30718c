// All audits of graphql-http against one address; says which do not pass, and how many do.
import { auditServer } from "graphql-http";

const results = await auditServer({ url: process.argv[2] });
const others = results.filter(({ status }) => status !== "ok");
for (const { status, id, name, reason } of others) {
  console.log(`${status} ${id} ${name}: ${reason}`);
}
console.log(`${results.length - others.length} of ${results.length} audits pass`);
