// Tables without an end: sorted and filtered by the service, and read on while one scrolls.

import { element } from "./dom.js";
import { ask } from "./graphql_client.js";
import { number, words } from "./i18n.js";

/**
 * A table of what one root of the graph lists.
 *
 * `columns`: {title, order, cell}, `order` being the name of the order without _ASC and _DESC; `filters`: what
 * makes the fields to filter by, and the filter from them.
 */
export class EndlessTable {
  constructor({ id, root, query, columns, orderBy, filters }) {
    Object.assign(this, { id, root, query, columns, orderBy, filters });
    this.run = 0;
    this.filter = null;
    this.typed = {}; // what stands in the fields, which outlives a new file and another language
  }

  /** All of it, in words of the moment; the rows follow. */
  draw() {
    this.body = element("tbody");
    this.status = element("p", { class: "status", role: "status" });
    this.end = element("div", { class: "end" });
    this.head = element("tr");
    const table = element("table", {}, element("thead", {}, this.head), this.body);
    this.box = element(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": this.title() },
      table,
      this.end,
    );
    new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && this.more(), {
      root: this.box,
      rootMargin: "400px",
    }).observe(this.end);
    const fields = element("form", { class: "filters", onsubmit: (event) => event.preventDefault() });
    for (const { name, type, label } of this.filters.fields()) {
      const id = `${this.id}-${name}`;
      const field = element("input", { name, type, id, value: this.typed[name], oninput: () => this.filterSoon(fields) });
      fields.append(element("label", { for: field.id }, element("span", {}, label), field));
    }
    this.begin();
    return [fields, this.status, this.box];
  }

  title() {
    return words[this.id];
  }

  filterSoon(fields) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.typed = Object.fromEntries(new FormData(fields));
      this.filter = this.filters.from(this.typed);
      this.begin();
    }, 250);
  }

  sortBy(order) {
    const falling = `${order}_DESC`;
    this.orderBy = this.orderBy === falling ? `${order}_ASC` : falling;
    this.begin();
  }

  begin() {
    this.run += 1;
    this.after = null;
    this.isWhole = false;
    this.reading = false;
    this.body.replaceChildren();
    this.box.scrollTop = 0;
    this.head.replaceChildren(...this.columns.map((column) => this.header(column)));
    this.more();
  }

  header({ title, order, numeric }) {
    const classes = numeric ? "numeric" : null;
    if (!order) return element("th", { scope: "col", class: classes }, title());
    const direction = this.orderBy === `${order}_ASC` ? "ascending" : "descending";
    const sorted = this.orderBy.replace(/_(ASC|DESC)$/, "") === order ? direction : "none";
    const button = element("button", { type: "button", onclick: () => this.sortBy(order) }, title());
    return element("th", { scope: "col", class: classes, "aria-sort": sorted }, button);
  }

  async more() {
    if (this.reading || this.isWhole) return;
    const run = this.run;
    this.reading = true;
    this.status.textContent = words.loading;
    try {
      const variables = { orderBy: this.orderBy, filter: this.filter, after: this.after };
      const list = (await ask(this.query, variables))[this.root];
      if (run !== this.run) return;
      this.body.append(...list.nodes.map((node) => this.row(node)));
      this.after = list.pageInfo.endCursor;
      this.isWhole = !list.pageInfo.hasNextPage;
      this.status.textContent = words.found(number(list.totalCount));
    } catch (error) {
      if (run !== this.run) return;
      if (error.code === "cursor_outdated") return this.begin(); // another file came; its first page needs no cursor
      this.status.textContent = error.message;
      this.isWhole = true;
    } finally {
      if (run === this.run) this.reading = false;
    }
    // A tall window may show the end still.
    const bottom = this.box.getBoundingClientRect().bottom;
    if (!this.isWhole && bottom && this.end.getBoundingClientRect().top < bottom + 400) this.more();
  }

  row(node) {
    return element(
      "tr",
      {},
      ...this.columns.map(({ cell, numeric }, place) =>
        element(place ? "td" : "th", { class: numeric ? "numeric" : null, scope: place ? null : "row" }, cell(node)),
      ),
    );
  }
}
