// The page: asks for the status, follows the events, and asks again when something happened, at most about once a second.
// Nothing is kept but the last answer and the last denials, so a page that is open for a week is as small as a new one.

import { Refused, askJson, useToken } from "./api.js";
import { byId, mark, say } from "./dom.js";
import { Features, legend } from "./features.js";
import { denialsTable, noteElements, notes, problemsTable, queueTable, sessionsTable, since, sums } from "./lists.js";
import { Live } from "./live.js";
import { duration, shownZone, useZone, weekday } from "./words.js";

const DENIALS_MAX = 50;
/** Between two answers at least so long, and so many times as long as the last one took: a large server is asked less often. */
const PAUSE_MS = 1_000;
const PAUSE_TIMES = 3;
const PAUSE_MAX_MS = 30_000;
/** Some things come without an event: a client falls silent. */
const LOOK_MS = 15_000;
/** A page that nobody sees follows no more after this: a browser has few connections for one server. */
const HIDDEN_MS = 60_000;
const STATUS_RETRY_MS = 3_000;

const page = {
  features: new Features(byId("features"), byId("features-pager"), showSessionsOf),
  sessions: sessionsTable(),
  queue: queueTable(),
  denials: denialsTable(),
  problems: problemsTable(),
};
let state = null;
let denials = [];
/** Milliseconds since when the events are not followed; null: they are. */
let lostAt = Date.now();
let lostWhy = "";
let find = "";

const live = new Live({
  opened() {
    lostAt = null;
    tellLive();
    look();
  },
  event(name, event) {
    if (name === "gap" || name === "reset") return look(true);
    if (event.kind === "session.denied") {
      denials = [...denials, event].slice(-DENIALS_MAX);
      drawDenialsSoon();
    }
    look();
  },
  lost(why) {
    lostAt ??= Date.now();
    lostWhy = why;
    tellLive();
  },
  refused(error) {
    lostAt ??= Date.now();
    if (error.status === 401) return askForToken();
    lostWhy = error.message;
    tellLive();
  },
});

// --- asking

let timer = 0;
let isAsking = false;
let isWanted = false;
let areDenialsWanted = true;
let pause = PAUSE_MS;
let askedAt = -Infinity;
/** How many tokens were typed. */
let tokens = 0;

/** The status is to be asked for soon; `all`: the denials too. */
function look(all = false) {
  areDenialsWanted ||= all;
  isWanted = true;
  if (isAsking || document.hidden) return;
  clearTimeout(timer);
  timer = setTimeout(askNow, Math.max(0, askedAt + pause - performance.now()));
}

async function askNow() {
  isAsking = true;
  isWanted = false;
  const begun = performance.now();
  const asWith = tokens;
  let retry = 0;
  try {
    if (areDenialsWanted) await askForDenials();
    const status = await askJson("status");
    const queue = status.sessions ? (await askJson("queue")).queue : null;
    take(status, queue);
  } catch (error) {
    if (error instanceof Refused && error.status === 401) {
      // Unless another one was typed meanwhile.
      if (asWith === tokens) return askForToken();
      isWanted = true;
    } else {
      retry = STATUS_RETRY_MS;
    }
    lostAt ??= Date.now();
    lostWhy = error instanceof Refused ? error.message : "the server does not answer";
    tellLive();
  } finally {
    isAsking = false;
    askedAt = performance.now();
    pause = Math.max(retry, Math.min(PAUSE_MAX_MS, Math.max(PAUSE_MS, (askedAt - begun) * PAUSE_TIMES)));
  }
  clearTimeout(timer);
  if (isWanted || retry > 0) look();
  else timer = setTimeout(() => look(), LOOK_MS);
}

/** The last denials, and from where to follow what comes after them. */
async function askForDenials() {
  let place = null;
  try {
    const list = await askJson("denials");
    denials = list.events;
    place = `${list.run}:${list.last}`;
  } catch (error) {
    // Readers of nothing are told so by the status.
    if (!(error instanceof Refused) || error.status !== 403) throw error;
    denials = [];
  }
  areDenialsWanted = false;
  drawDenials();
  if (place && !live.place) live.start(place);
}

function take(status, queue) {
  state = {
    server: status.server,
    today: status.server.today,
    features: status.features ?? null,
    sessions: status.sessions ?? null,
    problems: status.problems ?? null,
    queue,
  };
  if (live.isOpen || !state.features) lostAt = null;
  else if (live.place) live.hurry();
  byId("token-form").hidden = true;
  byId("shown").hidden = false;
  draw();
}

