// GraphQL Inspector: the served schema is the committed one, and every committed document is valid for it.
import { readFileSync, readdirSync } from "node:fs";
import { diff, validate } from "@graphql-inspector/core";
import { Source, buildClientSchema, buildSchema, getIntrospectionQuery, printSchema } from "graphql";
import { check, endpoint } from "../scenario.mjs";

const body = JSON.stringify({
  query: getIntrospectionQuery({ specifiedByUrl: true, schemaDescription: true, inputValueDeprecation: true }),
});
const response = await fetch(endpoint, { method: "POST", headers: { "Content-Type": "application/json" }, body });
const served = buildSchema(printSchema(buildClientSchema((await response.json()).data)));
const folder = "../../graphql_schema";
const committed = buildSchema(readFileSync(`${folder}/schema.graphql`, "utf8"));
const changes = await diff(committed, served);
check("the served schema is the committed one", changes.map(({ message }) => message), []);
const { Deal } = committed.getTypeMap();
delete Deal.getFields().rowNumber;
const added = (await diff(committed, served)).map(({ message }) => message);
check("a difference is reported", added[0], "Field 'rowNumber' was added to object type 'Deal'");

const files = [
  "src/deals.graphql",
  ...readdirSync(`${folder}/example_queries`)
    .filter((name) => name.endsWith(".graphql"))
    .map((name) => `${folder}/example_queries/${name}`),
];
const documents = files.map((name) => new Source(readFileSync(name, "utf8"), name));
const invalid = validate(served, documents).map(({ source, errors }) => `${source.name}: ${errors}`);
check(`${files.length} committed documents are valid`, invalid, []);
