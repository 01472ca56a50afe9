// What is below the row that is open: the last day of the feature, what it is made of and what comes, and who has its seats.

import { Refused, askJson } from "./api.js";
import { DayChart } from "./chart.js";
import { make } from "./dom.js";
import { endsOf } from "./seats.js";
import { Table } from "./table.js";
import { count, day, inDays, number, time } from "./words.js";

const REFRESH_MS = 60_000;
const HOLDERS = 8;
/** How many days ahead on which the total changes, and lines in all. */
const CHANGES = 6;
const LINES = 12;

export class Detail {
  constructor(parent, feature, list) {
    this.feature = feature;
    this.state = null;
    this.explained = null;
    this.chart = new DayChart(feature);
    this.ends = make("ul", { class: "ends" });
    const licenses = make("div");
    const holders = make("div");
    this.licenses = new Table(licenses, {
      name: `Licenses of ${feature.name}`,
      size: 12,
      none: "Is loaded …",
      columns: [
        { name: "License", cell: (row) => kindOf(row.license) },
        { name: "Seats", kind: "number", cell: (row) => seatsOf(row.license) },
        { name: "First day", kind: "time", cell: (row) => (row.license.start ? day(row.license.start) : "any") },
        { name: "Last day", kind: "time", cell: (row) => (row.license.end ? day(row.license.end) : "never ends") },
        { name: "State", cell: (row) => stateOf(row.license, row.today) },
      ],
    });
    this.holders = new Table(holders, {
      name: `Who has seats of ${feature.name}`,
      size: HOLDERS,
      none: "Nobody has a seat.",
      columns: [
        { name: "User", cell: (row) => row.user },
        { name: "Host", cell: (row) => row.host },
        { name: "Seats", kind: "number", cell: (row) => number(row.count) },
        { name: "Since", kind: "time", cell: (row) => (row.since ? time(row.since) : "not known") },
        { name: "State", cell: (row) => row.state },
      ],
    });
    const all = make("button", { type: "button", class: "link" }, `All sessions of ${feature.name}`);
    all.addEventListener("click", () => list.showSessions(feature.name));
    this.who = make("div", {}, make("h4", {}, "Who has seats"), holders, make("p", {}, all));
    parent.append(
      make("div", { class: "pair" },
        make("div", {}, make("h4", {}, "Use"), this.chart.element),
        make("div", {}, make("h4", {}, "What it is made of"), this.ends, licenses)),
      this.who,
    );
  }

  update(feature, state) {
    this.chart.update(feature);
    // What the licenses say is asked for again when something of it may be another.
    const { total, upgrades, end, maintenance_ends: maintained, notices } = feature;
    const standing = JSON.stringify([state.today, total, upgrades, end, maintained, notices.length]);
    [this.feature, this.state] = [feature, state];
    if (standing !== this.standing) {
      this.standing = standing;
      this.load();
    }
    this.tell();
    this.who.hidden = state.sessions === null;
    const is = (session) => session.vendor === feature.vendor && session.feature.toLowerCase() === feature.name.toLowerCase();
    this.holders.show((state.sessions ?? []).filter(is));
  }

  async load() {
    clearTimeout(this.timer);
    const { vendor, name } = this.feature;
    const query = new URLSearchParams(vendor ? { feature: name, vendor } : { feature: name });
    try {
      this.explained = await askJson(`explain?${query}`);
    } catch (error) {
      if (!this.explained) this.licenses.show([], error instanceof Refused ? error.message : "The server does not answer.");
    }
    if (this.isOver) return;
    if (this.explained) this.tell();
    this.timer = setTimeout(() => this.load(), REFRESH_MS);
  }

  /** What ends and what comes, and every license. */
  tell() {
    const { feature, explained, state } = this;
    const lines = endsOf(feature, state.today).map(({ what, day: end, days }) => `${what} ends with ${day(end)}, ${inDays(days)}`);
    lines.push(...(explained?.changes ?? []).slice(0, CHANGES).map((change) => `from ${day(change.day)}: ${granted(change.pools)}`));
    // In the words of the server: also what is over already.
    lines.push(...feature.notices.map((notice) => notice.message));
    if (lines.length === 0) lines.push("nothing of it has an end ahead");
    const told = lines.join("\n");
    if (told !== this.told) {
      this.told = told;
      this.ends.replaceChildren(...[...new Set(lines)].slice(0, LINES).map((line) => make("li", {}, line)));
    }
    if (explained) this.licenses.show(explained.licenses.map((license) => ({ license, today: state.today })), "No license of it is there any more.");
  }

  end() {
    this.isOver = true;
    clearTimeout(this.timer);
    this.chart.end();
  }
}

const KINDS = { EXCLUSIVE: "base", UPGRADE: "upgrade", ADDITIVE: "additive", TOKEN: "token", MAINTENANCE: "renewal" };
const kindOf = (license) => `${KINDS[license.key_type] ?? license.key_type}${license.version ? ` ${license.version}` : ""}`;
const seatsOf = (license) => {
  if (license.unlimited) return "no limit";
  const sign = license.key_type === "UPGRADE" ? "+" : "";
  return license.count === null ? "" : `${sign}${number(license.count)}`;
};

function stateOf(license, today) {
  if (license.state === "in_force") return "counts";
  if (license.state === "waiting") return license.start && license.start > today ? `from ${day(license.start)}` : "waits";
  return license.message ?? license.reason ?? "does not count";
}

/** What pools grant together: "12 seats". */
function granted(pools) {
  const bounded = pools.filter((pool) => pool.key_type !== "TOKEN");
  if (bounded.some((pool) => pool.total === null)) return "seats without limit";
  if (bounded.length < pools.length) return "tokens";
  return count(bounded.reduce((sum, pool) => sum + pool.total, 0), "seat");
}
