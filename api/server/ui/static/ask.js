// Asking the gateway. The token, where there is one, lives in this tab's storage and in
// the Authorization header, never in a URL.

const KEY = 'tidegate-token';
const PATIENCE = 10_000; // ms; a gateway is near

// asked tells "unauthorized" when a token is wanted, and "authorized" when there is a new one.
export const asked = new EventTarget();
let locked = false;

export const needsToken = () => locked;

// tryToken asks once with a token before everybody does, and returns why it is not taken,
// or nothing.
export async function tryToken(token) {
  sessionStorage.setItem(KEY, token);
  try {
    await ask('/v1/status');
  } catch (e) {
    sessionStorage.removeItem(KEY);
    return e.message;
  }
  locked = false;
  asked.dispatchEvent(new Event('authorized'));
  return '';
}

// Gone says that there was no answer, or not all of one.
export class Gone extends Error {}

// Refusal is an answer that says no.
export class Refusal extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function refusal(response) {
  let said = {};
  try { said = await response.json(); } catch { /* no problem+json: the status has to do */ }
  const details = (said.errors ?? []).map((e) => [e.location, e.message].filter(Boolean).join(': '));
  return new Refusal(response.status, [said.detail || said.title || `status ${response.status}`, ...details].join('; '));
}

// open returns a response that is fine.
export async function open(path, options = {}) {
  const headers = { ...options.headers };
  const sent = sessionStorage.getItem(KEY);
  if (sent !== null) headers.Authorization = `Bearer ${sent}`;
  let response;
  try {
    response = await fetch(path, { cache: 'no-store', credentials: 'omit', redirect: 'error', ...options, headers });
  } catch (e) {
    throw new Gone(e.message);
  }
  if (response.ok) return response;
  if (response.status === 401 && sent === sessionStorage.getItem(KEY) && !locked) {
    locked = true;
    sessionStorage.removeItem(KEY);
    asked.dispatchEvent(new Event('unauthorized'));
  }
  throw await refusal(response);
}

// ask returns what an answer in JSON says.
export async function ask(path, method = 'GET') {
  const response = await open(path, { method, headers: { Accept: 'application/json, application/problem+json' }, signal: AbortSignal.timeout(PATIENCE) });
  try { return await response.json(); } catch (e) { throw new Gone(e.message); }
}
