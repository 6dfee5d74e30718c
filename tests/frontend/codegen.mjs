// Generate the types like `graphql-codegen`, without the 240 packages of the command line.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { preset } from "@graphql-codegen/client-preset";
import { codegen } from "@graphql-codegen/core";
import { buildASTSchema, parse } from "graphql";
import settings from "./codegen.config.mjs";

const schema = parse(await readFile(settings.schema, "utf8"));
const rawSDL = await readFile(settings.documents, "utf8");
const documents = [{ location: settings.documents, document: parse(rawSDL), rawSDL }];

for (const [baseOutputDir, { presetConfig, config }] of Object.entries(settings.generates)) {
  const files = await preset.buildGeneratesSection({
    baseOutputDir,
    presetConfig,
    config,
    schema,
    schemaAst: buildASTSchema(schema),
    documents,
    plugins: [],
    pluginMap: {},
  });
  for (const file of files) {
    await mkdir(dirname(file.filename), { recursive: true });
    await writeFile(file.filename, await codegen(file));
  }
}
