// The other lists: who has seats, who waits, who was denied, what is wrong with the files; and the numbers at the top.

import { byId, make } from "./dom.js";
import { isFull, nextEnd } from "./seats.js";
import { Table } from "./table.js";
import { count, day, duration, number, time, timeExact } from "./words.js";

/** "ann on ws7". Readers of counts see nobody. */
const who = (row) => (row.user === undefined ? "not shown here" : `${row.user} on ${row.host}`);

/** Why a session is not simply active. */
function stateOf(session) {
  if (session.borrowed_until) return `borrowed until ${time(session.borrowed_until)}`;
  if (session.suspect_since) return `suspect since ${time(session.suspect_since)}`;
  return session.state;
}

export function sessionsTable() {
  return new Table(byId("sessions-table"), {
    name: "Who has seats",
    none: "Nobody has a seat.",
    columns: [
      { name: "User", cell: (row) => row.user },
      { name: "Host", cell: (row) => row.host },
      { name: "Feature", cell: (row) => row.feature },
      { name: "Seats", kind: "number", cell: (row) => number(row.count) },
      { name: "Since", kind: "time", cell: (row) => (row.since ? time(row.since) : "not known") },
      { name: "State", cell: stateOf },
    ],
  });
}

export function queueTable() {
  const wants = (row) => row.features.map((one) => `${number(one.count)} × ${one.feature}`).join(", ");
  return new Table(byId("queue-table"), {
    name: "Who waits",
    size: 10,
    none: "Nobody waits.",
    columns: [
      { name: "Place", kind: "number", cell: (row) => number(row.place) },
      { name: "User", cell: (row) => row.user },
      { name: "Host", cell: (row) => row.host },
      { name: "Waits for", cell: wants },
      { name: "Since", kind: "time", cell: (row) => (row.since ? time(row.since) : "not known") },
      { name: "Until", kind: "time", cell: (row) => time(row.until) },
      { name: "State", cell: (row) => row.state },
    ],
  });
}

export function denialsTable() {
  return new Table(byId("denials-table"), {
    name: "Denied lately",
    size: 10,
    none: "Nothing was denied since the server started.",
    columns: [
      { name: "When", kind: "time", cell: (row) => timeExact(row.at) },
      { name: "Who", cell: who },
      { name: "Wanted", cell: (row) => `${number(row.wanted)} × ${row.feature}` },
      {
        name: "Why",
        cell: (row) => {
          const code = make("code", {}, row.code);
          return row.message === undefined ? code : make("span", {}, `${row.message} `, code);
        },
      },
    ],
  });
}

export function problemsTable() {
  const place = (row) => {
    if (!row.file) return "the server";
    return [row.file, row.line, row.column].filter((part) => part !== null).join(":");
  };
  return new Table(byId("problems-table"), {
    name: "Problems",
    size: 10,
    none: "Nothing is wrong.",
    columns: [
      { name: "Where", cell: (row) => make("code", {}, place(row)) },
      { name: "What", cell: (row) => row.message },
    ],
  });
}

/** The numbers at the top. */
export function sums({ features, server, problems }) {
  const today = server.today;
  const bounded = features.filter((feature) => !feature.unlimited && feature.tokens === null);
  const add = (all, of) => all.reduce((sum, feature) => sum + (feature[of] ?? 0), 0);
  const unbounded = add(features.filter((feature) => feature.unlimited), "used");
  const full = features.filter(isFull).length;
  const ends = features.map((feature) => [feature, nextEnd(feature, today)]).filter(([, end]) => end);
  ends.sort(([, a], [, b]) => a.days - b.days);
  const [next] = ends;
  const tile = (name, value, more, kind = null) =>
    make("div", { "data-kind": kind }, make("dt", {}, name), make("dd", {}, make("b", {}, value), " ", make("span", { class: "quiet" }, more)));
  const waiting = add(features, "queued");
  return [
    tile("Features", number(features.length), full > 0 ? `${number(full)} without a free seat` : "all have free seats", full > 0 ? "warning" : null),
    tile("Seats in use", number(add(bounded, "used")), `of ${number(add(bounded, "total"))}${unbounded > 0 ? `, and ${number(unbounded)} without limit` : ""}`),
    tile("Waiting", number(waiting), waiting === 1 ? "request" : "requests", waiting > 0 ? "warning" : null),
    tile("Denied", number(add(features, "denials_24h")), "in 24 hours"),
    next
      ? tile("Next end", next[1].days === 0 ? "today" : count(next[1].days, "day"), `${next[1].what} of ${next[0].name}, ${day(next[1].day)}`, next[1].days <= 14 ? "warning" : null)
      : tile("Next end", "none", "is known"),
    ...(problems?.length ? [tile("Problems", number(problems.length), "see below", "bad")] : []),
  ];
}

/** What everybody who looks at this server should know. */
export function notes({ server, sessions, features }, isZoneKnown) {
  const all = [];
  const add = (kind, text) => all.push([kind, text]);
  if (!features) {
    add("warning", "This server shows nothing here: its reports are for the administrator (readers = \"admin\"). Ask with `seatkeeper status` over the admin socket.");
    return all;
  }
  if (server.clock === "suspect") add("bad", "The server’s clock is behind what it has shown before: dated licenses are not granted anew until it is right.");
  if (server.clock === "provisional") add("warning", "The server’s clock jumped ahead, and the server waits to see whether it is right.");
  if (server.clock_reset) add("warning", `The highest day served was lowered from ${day(server.clock_reset.from)} to ${day(server.clock_reset.to)}.`);
  if (server.recovering) add("plain", "The server was restarted a moment ago: seats of clients that have not come back yet count as used.");
  if (server.demo_key_trusted) add("warning", "A demo vendor’s key is trusted here, whose private half everybody has: fine for a trial, wrong in production.");
  if (!sessions) add("plain", "Counts only: this server shows no users, hosts and files here (readers = \"counts\").");
  if (!isZoneKnown) add("warning", `This browser does not know the zone ${server.time_zone}: times are in UTC.`);
  return all;
}

/** Draws notes. */
export const noteElements = (all) => all.map(([kind, text]) => make("p", { class: "note", "data-kind": kind }, text));

/** For how long the server was away. */
export const since = (instant) => `${timeExact(instant)} (${duration(Date.now() - instant)})`;

