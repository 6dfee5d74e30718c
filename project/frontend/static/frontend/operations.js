// The GraphQL operations of the page, as they can be run in GraphiQL.

export const CURRENT = `query Current {
  shown: currentUpload { ...Shown }
}
fragment Shown on Upload {
  id fileName arrivedAt isCurrent dealCount customerCount gemCount
  dealStats { nodes { total } }
  topClients(limit: 5) { username spentMoney gems }
}`;

// Reads a retained upload.
export const SHOWN = `query Shown($upload: ID!) {
  shown: upload(id: $upload) { ...Shown }
}
fragment Shown on Upload {
  id fileName arrivedAt isCurrent dealCount customerCount gemCount
  dealStats { nodes { total } }
  topClients(limit: 5) { username spentMoney gems }
}`;

export const TOP_CLIENTS = `query TopClients($upload: ID) {
  topClients(upload: $upload, limit: 5) { username spentMoney gems }
}`;

export const VERSIONS = `query Versions {
  uploads(first: 20) { nodes { id fileName arrivedAt state } }
}`;

// Deals over time.
export const DEALS_BY_PERIOD = `query DealsByPeriod($upload: ID, $by: [DealStatsKey!]!, $filter: DealFilter) {
  dealStats(upload: $upload, by: $by, filter: $filter, orderBy: DATE_ASC, limit: 750) {
    totalCount
    nodes { day week month quarter year total dealCount quantity }
  }
}`;

// The largest groups, and the sums of all groups.
export const DEALS_BY_GROUP = `query DealsByGroup($upload: ID, $by: [DealStatsKey!]!, $filter: DealFilter, $order: DealStatsOrder) {
  dealStats(upload: $upload, by: $by, filter: $filter, orderBy: $order, limit: 100) {
    totalCount
    nodes { gem { name } customer { username } total dealCount quantity }
  }
  all: dealStats(upload: $upload, filter: $filter) { nodes { total dealCount quantity } }
}`;

// Certain groups, which the filter names, over time or not.
export const DEALS_OF_GROUPS = `query DealsOfGroups($upload: ID, $by: [DealStatsKey!]!, $filter: DealFilter) {
  dealStats(upload: $upload, by: $by, filter: $filter, limit: 700) {
    totalCount
    nodes { gem { name } customer { username } day week month quarter year total dealCount quantity }
  }
}`;

export const DEALS_BY_CUSTOMER = `query DealsByCustomer($upload: ID, $filter: DealFilter, $limit: Int) {
  dealStats(upload: $upload, by: [CUSTOMER], filter: $filter, orderBy: TOTAL_DESC, limit: $limit) {
    totalCount
    nodes { customer { username } dealCount total }
  }
}`;

export const DEALS_BY_GEM = `query DealsByGem($upload: ID, $filter: DealFilter, $limit: Int) {
  dealStats(upload: $upload, by: [GEM], filter: $filter, orderBy: TOTAL_DESC, limit: $limit) {
    totalCount
    nodes { gem { name } dealCount total }
  }
}`;

export const DEALS_BY_MONTH = `query DealsByMonth($upload: ID, $filter: DealFilter, $limit: Int) {
  dealStats(upload: $upload, by: [MONTH], filter: $filter, orderBy: DATE_DESC, limit: $limit) {
    totalCount
    nodes { month dealCount total }
  }
}`;

// Each operation of a table reads a page of rows, and with the first page the totals of all rows.
export const DEALS = `query Deals(
  $upload: ID, $filter: DealFilter, $orderBy: DealOrder, $first: Int, $after: String, $withTotals: Boolean! = true
) {
  deals(upload: $upload, filter: $filter, orderBy: $orderBy, first: $first, after: $after) {
    nodes { id rowNumber date customer { username } gem { name } quantity total }
    pageInfo { hasNextPage endCursor }
  }
  dealStats(upload: $upload, filter: $filter) @include(if: $withTotals) { nodes { dealCount quantity total } }
}`;

export const CUSTOMERS = `query Customers(
  $upload: ID, $filter: CustomerFilter, $orderBy: CustomerOrder, $first: Int, $after: String,
  $deals: DealFilter, $withTotals: Boolean! = true
) {
  customers(upload: $upload, filter: $filter, orderBy: $orderBy, first: $first, after: $after) {
    totalCount
    nodes { id username spentMoney dealCount gemCount firstDeal lastDeal }
    pageInfo { hasNextPage endCursor }
  }
  dealStats(upload: $upload, filter: $deals) @include(if: $withTotals) { nodes { dealCount total } }
}`;

export const GEMS = `query Gems(
  $upload: ID, $filter: GemFilter, $orderBy: GemOrder, $first: Int, $after: String,
  $deals: DealFilter, $withTotals: Boolean! = true
) {
  gems(upload: $upload, filter: $filter, orderBy: $orderBy, first: $first, after: $after) {
    totalCount
    nodes { id name total dealCount buyerCount firstDeal lastDeal }
    pageInfo { hasNextPage endCursor }
  }
  dealStats(upload: $upload, filter: $deals) @include(if: $withTotals) { nodes { dealCount total } }
}`;

export const COMPARE = `query Compare($base: ID!, $head: ID) {
  compare(base: $base, head: $head) {
    base { ...Version }
    head { ...Version }
    dealCountDifference customerCountDifference gemCountDifference totalDifference
    customerCounts { added removed changed unchanged }
    gemCounts { added removed changed unchanged }
  }
}
fragment Version on Upload {
  fileName arrivedAt dealCount customerCount gemCount
  dealStats { nodes { total } }
}`;

export const CHANGED_CUSTOMERS = `query ChangedCustomers($base: ID!, $head: ID, $first: Int, $after: String) {
  compare(base: $base, head: $head) {
    customers(first: $first, after: $after) {
      totalCount
      nodes { username change spentMoneyDifference dealCountDifference base { spentMoney } head { spentMoney } }
      pageInfo { hasNextPage endCursor }
    }
  }
}`;

export const CHANGED_GEMS = `query ChangedGems($base: ID!, $head: ID, $first: Int, $after: String) {
  compare(base: $base, head: $head) {
    gems(first: $first, after: $after) {
      totalCount
      nodes { name change totalDifference dealCountDifference base { total } head { total } }
      pageInfo { hasNextPage endCursor }
    }
  }
}`;

export const CURRENT_ID = `query CurrentId {
  currentUpload { id }
}`;

export const UPLOADS = `query Uploads($after: String) {
  uploads(first: 20, after: $after) {
    nodes { id fileName arrivedAt uploadedBy state isCurrent dealCount customerCount gemCount error }
    pageInfo { hasNextPage endCursor }
  }
}`;

// The progress of files that are being loaded.
export const LOADS = `query Loads {
  uploads(first: 10) { nodes { fileName size state rowsRead bytesRead } }
}`;

export const MAKE_CURRENT = `mutation MakeCurrent($id: ID!) {
  activateUpload(id: $id) {
    __typename
    ... on UploadActivated { upload { id } }
    ... on UploadNotRetained { message }
  }
}`;
