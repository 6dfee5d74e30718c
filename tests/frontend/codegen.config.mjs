// How types are made of the schema. `graphql-codegen --config codegen.config.mjs` reads it as it is.
export default {
  schema: "../../graphql_schema/schema.graphql",
  documents: "src/deals.graphql",
  generates: {
    "src/gql/": {
      preset: "client",
      presetConfig: { fragmentMasking: false },
      config: {
        // A scalar that is not listed is an error, and never `any`.
        strictScalars: true,
        scalars: {
          Money: "string", // "451731", "100.5": a number would lose hundredths
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
