// graphql-eslint: all rules for schemas, those of Relay included, and the recommended rules for operations.
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import plugin from "@graphql-eslint/eslint-plugin";
import { ESLint } from "eslint";
import { check } from "../scenario.mjs";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const schema = `${root}graphql_schema/schema.graphql`;
const documents = ["tests/frontend/src", "graphql_schema/example_queries"].flatMap((folder) =>
  readdirSync(root + folder)
    .filter((name) => name.endsWith(".graphql"))
    .map((name) => `${root}${folder}/${name}`),
);
const graphQLConfig = { schema, documents };

const EXCEPTIONS = {
  "@graphql-eslint/alphabetize": "off", // the printed schema is sorted, without special places for ids
  "@graphql-eslint/input-name": "off", // the only argument of a mutation is an id
  "@graphql-eslint/no-root-type": "off", // a mutation exists
  "@graphql-eslint/no-typename-prefix": "off", // Upload.uploadedBy
  "@graphql-eslint/strict-id-in-types": "off", // reports and results are no nodes
  // Connections also have `nodes`; differences between two uploads have no id.
  "@graphql-eslint/relay-edge-types": ["error", { listTypeCanWrapOnlyEdgeType: false, shouldImplementNode: false }],
};

/** Return what the rules report in the text of a file. */
async function lint(filePath, text, rules) {
  const files = ["**/*.graphql"];
  const languageOptions = { parser: plugin.parser, parserOptions: { graphQLConfig } };
  const config = { files, languageOptions, plugins: { "@graphql-eslint": plugin }, rules };
  const eslint = new ESLint({ overrideConfigFile: true, cwd: root, overrideConfig: [config] });
  const [{ messages }] = await eslint.lintText(text, { filePath });
  return messages.map(({ ruleId, message, line }) => `${ruleId} line ${line}: ${message}`);
}

const rulesOf = (...names) => Object.assign({}, ...names.map((name) => plugin.configs[`flat/${name}`].rules));
const schemaRules = { ...rulesOf("schema-recommended", "schema-all", "schema-relay"), ...EXCEPTIONS };
const NAMES = "@graphql-eslint/naming-convention";
const [severity, conventions] = schemaRules[NAMES];
const input = { style: "camelCase", ignorePattern: "^(AND|OR|NOT)$" };
schemaRules[NAMES] = [severity, { ...conventions, InputValueDefinition: input }];
const text = readFileSync(schema, "utf8");
check("the schema follows all rules, those of Relay included", await lint(schema, text, schemaRules), []);
const strict = await lint(schema, text.replace("): DealConnection\n", "): DealConnection!\n"), schemaRules);
check("a root field that is not nullable is reported", strict.length, 1);

// Ids of nested objects matter to normalised caches only.
const operationRules = { ...rulesOf("operations-recommended"), "@graphql-eslint/require-selections": "off" };
for (const document of documents) {
  const found = await lint(document, readFileSync(document, "utf8"), operationRules);
  check(`${document.slice(root.length)} follows the rules for operations`, found, []);
}
