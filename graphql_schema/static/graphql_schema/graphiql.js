// Render GraphiQL with a tab for each example query. Queries are sent to the URL of the page.
"use strict";

const container = document.getElementById("graphiql");

ReactDOM.render(
  React.createElement(
    GraphiQL,
    {
      fetcher: GraphiQL.createFetcher({ url: location.pathname, enableIncrementalDelivery: false }),
      defaultTabs: JSON.parse(container.dataset.exampleQueries),
      defaultEditorToolsVisibility: "variables",
      shouldPersistHeaders: false,
    },
    React.createElement(GraphiQL.Logo, null, "Deals in gems"),
  ),
  container,
);
