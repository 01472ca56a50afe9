// Numbers, days and times as a person reads them. Days are the server's civil days, times are shown in its zone.

let zone = "UTC";
let formats = {};

/** From now on times are shown in this zone; false: this browser does not know it, and they stay in UTC. */
export function useZone(name) {
  if (name === zone) return true;
  try {
    new Intl.DateTimeFormat("en-GB", { timeZone: name });
  } catch {
    return false;
  }
  zone = name;
  formats = {};
  return true;
}

/** The zone that times are shown in. */
export const shownZone = () => zone;

function format(key, options) {
  formats[key] ??= new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...options });
  return formats[key];
}

const clock = (date) => format("clock", { hour: "2-digit", minute: "2-digit", hour12: false }).format(date);
const clockExact = (date) =>
  format("exact", { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false }).format(date);
const dayOf = (date) => format("day", { day: "numeric", month: "short", year: "numeric" }).format(date);

/** An instant of JSON, or milliseconds: "14:03" today, "21 Nov 2026, 14:03" else. */
export function time(instant) {
  const date = new Date(instant);
  return dayOf(date) === dayOf(new Date()) ? clock(date) : `${dayOf(date)}, ${clock(date)}`;
}

/** The same to the second. */
export function timeExact(instant) {
  const date = new Date(instant);
  return dayOf(date) === dayOf(new Date()) ? clockExact(date) : `${dayOf(date)}, ${clockExact(date)}`;
}

/** A civil day, YYYY-MM-DD: "30 Jun 2030". It has no zone. */
export function day(civil) {
  const date = new Date(`${civil}T00:00:00Z`);
  return new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", day: "numeric", month: "short", year: "numeric" }).format(date);
}

/** The same with the day of the week. */
export function weekday(civil) {
  const date = new Date(`${civil}T00:00:00Z`);
  const options = { timeZone: "UTC", weekday: "long", day: "numeric", month: "long", year: "numeric" };
  return new Intl.DateTimeFormat("en-GB", options).format(date);
}

/** Days from one civil day to another; negative: it was before. */
export function daysBetween(from, to) {
  return Math.round((Date.parse(`${to}T00:00:00Z`) - Date.parse(`${from}T00:00:00Z`)) / 86_400_000);
}

/** "today", "tomorrow", "in 12 days", "3 days ago". */
export function inDays(days) {
  if (days === 0) return "today";
  if (days === 1) return "tomorrow";
  if (days === -1) return "yesterday";
  return days > 0 ? `in ${number(days)} days` : `${number(-days)} days ago`;
}

/** 12,345 */
export const number = (n) => n.toLocaleString("en-US");

/** "1 seat", "2 seats". */
export const count = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;

/** How long that is, roughly: "40 s", "12 min", "3 h 5 min", "2 days". */
export function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return count(Math.floor(hours / 24), "day");
}
