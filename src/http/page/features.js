// The list of features: a row with a bar for each, drawn for one page of them, and below the row that is open what it is made of.

import { Detail } from "./detail.js";
import { arrange, make, mark, say } from "./dom.js";
import { PARTS, barOf, isFull, keyOf, nextEnd, ordered } from "./seats.js";
import { Pager } from "./table.js";
import { count, inDays, number } from "./words.js";

const ROWS = 20;
/** An end that is further away is not worth a word in the row. */
const SOON_DAYS = 60;

/** What the parts of a bar are. */
export function legend() {
  const part = ([kind, name, means]) => {
    const words = make("span", {}, make("b", {}, name), make("span", { class: "means" }, ` ${means}`));
    return make("li", {}, make("span", { class: `swatch ${kind}`, "aria-hidden": "true" }), words);
  };
  return PARTS.map(part);
}

/** How many, in words: "14 of 16 in use (1 suspect) · 2 free". */
function numbersOf(feature) {
  const words = [];
  if (feature.tokens !== null) {
    words.push(`${count(feature.tokens, "token")} out`);
  } else if (feature.unlimited) {
    words.push(`${number(feature.used)} in use, without limit`);
  } else {
    words.push(`${number(feature.used)} of ${number(feature.total ?? 0)} in use`);
  }
  const some = (parts) => parts.filter((part) => feature[part] > 0).map((part) => `${number(feature[part])} ${part}`);
  // Those are in use too.
  const absent = some(["suspect", "borrowed"]);
  if (absent.length > 0) words[0] += ` (${absent.join(", ")})`;
  words.push(...some(["held", "reserved"]));
  if (feature.tokens === null && !feature.unlimited) words.push(`${number(feature.free ?? 0)} free`);
  return words.join(" · ");
}

/** What somebody should see at once, each with how bad it is. */
function flagsOf(feature, today) {
  const flags = [];
  if (feature.over > 0) flags.push(["bad", `${number(feature.over)} over the total`]);
  else if (isFull(feature)) flags.push(["warning", "none free"]);
  if (feature.queued > 0) flags.push(["warning", `${number(feature.queued)} waiting`]);
  if (feature.denials_24h > 0) flags.push(["plain", `${number(feature.denials_24h)} denied in 24 h`]);
  const end = nextEnd(feature, today);
  if (end && end.days <= SOON_DAYS) flags.push([end.days <= 14 ? "warning" : "plain", `${end.what} ends ${inDays(end.days)}`]);
  if (feature.end && feature.total === 0 && feature.tokens === null) flags.push(["plain", "not granted today"]);
  return flags;
}

class Row {
  constructor(list, feature) {
    this.list = list;
    this.key = keyOf(feature);
    const id = `feature-${(list.ids += 1)}`;
    this.arrow = make("span", { class: "arrow", "aria-hidden": "true" });
    this.name = make("span", { class: "name" });
    this.button = make("button", { type: "button", class: "open", "aria-expanded": "false", "aria-controls": id }, this.arrow, this.name);
    this.maker = make("span", { class: "quiet maker" });
    this.bar = make("div", { class: "bar", role: "img" });
    this.parts = Object.fromEntries(PARTS.map(([kind]) => [kind, make("span", { class: `part ${kind}` })]));
    this.line = make("span", { class: "total-line", hidden: true });
    this.bar.append(...Object.values(this.parts), this.line);
    this.numbers = make("p", { class: "numbers" });
    this.flags = make("p", { class: "flags" });
    this.detail = make("div", { class: "detail", id, hidden: true });
    this.element = make(
      "li",
      { class: "feature" },
      make("div", { class: "row" },
        make("h3", {}, this.button, this.maker),
        make("div", { class: "amount" }, this.bar, this.numbers),
        this.flags),
      this.detail,
    );
    this.button.addEventListener("click", () => list.open(this.key));
  }

  update(feature, state) {
    say(this.name, feature.name);
    say(this.maker, [feature.vendor, feature.version].filter(Boolean).join(" "));
    const { counts, whole, total } = barOf(feature);
    for (const [kind] of PARTS) {
      this.parts[kind].style.width = `${(100 * counts[kind]) / whole}%`;
      this.parts[kind].hidden = counts[kind] === 0;
    }
    this.bar.classList.toggle("open-ended", total === null);
    this.bar.hidden = feature.tokens !== null;
    this.line.hidden = !(feature.over > 0);
    this.line.style.left = `${(100 * (total ?? 0)) / whole}%`;
    const words = numbersOf(feature);
    mark(this.bar, "aria-label", feature.over > 0 ? `${words}, ${number(feature.over)} over the total` : words);
    say(this.numbers, words);
    const flags = flagsOf(feature, state.today);
    const told = JSON.stringify(flags);
    if (told !== this.told) {
      this.told = told;
      this.flags.replaceChildren(...flags.map(([kind, text]) => make("span", { class: "flag", "data-kind": kind }, text)));
    }
    const isOpen = this.list.opened === this.key;
    mark(this.button, "aria-expanded", isOpen);
    this.detail.hidden = !isOpen;
    if (isOpen) {
      this.inside ??= new Detail(this.detail, feature, this.list);
      this.inside.update(feature, state);
    } else {
      this.close();
    }
  }

  close() {
    this.inside?.end();
    this.inside = null;
    if (this.detail.firstChild) this.detail.replaceChildren();
  }
}

export class Features {
  /** `showSessions(name)`: lists the sessions of this feature. */
  constructor(parent, pager, showSessions) {
    this.parent = parent;
    this.showSessions = showSessions;
    this.ids = 0;
    this.rows = new Map();
    this.opened = null;
    this.find = "";
    this.order = "worst";
    this.state = null;
    this.pager = new Pager("features", ROWS, () => this.draw());
    this.none = make("li", { class: "none" });
    pager.append(this.pager.element);
  }

  /** Opens or closes the row with this key. */
  open(key) {
    this.opened = this.opened === key ? null : key;
    this.draw();
  }

  /** Shows these. */
  show(state) {
    if (this.state === null && state.features.length === 1) this.opened = keyOf(state.features[0]);
    this.state = state;
    this.draw();
  }

  /** The features of those that have a seat here with somebody who is looked for. */
  found() {
    const { features, sessions } = this.state;
    const find = this.find.toLowerCase();
    if (!find) return features;
    const of = new Set();
    for (const session of sessions ?? []) {
      if (session.user.toLowerCase().includes(find) || session.host.toLowerCase().includes(find)) {
        of.add(`${session.vendor}/${session.feature}`.toLowerCase());
      }
    }
    return features.filter((feature) => keyOf(feature).includes(find) || of.has(keyOf(feature)));
  }

  draw() {
    if (!this.state) return;
    const found = this.found();
    const part = this.pager.part(ordered(found, this.order, this.state.today));
    const rows = new Map();
    for (const feature of part) {
      const key = keyOf(feature);
      const row = this.rows.get(key) ?? new Row(this, feature);
      rows.set(key, row);
      row.update(feature, this.state);
    }
    for (const [key, row] of this.rows) {
      if (!rows.has(key)) row.close();
    }
    this.rows = rows;
    const isSearch = this.find !== "";
    say(this.none, isSearch ? "No feature, user or host is called that." : "No license names a feature yet: drop a license file into the directory.");
    arrange(this.parent, part.length > 0 ? [...rows.values()].map((row) => row.element) : [this.none]);
  }
}
