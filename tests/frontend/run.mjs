// node run.mjs SERVICE FILE: print the report of build/explore.js about a service as JSON; FILE is uploaded during the run.
import { readFile } from "node:fs/promises";
import { explore } from "./build/explore.js";

const [service, file] = process.argv.slice(2);
console.log(JSON.stringify(await explore(service, new Blob([await readFile(file)]))));
