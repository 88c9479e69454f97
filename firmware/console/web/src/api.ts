/* The card's API, /api/v1. The session is a cookie that scripts cannot read; what changes something
 * also carries the token that the session told us. */
import type { Session } from "./contract";

export class ApiError extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

const TIMEOUT_MS = 10_000;
let csrf = "";

export function forgetSession(): void {
  csrf = "";
}

async function fail(answer: Response): Promise<never> {
  let text = `the card answered ${answer.status}`;
  try {
    text = (await answer.json()).error.message;
  } catch {
    /* no JSON: a proxy's page, or nothing at all */
  }
  throw new ApiError(answer.status, text);
}

export async function call<T>(verb: string, path: string, body?: unknown): Promise<T> {
  const headers: Record<string, string> = {};
  if (verb !== "GET") headers["X-CSRF-Token"] = csrf;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer: Response;
  try {
    answer = await fetch(`/api/v1${path}`, {
      method: verb,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch {
    throw new ApiError(0, "the card does not answer");
  }
  if (!answer.ok) return fail(answer);
  return answer.status === 204 ? (undefined as T) : await answer.json();
}

export const get = <T>(path: string): Promise<T> => call<T>("GET", path);

export interface Login {
  name: string;
  password: string;
  code?: string;
  new_password?: string;
}

export async function logIn(login: Login): Promise<Session> {
  const session = await call<Session>("POST", "/session", login);
  csrf = session.csrf;
  return session;
}

/* The session of an earlier visit, or null. */
export async function resume(): Promise<Session | null> {
  try {
    const session = await get<Session>("/session");
    csrf = session.csrf;
    return session;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return null;
    throw error;
  }
}

export async function logOut(): Promise<void> {
  await call("DELETE", "/session");
  forgetSession();
}
