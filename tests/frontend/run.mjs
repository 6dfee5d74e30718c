// node run.mjs SERVICE FILE: run build/explore.js against a service, which uploads FILE, and print its report as JSON.
import { readFile } from "node:fs/promises";
import { explore } from "./build/explore.js";

const [service, file] = process.argv.slice(2);
console.log(JSON.stringify(await explore(service, new Blob([await readFile(file)]))));
