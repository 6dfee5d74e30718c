"""GraphQL over HTTP, GraphiQL and the schema as a file."""