// --- drawing

function draw() {
  const { server } = state;
  const before = shownZone();
  const isZoneKnown = !server.time_zone || useZone(server.time_zone);
  if (shownZone() !== before) page.denials.show(page.denials.all, null, true);
  say(byId("server-name"), server.name);
  document.title = `${server.name} · Seatkeeper`;
  const today = server.today ? ` · ${weekday(server.today)}` : "";
  say(byId("server-facts"), `Seatkeeper ${server.version}${today}`);
  say(byId("zone"), server.time_zone ? `, ${shownZone()}` : "");
  replace(byId("notes"), notes(state, isZoneKnown), noteElements);
  tellLive();
  const isShown = state.features !== null;
  for (const section of byId("shown").querySelectorAll("section, #sums")) {
    if (section.id !== "problems") section.hidden = !isShown;
  }
  if (!isShown) return;
  replaceAlways(byId("sums"), sums(state));
  page.features.show(state);
  byId("sessions").hidden = byId("queue").hidden = state.sessions === null;
  drawSessions();
  page.queue.show(state.queue ?? []);
  byId("problems").hidden = !state.problems?.length;
  page.problems.show(state.problems ?? []);
}

function drawSessions() {
  const words = find.toLowerCase();
  const all = state?.sessions ?? [];
  const is = (session) =>
    [session.user, session.host, session.feature, session.vendor].some((text) => text.toLowerCase().includes(words));
  page.sessions.show(words ? all.filter(is) : all, words ? "Nobody who is looked for has a seat." : "Nobody has a seat.");
}

function drawDenials() {
  page.denials.show([...denials].reverse());
}

let denialsTimer = 0;
function drawDenialsSoon() {
  denialsTimer ||= setTimeout(() => {
    denialsTimer = 0;
    drawDenials();
  }, 250);
}

/** Draws again only what is another. */
function replace(element, what, drawn) {
  const told = JSON.stringify(what);
  if (element.dataset.told !== told) {
    element.dataset.told = told;
    element.replaceChildren(...drawn(what));
  }
}

function replaceAlways(element, drawn) {
  const before = [...element.children].map((child) => child.outerHTML).join("");
  if (before !== drawn.map((child) => child.outerHTML).join("")) element.replaceChildren(...drawn);
}

function tellLive() {
  const element = byId("live");
  if (lostAt === null) {
    mark(element, "data-state", "live");
    say(element, state?.features === null ? "Answers" : "Live");
  } else if (state) {
    mark(element, "data-state", "lost");
    say(element, `Not connected since ${since(lostAt)}: ${lostWhy || "the server does not answer"}. What is shown is from then; trying again.`);
  } else {
    mark(element, "data-state", lostWhy ? "lost" : "wait");
    say(element, lostWhy ? `Not connected for ${duration(Date.now() - lostAt)}: ${lostWhy}. Trying again.` : "Connecting …");
  }
}

// --- people

function askForToken() {
  clearTimeout(timer);
  live.stop();
  live.place = null;
  byId("shown").hidden = true;
  byId("token-form").hidden = false;
  mark(byId("live"), "data-state", "wait");
  say(byId("live"), "Waits for the token");
  byId("token").focus();
}

byId("token-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  useToken(byId("token").value.trim());
  tokens += 1;
  byId("token").value = "";
  byId("token-why").textContent = "If this stays, the server did not take it: it is the first line of the file that http_token_file names.";
  areDenialsWanted = true;
  pause = 0;
  look(true);
});

function showSessionsOf(feature) {
  byId("find").value = feature;
  search(feature);
  byId("sessions-title").focus();
}

function search(text) {
  find = text.trim();
  page.features.find = find;
  page.features.pager.from = 0;
  page.sessions.pager.from = 0;
  if (!state?.features) return;
  page.features.draw();
  drawSessions();
}

byId("find").addEventListener("input", (event) => search(event.target.value));
byId("order").addEventListener("change", (event) => {
  page.features.order = event.target.value;
  page.features.pager.from = 0;
  page.features.draw();
});

let hiddenTimer = 0;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    hiddenTimer = setTimeout(() => live.stop(), HIDDEN_MS);
  } else {
    live.hurry();
    look();
  }
});

byId("legend").append(...legend());
// What "since …" says grows by itself.
setInterval(() => lostAt !== null && tellLive(), 5_000);
look(true);
