// All deals of one upload with fetch.

export function connect(service) {
  return async (query, variables = {}) => {
    const response = await fetch(`${service}/graphql/`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ query, variables }),
    });
    const { data, errors } = await response.json();
    if (errors) throw Object.assign(new Error(errors[0].message), { code: errors[0].extensions.code });
    return data;
  };
}

const DEALS = `query Deals($upload: ID, $after: String) {
  deals(upload: $upload, first: 100, after: $after) {
    nodes { id total customer { username } }
    pageInfo { hasNextPage endCursor }
  }
}`;

export async function allDeals(query) {
  for (;;) {
    const { currentUpload } = await query("{ currentUpload { id } }");
    const deals = [];
    try {
      for (let after = null; ; ) {
        const { deals: page } = await query(DEALS, { upload: currentUpload?.id, after });
        deals.push(...page.nodes);
        if (!page.pageInfo.hasNextPage) return deals;
        after = page.pageInfo.endCursor;
      }
    } catch (error) {
      // Start again with the current upload.
      if (error.code !== "upload_not_retained" && error.code !== "cursor_outdated") throw error;
    }
  }
}
