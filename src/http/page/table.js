// Tables of which only one page is drawn, whatever there is. In a narrow window each row becomes a small card (style.css), with
// the names of its columns beside its cells; the roles say that it is a table all the same.

import { make, say } from "./dom.js";
import { number } from "./words.js";

/** "1 to 25 of 312", and two buttons. `turned`: the page is another. */
export class Pager {
  constructor(name, size, turned) {
    this.size = size;
    this.from = 0;
    this.shown = make("span", { class: "quiet", "aria-live": "polite" });
    const turn = (by) => {
      this.from += by;
      turned();
    };
    this.back = make("button", { type: "button", "aria-label": `Previous page of ${name}` }, "Previous");
    this.on = make("button", { type: "button", "aria-label": `Next page of ${name}` }, "Next");
    this.back.addEventListener("click", () => turn(-size));
    this.on.addEventListener("click", () => turn(size));
    this.element = make("p", { class: "pager", hidden: true }, this.shown, this.back, this.on);
  }

  /** The part of these that is on the page. */
  part(all) {
    const last = Math.max(0, Math.floor((all.length - 1) / this.size) * this.size);
    this.from = Math.min(Math.max(0, this.from), last);
    const part = all.slice(this.from, this.from + this.size);
    this.element.hidden = all.length <= this.size;
    say(this.shown, `${number(this.from + 1)} to ${number(this.from + part.length)} of ${number(all.length)}`);
    this.back.disabled = this.from === 0;
    this.on.disabled = this.from + this.size >= all.length;
    return part;
  }
}

/** A table. Columns are `{ name, cell(row), kind }`; a cell is a text or a node; `kind` "number" is set flush right, "time" is not broken. */
export class Table {
  constructor(parent, { name, columns, size = 25, none }) {
    this.columns = columns;
    this.all = [];
    this.drawn = null;
    this.none = make("p", { class: "none" }, none);
    this.body = make("tbody", { role: "rowgroup" });
    const heads = columns.map(({ name, kind }) => make("th", { scope: "col", role: "columnheader", class: kind }, name));
    this.table = make(
      "table",
      { role: "table", "aria-label": name, hidden: true },
      make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...heads)),
      this.body,
    );
    this.pager = new Pager(name, size, () => this.draw());
    parent.append(this.none, this.table, this.pager.element);
  }

  /** Shows these. `none`: what to say where there are none; `anew`: also what looks the same, for times in another zone. */
  show(all, none = null, anew = false) {
    this.all = all;
    if (anew) this.drawn = null;
    if (none) say(this.none, none);
    this.draw();
  }

  draw() {
    const part = this.pager.part(this.all);
    // Drawn anew only where something is another: a selection stays.
    const state = JSON.stringify(part);
    if (state === this.drawn) return;
    this.drawn = state;
    this.none.hidden = part.length > 0;
    this.table.hidden = part.length === 0;
    this.body.replaceChildren(
      ...part.map((row) => {
        const cells = this.columns.map(({ name, cell, kind }) =>
          make("td", { role: "cell", "data-name": name, class: kind }, cell(row)),
        );
        return make("tr", { role: "row" }, ...cells);
      }),
    );
  }
}
