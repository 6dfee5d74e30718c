// Start GraphiQL: it sends queries to the URL of this page and opens a tab for each ready query.
"use strict";

const container = document.getElementById("graphiql");

ReactDOM.render(
  React.createElement(
    GraphiQL,
    {
      fetcher: GraphiQL.createFetcher({ url: location.pathname, enableIncrementalDelivery: false }),
      defaultTabs: JSON.parse(container.dataset.readyQueries),
      defaultEditorToolsVisibility: "variables",
      shouldPersistHeaders: false,
    },
    React.createElement(GraphiQL.Logo, null, "Deals in gems"),
  ),
  container,
);
