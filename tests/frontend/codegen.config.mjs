// Generation of types from the schema; `graphql-codegen --config codegen.config.mjs` accepts this file too.
export default {
  schema: "../../graphql_schema/schema.graphql",
  documents: "src/deals.graphql",
  generates: {
    "src/gql/": {
      preset: "client",
      presetConfig: { fragmentMasking: false },
      config: {
        // A scalar that is missing below is an error, not `any`.
        strictScalars: true,
        scalars: {
          Money: "string", // "451731", "100.5": a number would lose precision
          BigInt: "number",
          DateTime: "string",
          Date: "string",
        },
        useTypeImports: true,
        emitLegacyCommonJSImports: false,
        importExtension: ".js",
      },
    },
  },
};
