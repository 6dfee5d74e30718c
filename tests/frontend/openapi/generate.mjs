// Generate and compile a client with each generator: `node openapi/generate.mjs SERVICE` reads the served description.
import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { createClient } from "@hey-api/openapi-ts";
import openapiTS, { astToString } from "openapi-typescript";
import { generate } from "orval";
import ts from "typescript";

const service = process.argv[2];
const description = `${service}/api/schema/?format=json`;
const folder = "openapi/src/generated";
rmSync(folder, { recursive: true, force: true });

const blob = ts.factory.createTypeReferenceNode("Blob");
const types = await openapiTS(new URL(description), {
  transform: ({ format }) => (format === "binary" ? blob : undefined),
});

await createClient({
  input: description,
  output: { path: `${folder}/hey-api`, importFileExtension: ".js" },
  plugins: ["@hey-api/client-fetch", "@hey-api/sdk", "@hey-api/typescript"],
  logs: { level: "silent" },
});
await generate({
  input: description,
  output: {
    target: `${folder}/orval.ts`,
    client: "fetch",
    baseUrl: service,
    // orval would send the form as JSON, because the file can also be the whole body.
    override: { contentType: { exclude: ["text/csv"] } },
  },
});
writeFileSync(`${folder}/openapi-typescript.ts`, astToString(types));
execFileSync("node", ["node_modules/typescript/bin/tsc", "-p", "openapi"], { stdio: "inherit" });
