// gql.tada: the documents of tada/operations.ts are valid, its inferred types compile, and a wrong document is reported.
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { check } from "../scenario.mjs";

/** Run a program of npm; return its exit status and its output. */
function run(...command) {
  try {
    return [0, execFileSync("node", command, { encoding: "utf8", env: { ...process.env, NO_COLOR: "1" } })];
  } catch ({ status, stdout, stderr }) {
    return [status, stdout + stderr];
  }
}

const TADA = "node_modules/gql.tada/bin/cli.js";
const TSC = "node_modules/typescript/bin/tsc";
const folder = mkdtempSync("tada-");
try {
  cpSync("tada", folder, { recursive: true });
  const [generated, output] = run(TADA, "generate-output", "-c", folder);
  check("generate-output", [generated, generated && output], [0, 0]);
  const [checked, problems] = run(TADA, "check", "-c", folder);
  check("check accepts the documents", [checked, checked && problems], [0, 0]);
  const [compiled, errors] = run(TSC, "-p", folder);
  check("the inferred types compile", [compiled, errors], [0, ""]);
  const file = `${folder}/operations.ts`;
  writeFileSync(file, readFileSync(file, "utf8").replace("rowNumber", "price"));
  const [status, report] = run(TADA, "check", "-c", folder);
  check("check reports an unknown field", [status !== 0, report.includes("price")], [true, true]);
} finally {
  rmSync(folder, { recursive: true });
}
