// node run.mjs SERVICE FILE: what build/explore.js finds at a service, as JSON; FILE is uploaded on the way.
import { readFile } from "node:fs/promises";
import { explore } from "./build/explore.js";

const [service, file] = process.argv.slice(2);
console.log(JSON.stringify(await explore(service, new Blob([await readFile(file)]))));
