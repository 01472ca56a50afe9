// What the numbers of a feature come to: parts of a bar, which feature is worst off, what ends next. No rule of counting is
// here: the server counts (used = active + suspect + borrowed; free = total - used - held - reserved, never below 0).

import { daysBetween } from "./words.js";

/** The parts of a bar in their order, and what each is. */
export const PARTS = [
  ["active", "in use", "a client is connected"],
  ["suspect", "suspect", "its client is silent or gone"],
  ["borrowed", "borrowed", "lent for offline use"],
  ["held", "held", "given back, not yet free"],
  ["reserved", "reserved", "kept for others"],
  ["free", "free", "anybody could have it"],
];

/** One text for a feature, the same over all answers. */
export const keyOf = (feature) => `${feature.vendor}/${feature.name}`.toLowerCase();

/**
 * A bar: its parts, what its whole length is, and where the licenses' total lies on it. They add up to the total, and
 * beyond it where more is in use than the licenses grant. Without a bound the used part takes a share that never fills it.
 */
export function barOf(feature) {
  const taken = feature.used + feature.held + feature.reserved;
  const counts = Object.fromEntries(PARTS.map(([part]) => [part, feature[part] ?? 0]));
  if (feature.unlimited) {
    return { counts: { ...counts, free: 0 }, whole: Math.max(10, taken * 1.5), total: null };
  }
  const total = feature.total ?? 0;
  return { counts, whole: Math.max(total, taken, 1), total };
}

/** The share of a feature that nobody else can have, 0 to 1; above it where it is over. */
export function fullness(feature) {
  if (feature.unlimited || feature.tokens !== null) return 0;
  const taken = feature.used + feature.held + feature.reserved;
  if (!feature.total) return taken > 0 ? 2 : 0;
  return taken / feature.total;
}

/** Whether a feature has seats by its licenses, and none is free. */
export const isFull = (feature) => feature.free === 0 && feature.total > 0 && !feature.unlimited;

/** The higher, the worse: over, waited for, full, then by tenths of what is taken, so that rows do not dance. */
function badness(feature, today) {
  const end = nextEnd(feature, today);
  return (
    (feature.over > 0 ? 1000 : 0) +
    (feature.queued > 0 ? 500 : 0) +
    (isFull(feature) ? 200 : 0) +
    Math.floor(Math.min(fullness(feature), 1) * 10) * 10 +
    (end && end.days <= 7 ? 90 : end && end.days <= 30 ? 40 : 0)
  );
}

const byName = (a, b) => a.name.localeCompare(b.name, "en") || a.vendor.localeCompare(b.vendor, "en");

/** The features in this order: "worst", "name" or "end". */
export function ordered(features, order, today) {
  if (order === "name") return [...features].sort(byName);
  const rank = (feature) =>
    order === "end" ? -(nextEnd(feature, today)?.days ?? Number.MAX_SAFE_INTEGER) : badness(feature, today);
  return features
    .map((feature) => [rank(feature), feature])
    .sort(([a, one], [b, other]) => b - a || byName(one, other))
    .map(([, feature]) => feature);
}

/** Every license of a feature with the state it is in; none where the reader sees counts only. */
export const licensesOf = (feature) => feature.pools.flatMap((pool) => pool.licenses);

/** What ends and when, today and later, soonest first: `{ what, day, days }`. */
export function endsOf(feature, today) {
  const ends = [];
  const add = (what, day) => {
    const days = day ? daysBetween(today, day) : -1;
    if (days >= 0) ends.push({ what, day, days });
  };
  add("license", feature.end);
  add("maintenance", feature.maintenance_ends);
  for (const license of licensesOf(feature)) {
    if (license.state === "in_force" && license.key_type === "UPGRADE") add("upgrade", license.end);
  }
  return ends.sort((a, b) => a.days - b.days);
}

/** The end that comes next, if any. */
export const nextEnd = (feature, today) => endsOf(feature, today)[0];
