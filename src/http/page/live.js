// Follows the server's events by reading the stream of /api/v1/events: not by EventSource, which cannot send a token. Comes back by
// itself, after pauses that grow, to where it was.

import { ask, Refused } from "./api.js";

/** The server says something at least every 15 seconds. */
const SILENT_MS = 40_000;
const PAUSE_MIN_MS = 500;
const PAUSE_MAX_MS = 30_000;
/** More than any event has: what is longer is not from this server. */
const BLOCK_MAX = 4 << 20;

export class Live {
  /** `told`: opened(), event(kind, data), lost(why, retryInMs), refused(error). */
  constructor(told) {
    this.told = told;
    this.place = null;
    this.pause = PAUSE_MIN_MS;
    this.controller = null;
    this.timer = 0;
    /** Whether the stream is there. */
    this.isOpen = false;
  }

  /** Follows from this id on. */
  start(place) {
    this.stop();
    this.place = place ?? this.place;
    this.#run();
  }

  /** Follows no more until it is started again. */
  stop() {
    clearTimeout(this.timer);
    this.controller?.abort();
    this.controller = null;
  }

  /** Tries at once, where it waits. */
  hurry() {
    if (!this.controller) {
      clearTimeout(this.timer);
      this.#run();
    }
  }

  async #run() {
    const controller = new AbortController();
    this.controller = controller;
    let why = "the server has ended the connection";
    try {
      await this.#read(controller);
    } catch (error) {
      if (this.controller !== controller) return;
      if (error instanceof Refused && error.status !== 503) {
        this.controller = null;
        this.told.refused(error);
        return;
      }
      why = error instanceof Refused ? error.message : "the server does not answer";
    }
    if (this.controller !== controller) return;
    this.controller = null;
    // Half of it is chance: many pages do not come back at the same moment.
    const pause = this.pause * (0.5 + Math.random() / 2);
    this.pause = Math.min(this.pause * 2, PAUSE_MAX_MS);
    this.timer = setTimeout(() => this.#run(), pause);
    this.told.lost(why, pause);
  }

  async #read(controller) {
    const place = this.place ? `?after=${encodeURIComponent(this.place)}` : "";
    let watch = setTimeout(() => controller.abort(), SILENT_MS);
    try {
      const answer = await ask(`events${place}`, { signal: controller.signal });
      const reader = answer.body.getReader();
      const decoder = new TextDecoder();
      let text = "";
      this.pause = PAUSE_MIN_MS;
      this.isOpen = true;
      this.told.opened();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(watch);
        watch = setTimeout(() => controller.abort(), SILENT_MS);
        text += decoder.decode(value, { stream: true });
        const blocks = text.split("\n\n");
        text = blocks.pop();
        if (text.length > BLOCK_MAX) throw new Error("this is no stream of events");
        for (const block of blocks) this.#take(block);
      }
    } finally {
      if (this.controller === controller || !this.controller) this.isOpen = false;
      clearTimeout(watch);
      controller.abort();
    }
  }

  #take(block) {
    let name = "message";
    let data = "";
    for (const line of block.split("\n")) {
      const at = line.indexOf(":");
      const field = at < 0 ? line : line.slice(0, at);
      const value = at < 0 ? "" : line.slice(at + 1).replace(/^ /, "");
      if (field === "id") this.place = value;
      else if (field === "event") name = value;
      else if (field === "data") data += value;
    }
    if (data) this.told.event(name, JSON.parse(data));
  }
}
