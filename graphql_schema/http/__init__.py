"""GraphQL over HTTP, the GraphiQL page, and the schema in SDL."""
