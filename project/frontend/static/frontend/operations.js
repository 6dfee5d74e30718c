// The GraphQL operations of the page, as they can be run in GraphiQL.

export const CURRENT = `query Current {
  shown: currentUpload { ...Shown }
}
fragment Shown on Upload {
  id fileName arrivedAt isCurrent dealCount customerCount gemCount
  dealStats { nodes { total quantity } }
  topClients(limit: 5) { username spentMoney gems }
}`;

// Reads a retained upload.
export const SHOWN = `query Shown($upload: ID!) {
  shown: upload(id: $upload) { ...Shown }
}
fragment Shown on Upload {
  id fileName arrivedAt isCurrent dealCount customerCount gemCount
  dealStats { nodes { total quantity } }
  topClients(limit: 5) { username spentMoney gems }
}`;

export const TOP_CLIENTS = `query TopClients($upload: ID) {
  topClients(upload: $upload, limit: 5) { username spentMoney gems }
}`;

export const MONEY_BY_MONTH = `query MoneyByMonth($upload: ID, $filter: DealFilter) {
  dealStats(upload: $upload, by: [MONTH], filter: $filter, orderBy: DATE_DESC, limit: 36) { nodes { month total dealCount } }
}`;

export const MONEY_BY_GEM = `query MoneyByGem($upload: ID, $filter: DealFilter) {
  dealStats(upload: $upload, by: [GEM], filter: $filter, orderBy: TOTAL_DESC, limit: 12) { nodes { gem { name } total dealCount } }
}`;

export const CUSTOMERS = `query Customers($orderBy: CustomerOrder!, $filter: CustomerFilter, $after: String) {
  customers(first: 50, orderBy: $orderBy, filter: $filter, after: $after) {
    totalCount
    nodes { id username spentMoney dealCount gemCount lastDeal }
    pageInfo { hasNextPage endCursor }
  }
}`;

export const GEMS = `query Gems($orderBy: GemOrder!, $filter: GemFilter, $after: String) {
  gems(first: 50, orderBy: $orderBy, filter: $filter, after: $after) {
    totalCount
    nodes { id name total dealCount buyerCount lastDeal }
    pageInfo { hasNextPage endCursor }
  }
}`;

export const DEALS = `query Deals($orderBy: DealOrder!, $filter: DealFilter, $after: String) {
  deals(first: 50, orderBy: $orderBy, filter: $filter, after: $after) {
    totalCount
    nodes { id date customer { username } gem { name } quantity total }
    pageInfo { hasNextPage endCursor }
  }
}`;

export const UPLOADS = `query Uploads($after: String) {
  uploads(first: 20, after: $after) {
    nodes { id fileName arrivedAt uploadedBy state isCurrent dealCount customerCount gemCount error }
    pageInfo { hasNextPage endCursor }
  }
}`;

// Reads two uploads in one request.
export const COMPARE = `query Compare($selected: ID!, $current: ID!) {
  selected: upload(id: $selected) { ...Version }
  current: upload(id: $current) { ...Version }
}
fragment Version on Upload {
  dealCount customerCount gemCount
  dealStats { nodes { total } }
  topClients(limit: 5) { username spentMoney }
}`;

export const MAKE_CURRENT = `mutation MakeCurrent($id: ID!) {
  activateUpload(id: $id) {
    __typename
    ... on UploadActivated { upload { id } }
    ... on UploadNotRetained { message }
  }
}`;
