// Starts GraphiQL: it asks this page's own address, and its first tabs are the ready queries.
"use strict";

const place = document.getElementById("graphiql");

ReactDOM.render(
  React.createElement(
    GraphiQL,
    {
      fetcher: GraphiQL.createFetcher({ url: location.pathname, enableIncrementalDelivery: false }),
      defaultTabs: JSON.parse(place.dataset.readyQueries),
      defaultEditorToolsVisibility: "variables",
      shouldPersistHeaders: false,
    },
    React.createElement(GraphiQL.Logo, null, "Deals in gems"),
  ),
  place,
);
