// Tables with infinite scrolling. The service sorts and filters the rows.

import { element } from "./dom.js";
import { formatNumber } from "./formats.js";
import { query } from "./graphql_client.js";
import { messages } from "./i18n.js";

/** Distance in pixels below the visible rows at which the next page is loaded. */
const PRELOAD_PIXELS = 400;
const TYPING_PAUSE_MS = 250;

/**
 * A table of the rows of one GraphQL connection.
 *
 * - `id`: the key of the title in `messages`, and the prefix of the ids of the filter fields
 * - `root`: the root field of `operation`, which takes $orderBy, $filter and $after
 * - `columns`: [{title, cell, numeric, order}], where `order` is an enum value without _ASC or _DESC
 * - `filters`: `fields()` returns [{name, type, label}]; `from(values)` returns the GraphQL filter for their values
 */
export class InfiniteTable {
  constructor({ id, root, operation, columns, orderBy, filters }) {
    Object.assign(this, { id, root, operation, columns, orderBy, filters });
    this.generation = 0; // incremented by each restart; responses to earlier generations are dropped
    this.filter = null;
    this.values = {}; // values of the filter fields; kept when the data or the language changes
  }

  /** Return new elements in the current language, and load the first page. */
  render() {
    this.body = element("tbody");
    this.status = element("p", { class: "status", role: "status" });
    this.end = element("div", { class: "end" });
    this.head = element("tr");
    const table = element("table", {}, element("thead", {}, this.head), this.body);
    const label = messages[this.id];
    this.box = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table, this.end);
    new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && this.loadMore(), {
      root: this.box,
      rootMargin: `${PRELOAD_PIXELS}px`,
    }).observe(this.end);
    this.restart();
    return [this.renderFilters(), this.status, this.box];
  }

  renderFilters() {
    const form = element("form", { class: "filters", onsubmit: (event) => event.preventDefault() });
    for (const { name, type, label } of this.filters.fields()) {
      const id = `${this.id}-${name}`;
      const field = element("input", { name, type, id, value: this.values[name], oninput: () => this.applyFiltersSoon(form) });
      form.append(element("label", { for: id }, element("span", {}, label), field));
    }
    return form;
  }

  applyFiltersSoon(form) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.values = Object.fromEntries(new FormData(form));
      this.filter = this.filters.from(this.values);
      this.restart();
    }, TYPING_PAUSE_MS);
  }

  /** Sort in descending order, or in ascending order if the rows are already in descending order. */
  sortBy(order) {
    const descending = `${order}_DESC`;
    this.orderBy = this.orderBy === descending ? `${order}_ASC` : descending;
    this.restart();
  }

  /** Remove all rows and load the first page. */
  restart() {
    this.generation += 1;
    this.after = null;
    this.isComplete = false;
    this.isLoading = false;
    this.body.replaceChildren();
    this.box.scrollTop = 0;
    this.head.replaceChildren(...this.columns.map((column) => this.header(column)));
    this.loadMore();
  }

  header({ title, order, numeric }) {
    const className = numeric ? "numeric" : null;
    if (!order) return element("th", { scope: "col", class: className }, title());
    const direction = this.orderBy === `${order}_ASC` ? "ascending" : "descending";
    const sorted = this.orderBy.replace(/_(ASC|DESC)$/, "") === order ? direction : "none";
    const button = element("button", { type: "button", onclick: () => this.sortBy(order) }, title());
    return element("th", { scope: "col", class: className, "aria-sort": sorted }, button);
  }

  async loadMore() {
    if (this.isLoading || this.isComplete) return;
    const generation = this.generation;
    this.isLoading = true;
    this.status.textContent = messages.loading;
    try {
      const variables = { orderBy: this.orderBy, filter: this.filter, after: this.after };
      const connection = (await query(this.operation, variables))[this.root];
      if (generation === this.generation) this.append(connection);
    } catch (error) {
      if (generation !== this.generation) return;
      // Another upload became current.
      if (error.code === "cursor_outdated") return this.restart();
      this.status.textContent = error.message;
      this.isComplete = true;
    } finally {
      if (generation === this.generation) this.isLoading = false;
    }
    // The observer reports changes only: the end may still be visible in a tall window.
    if (generation === this.generation && this.isEndNear()) this.loadMore();
  }

  append({ nodes, pageInfo, totalCount }) {
    this.body.append(...nodes.map((node) => this.row(node)));
    this.after = pageInfo.endCursor;
    this.isComplete = !pageInfo.hasNextPage;
    this.status.textContent = messages.found(formatNumber(totalCount));
  }

  isEndNear() {
    const bottom = this.box.getBoundingClientRect().bottom; // 0 if the table is not in the page
    return bottom && this.end.getBoundingClientRect().top < bottom + PRELOAD_PIXELS;
  }

  row(node) {
    const cells = this.columns.map(({ cell, numeric }, index) =>
      element(index ? "td" : "th", { class: numeric ? "numeric" : null, scope: index ? null : "row" }, cell(node)),
    );
    return element("tr", {}, ...cells);
  }
}
