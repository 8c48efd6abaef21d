// The public API, called from the page.

import type { FileList, Health, LoginInfo, SessionInfo, TurnInfo } from "./types";

export const API = "/api/v1";

/** An answer that is no success, or none at all (`status` 0). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly details = "",
    readonly suggestions: string[] = [],
    readonly retryAfter = 0,
  ) {
    super(message);
  }

  static from(error: unknown): ApiError {
    return error instanceof ApiError ? error : new ApiError(0, "INTERNAL", error instanceof Error ? error.message : String(error));
  }

  /** Whether the same request may succeed later: nobody answered, or somebody on the way did. */
  get passing(): boolean {
    return [0, 429, 502, 503, 504, 507].includes(this.status);
  }

  /** The endpoint is one that this server does not have. */
  get unsupported(): boolean {
    return this.status === 405 || (this.status === 404 && this.code === "ENDPOINT_NOT_FOUND");
  }
}

export async function readError(response: Response): Promise<ApiError> {
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  try {
    const found = (await response.json()) as Record<string, unknown>;
    return new ApiError(
      response.status,
      String(found.code ?? "HTTP"),
      String(found.error ?? response.statusText),
      typeof found.details === "string" ? found.details : "",
      Array.isArray(found.suggestions) ? found.suggestions.map(String) : [],
      retryAfter,
    );
  } catch {
    return new ApiError(response.status, "HTTP", response.statusText || `HTTP ${response.status}`, "", [], retryAfter);
  }
}

let denied = () => {};

/** Have `told` called whenever the server wants a login. */
export function onDenied(told: () => void): void {
  denied = told;
}

const TIMEOUT = 30_000;

export async function request(path: string, options: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT), ...options });
  } catch (error) {
    throw new ApiError(0, "NETWORK", error instanceof Error ? error.message : String(error));
  }
  if (!response.ok) {
    const error = await readError(response);
    if (error.code === "UNAUTHORIZED") denied();
    throw error;
  }
  return response;
}

async function json<T>(path: string, method = "GET", body?: unknown, headers: Record<string, string> = {}): Promise<T> {
  const options: RequestInit = { method, headers };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { "Content-Type": "application/json", ...headers };
  }
  const response = await request(path, options);
  try {
    return (await response.json()) as T;
  } catch {
    throw new ApiError(0, "NETWORK", "the answer was cut off");
  }
}

const sessionPath = (id: string) => `${API}/sessions/${encodeURIComponent(id)}`;

export const api = {
  login: () => json<LoginInfo>(`${API}/login`),
  logIn: (token: string) => json<LoginInfo>(`${API}/login`, "POST", { token }),
  logOut: () => request(`${API}/logout`, { method: "POST" }),
  health: () => json<Health>("/health"),
  sessions: (before = "", limit = 50) =>
    json<{ sessions: SessionInfo[]; next: string | null }>(
      `${API}/sessions?limit=${limit}${before ? `&before=${encodeURIComponent(before)}` : ""}`,
    ),
  createSession: () => json<{ session_id: string; created_at: number }>(`${API}/sessions`, "POST"),
  session: (id: string) => json<SessionInfo>(sessionPath(id)),
  patchSession: (id: string, change: { title?: string; pinned?: boolean; expires_in?: number }) =>
    json<SessionInfo>(sessionPath(id), "PATCH", change),
  deleteSession: (id: string) => json<unknown>(sessionPath(id), "DELETE"),
  turns: (id: string, after: number, limit: number) =>
    json<{ turns: TurnInfo[]; next: number | null }>(`${sessionPath(id)}/turns?after=${after}&limit=${limit}`),
  turn: (id: string, turn: number) => json<TurnInfo>(`${sessionPath(id)}/turns/${turn}`),
  submit: (id: string, message: string, key: string) =>
    json<TurnInfo>(`${sessionPath(id)}/turns`, "POST", { message, on_busy: "queue" }, { "Idempotency-Key": key }),
  cancel: (id: string, turn: number) => json<TurnInfo>(`${sessionPath(id)}/turns/${turn}/cancel`, "POST"),
  files: (id: string) => json<FileList>(`${sessionPath(id)}/files`),
  deleteFile: (href: string) => request(href, { method: "DELETE" }),
  fileHref: (id: string, path: string) => `${sessionPath(id)}/files/${path.split("/").map(encodeURIComponent).join("/")}`,
  archiveHref: (id: string) => `${sessionPath(id)}/archive`,
  outputHref: (id: string, turn: number) => `${sessionPath(id)}/turns/${turn}/output`,
  eventsHref: (id: string, after: string) => `${sessionPath(id)}/events${after ? `?after=${after}` : ""}`,
};
