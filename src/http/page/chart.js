// The last day's use of one feature as a chart, and behind it as a table. uPlot draws; it is given 288 points, whatever happened.

import { askJson, Refused } from "./api.js";
import { make } from "./dom.js";
import { count, number, shownZone, time } from "./words.js";

const REFRESH_MS = 60_000;
const HEIGHT = 170;
/** The steps of an hour. */
const HOUR = 12;

export class DayChart {
  constructor(feature) {
    this.feature = feature;
    this.day = null;
    this.plot = null;
    this.canvas = make("div", { class: "plot", role: "img", "aria-label": "is loaded" });
    this.words = make("p", { class: "quiet" }, "Is loaded …");
    this.rows = make("tbody");
    const head = make("tr", {}, make("th", { scope: "col" }, "From"), make("th", { scope: "col", class: "number" }, "Most in use"));
    this.table = make(
      "details",
      { hidden: true },
      make("summary", {}, "The same as a table"),
      make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Most seats in use by the hour" },
        make("table", { class: "plain" }, make("thead", {}, head), this.rows)),
    );
    this.element = make("div", { class: "chart" }, this.canvas, this.words, this.table);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.redraw = () => this.draw();
    this.scheme.addEventListener("change", this.redraw);
    this.watch = new ResizeObserver(() => this.plot?.setSize({ width: this.width(), height: HEIGHT }));
    this.watch.observe(this.element);
    this.load();
  }

  width() {
    return Math.max(200, Math.floor(this.element.clientWidth));
  }

  /** The total may be another now. */
  update(feature) {
    const isOther = feature.total !== this.feature.total;
    this.feature = feature;
    if (isOther) this.draw();
  }

  /** Lets go of everything. */
  end() {
    clearTimeout(this.timer);
    this.isOver = true;
    this.scheme.removeEventListener("change", this.redraw);
    this.watch.disconnect();
    this.plot?.destroy();
    this.plot = null;
  }

  async load() {
    const { vendor, name } = this.feature;
    const query = new URLSearchParams(vendor ? { feature: name, vendor } : { feature: name });
    try {
      this.day = await askJson(`usage/day?${query}`);
    } catch (error) {
      // Without a history there is no chart, and the server says so.
      const why = error instanceof Refused ? error.message : "The server does not answer.";
      if (!this.day) this.words.textContent = `No chart: ${why}`;
    }
    if (this.isOver) return;
    this.draw();
    this.timer = setTimeout(() => this.load(), REFRESH_MS);
  }

  draw() {
    if (!this.day || this.isOver) return;
    const { peaks, step_seconds: step } = this.day;
    const begin = Date.parse(this.day.since) / 1000;
    const at = peaks.map((_, nth) => begin + nth * step);
    const limit = this.feature.unlimited || this.feature.tokens !== null ? null : this.feature.total;
    this.plot?.destroy();
    this.plot = this.paint(at, peaks, limit);
    this.tell(at, peaks, limit);
  }

  paint(at, peaks, limit) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: colour("--quiet"),
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { stroke: colour("--line"), width: 1 },
      font: "12px system-ui, sans-serif",
    };
    const top = Math.max(1, limit ?? 0, ...peaks.map((peak) => peak ?? 0));
    const options = {
      width: this.width(),
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), shownZone()),
      scales: { x: { time: true }, y: { range: [0, top * 1.08] } },
      axes: [
        // Hours on a clock of 24.
        { ...axis, space: 60, values: (_, splits) => splits.map((seconds) => time(seconds * 1000).slice(-5)) },
        { ...axis, size: 46, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 1e5, 1e6] },
      ],
      series: [
        {},
        { stroke: colour("--active"), fill: colour("--active-pale"), width: 2, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } },
        { stroke: colour("--quiet"), width: 1, dash: [5, 4], points: { show: false } },
      ],
    };
    return new uPlot(options, [at, peaks, at.map(() => limit)], this.canvas);
  }

  tell(at, peaks, limit) {
    const known = peaks.filter((peak) => peak !== null);
    const highest = Math.max(0, ...known);
    const when = at[peaks.indexOf(highest)];
    const most = highest > 0 ? `${count(highest, "seat")} at most, at ${time(when * 1000)}` : "no seat was in use";
    const bound = limit === null ? "" : `; the dashed line is today’s total of ${number(limit)}`;
    // A restart is a gap of seconds: not worth a word.
    const isGap = ({ since, until, events }) => events > 0 || Date.parse(until) - Date.parse(since) > 60_000;
    const missing = this.day.missing.some(isGap) ? " Some of what happened is missing in the history." : "";
    this.words.textContent = `The last 24 hours: ${most}${bound}.${missing}`;
    this.canvas.setAttribute("aria-label", `Seats of ${this.feature.name} in use over the last 24 hours: ${most}.`);
    const hours = [];
    for (let nth = 0; nth < peaks.length; nth += HOUR) {
      const hour = peaks.slice(nth, nth + HOUR).filter((peak) => peak !== null);
      const from = make("th", { scope: "row" }, time(at[nth] * 1000));
      hours.push(make("tr", {}, from, make("td", { class: "number" }, hour.length ? number(Math.max(...hour)) : "not known")));
    }
    this.rows.replaceChildren(...hours);
    this.table.hidden = false;
  }
}
