// graphql-markdown: the served schema has a page for each type and root field, with its descriptions and valid links.
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { buildConfig, generateDocFromSchema } from "@graphql-markdown/core";
import { buildSchema, isIntrospectionType } from "graphql";
import { check, endpoint } from "../scenario.mjs";

console.info = () => {}; // the progress of the generator
const folder = mkdtempSync("markdown-");
const pages = new Map();
try {
  const config = { schema: endpoint, rootPath: folder, tmpDir: folder, baseURL: "schema" };
  await generateDocFromSchema(await buildConfig({ ...config, loaders: { UrlLoader: "@graphql-tools/url-loader" } }));
  for (const name of readdirSync(folder, { recursive: true }).filter((path) => path.endsWith(".md")))
    pages.set(`/${name.slice(0, -".md".length)}`, readFileSync(join(folder, name), "utf8"));
} finally {
  rmSync(folder, { recursive: true });
}

const schema = buildSchema(readFileSync("../../graphql_schema/schema.graphql", "utf8"));
const roots = [schema.getQueryType(), schema.getMutationType()];
const fields = roots.flatMap((type) => Object.values(type.getFields()));
const types = Object.values(schema.getTypeMap()).filter((type) => !isIntrospectionType(type) && !roots.includes(type));
const byTitle = new Map([...pages.values()].map((text) => [/^title: (.+)$/m.exec(text)[1], text]));
const undocumented = [...types, ...fields].filter((item) => {
  const text = byTitle.get(item.name)?.replaceAll("\\", "").replaceAll("&#x005F;", "_");
  const parts = [item, ...Object.values(item.getFields?.() ?? item.args ?? {})];
  return !text || parts.some(({ description }) => !text.includes((description ?? "").trim()));
});
check("every type and root field has a page with its descriptions", undocumented.map(({ name }) => name), []);
const links = [...pages.values()].flatMap((text) => [...text.matchAll(/\]\((\/[^)#]+)/g)].map(([, link]) => link));
check("types link to each other", links.length > 500, true);
// The generator has no page for the type Query, which the result of the mutation refers to.
const missing = links.filter((link) => !pages.has(link));
check("every other link refers to a page", [...new Set(missing)], ["/schema/types/objects/query"]);
