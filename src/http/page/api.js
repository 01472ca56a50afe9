// Asks this server, and nobody else. Paths are relative, so the page also works below a path of a proxy.

const KEY = "seatkeeper-token";

/** The server says no: its status and its own sentence. */
export class Refused extends Error {
  constructor(status, sentence) {
    super(sentence || `the server answered ${status}`);
    this.status = status;
  }
}

/** Keeps the token for this tab. */
export function useToken(token) {
  sessionStorage.setItem(KEY, token);
}

function headers(more = {}) {
  const token = sessionStorage.getItem(KEY);
  return token ? { Authorization: `Bearer ${token}`, ...more } : more;
}

/** The answer of a path below /api/v1. Throws Refused, or what fetch throws where the server is away. */
export async function ask(path, options = {}) {
  const answer = await fetch(`api/v1/${path}`, {
    ...options,
    headers: headers(options.headers),
    cache: "no-store",
    redirect: "error",
    credentials: "same-origin",
  });
  if (!answer.ok) throw new Refused(answer.status, (await answer.text()).slice(0, 500).trim());
  return answer;
}

/** The same as JSON, within half a minute. */
export const askJson = async (path) => (await ask(path, { signal: AbortSignal.timeout(30_000) })).json();
