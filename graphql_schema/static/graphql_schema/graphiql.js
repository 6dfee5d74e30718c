// Render GraphiQL with the explorer, a tab for each example query, and a button that copies a link to the query.
// Queries are sent to the URL of the page.
"use strict";

const { ToolbarButton, useEditorContext } = GraphiQL.React;

/**
 * Return the query and the variables of a link, `#query=…&variables=…`, or of the URL of a GET request, `?query=…`; null
 * if the address contains no query.
 */
function readAddress() {
  const parameters = new URLSearchParams(location.hash.slice(1) || location.search);
  const query = parameters.get("query");
  return query && { query, variables: parameters.get("variables") ?? "" };
}

function addressOf({ query, variables }) {
  const parameters = Object.entries({ query, variables }).filter(([, text]) => text);
  const hash = parameters.map(([name, text]) => `${name}=${encodeURIComponent(text)}`).join("&");
  return `${location.pathname}#${hash}`;
}

const linked = readAddress();

const linkIcon = React.createElement(
  "svg",
  { className: "graphiql-toolbar-icon", viewBox: "0 0 16 16", fill: "none", stroke: "currentColor", strokeWidth: 1.5, "aria-hidden": true },
  React.createElement("path", { d: "M6.5 9.5l3-3M7 4.5l1.8-1.8a3 3 0 0 1 4.5 4.5L11.5 9M9 11.5l-1.8 1.8a3 3 0 0 1-4.5-4.5L4.5 7" }),
);

/** Calls `onReady` with the editor of the query, which only components inside of GraphiQL know. */
function CopyLinkButton({ onReady }) {
  const { queryEditor, variableEditor } = useEditorContext({ nonNull: true });
  const [label, setLabel] = React.useState("Copy link");
  React.useEffect(() => {
    if (queryEditor) onReady(queryEditor);
  }, [queryEditor]);

  async function copyLink() {
    history.replaceState(null, "", addressOf({ query: queryEditor.getValue(), variables: variableEditor?.getValue() }));
    try {
      await navigator.clipboard.writeText(location.href);
      setLabel("Link copied");
    } catch {
      setLabel("Copy the link from the address bar"); // browsers deny the clipboard without HTTPS
    }
    setTimeout(() => setLabel("Copy link"), 3000);
  }

  return React.createElement(ToolbarButton, { label, onClick: copyLink }, linkIcon);
}

const container = document.getElementById("graphiql");
const examples = JSON.parse(container.dataset.exampleQueries).filter(({ query }) => query !== linked?.query);
const fetcher = GraphiQL.createFetcher({ url: location.pathname, enableIncrementalDelivery: false });

function Page() {
  const [editor, setEditor] = React.useState(null);
  const [query, setQuery] = React.useState("");
  const explorer = GraphiQLPluginExplorer.useExplorerPlugin({
    query,
    onEdit(edited) {
      setQuery(edited);
      editor.setValue(edited); // as the property `query` of GraphiQL, an older text could replace what is being typed
    },
  });
  React.useEffect(() => {
    if (editor) setQuery(editor.getValue()); // GraphiQL reports only changes
  }, [editor]);

  /** Remove the query from the address after another tab was selected or the query was edited. */
  function forgetAddress() {
    const shown = readAddress();
    if (shown && editor && shown.query !== editor.getValue()) history.replaceState(null, "", location.pathname);
  }

  return React.createElement(GraphiQL, {
    fetcher,
    plugins: [explorer],
    query: linked?.query,
    variables: linked?.variables,
    onEditQuery: setQuery,
    onTabChange: forgetAddress,
    defaultTabs: linked ? [linked, ...examples] : examples,
    defaultEditorToolsVisibility: "variables",
    shouldPersistHeaders: false,
    toolbar: { additionalContent: React.createElement(CopyLinkButton, { onReady: setEditor }) },
  });
}

addEventListener("hashchange", () => location.reload()); // another link was opened in this tab
ReactDOM.render(React.createElement(Page), container);
